"""Finetune in processes that tests may kill, forked from one that has imported torch and trl."""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.shared.lifetime import exit_cleanly_on_sigterm
from components.shared.records import write_records
from components.shared.stage import known_error
from tests.builders import example

KNOBS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 2,
    "gradient_accumulation": 1,
    "lora_r": 4,
    "held_out": 0.34,
    "warmup_steps": 0,
}
KNOBS |= {"learning_rate": 1e-2, "checkpoint_minutes": 0, "gradient_checkpointing": False}
KNOBS |= {"max_length": 128, "packing": False}
STEPS_RUN = "steps-run"  # one line a step that any process has done

context = multiprocessing.get_context("forkserver")


def write_examples(folder: Path) -> None:
    """Write 24 examples of three papers: one is held out, 16 make 24 steps in three epochs."""
    rows = [
        example(triple=f"t{n}", paper=f"p{n % 3}", prompt=f"Say {n}.\n", completion=f"It is {n}.")
        for n in range(24)
    ]
    write_records(folder / "train/examples.jsonl", rows)


def start(
    base: Path,
    folder: Path,
    store: str,
    *,
    prepare: Callable[[], None] | None = None,
    environment: dict[str, str] | None = None,
) -> Any:
    """Start the stage in `folder`, which holds train/; what it prints goes to folder/log."""
    process = context.Process(target=_run, args=(base, folder, store, prepare, environment))
    process.start()
    return process


def steps_run(folder: Path) -> list[int]:
    """Return the steps done so far by all processes, in order."""
    path = folder / STEPS_RUN
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def no_large_files() -> None:
    """Let no file grow over 16 KiB: the system then refuses to write, as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))


def nobody() -> None:
    """Become a user who is bound by the rights of files."""
    "".encode("utf-16-le")  # loaded now: the interpreter's own files may be another user's
    if os.getuid() == 0:
        os.setuid(65534)


def _run(
    base: Path,
    folder: Path,
    store: str,
    prepare: Callable[[], None] | None,
    environment: dict[str, str] | None,
) -> None:
    import torch

    torch.set_num_threads(1)
    exit_cleanly_on_sigterm()
    signal.signal(signal.SIGINT, lambda number, frame: sys.exit(128 + number))
    os.environ |= (
        environment or {}
    )  # the process that this one is forked from has kept an older one
    tempfile.tempdir = str(folder)
    log = (folder / "log").open("a", buffering=1)
    if prepare:
        prepare()
    from components.finetune.trainer import ProgressCallback

    before = ProgressCallback.on_log

    def noted(
        self: Any, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
    ) -> None:
        before(self, args, state, control, logs=logs, **kwargs)
        if logs and "loss" in logs:
            with (folder / STEPS_RUN).open("a") as file:
                file.write(f"{state.global_step}\n")

    ProgressCallback.on_log = noted  # type: ignore[method-assign]
    config = FinetuneConfig(store=store, base_model=str(base), **KNOBS)
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            finetune(config, folder / "train", folder / "out/adapter", folder / "out/curve.html")
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            print(f"ERROR {known}")
            sys.exit(1)
