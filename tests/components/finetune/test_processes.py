"""Several processes train what one does, to one adapter, and they end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.finetune.base import prepare_base
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.finetune.train import Training, rows_repeated
from components.finetune.worker import put_request
from components.shared.errors import ArxtuneError
from components.shared.records import Example, read_records, write_records
from components.shared.store import FolderStore
from tests.builders import example

DEADLINE = 300.0  # seconds
KNOBS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "lora_r": 4,
    "held_out": 0.25,
    "warmup_steps": 1,
}
KNOBS |= {"learning_rate": 1e-2, "checkpoint_minutes": 0, "gradient_checkpointing": False}
KNOBS |= {"max_length": 128, "packing": False, "lora_dropout": 0.0}
ROWS = 16  # to train on, in batches of 2
STEPS = 12


def write_examples(folder: Path) -> None:
    """Write examples of three papers, one of which is held out; all are of one length."""
    rows = [
        example(triple=f"t{n}", paper=f"p{n % 3}", prompt=f"Say {n}.\n", completion=f"It is {n}.")
        for n in range(10, 34)
    ]
    write_records(folder / "train/examples.jsonl", rows)


def configured(base: Path, folder: Path, **knobs: Any) -> FinetuneConfig:
    """Return the config that the command line makes of these knobs."""
    places = {"store": str(folder / "store"), "base_model": str(base)}
    return FinetuneConfig.build(places, KNOBS, knobs)


def run(base: Path, folder: Path, **knobs: Any) -> dict[str, Any]:
    """Run the stage in `folder`; return adapter.json."""
    write_examples(folder)
    config = configured(base, folder, **knobs)
    finetune(config, folder / "train", folder / "out/adapter", folder / "out/curve.html")
    return about(folder)


def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out/adapter/adapter.json").read_text())
    return found


def steps(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out/adapter/steps.jsonl").open()]


@pytest.fixture(scope="module")
def together(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training in two processes."""
    folder = tmp_path_factory.mktemp("together")
    run(base, folder, processes=2)
    return folder


def test_two_processes_make_the_adapter_of_one_bit_for_bit(
    base: Path, together: Path, tmp_path: Path
) -> None:
    one, two = run(base, tmp_path, processes=1), about(together)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["steps"] == two["steps"] == STEPS
    assert one["adapter_digest"] == two["adapter_digest"]
    assert one["held_out_losses"] == two["held_out_losses"]
    assert two["held_out_losses"][-1] < two["held_out_losses"][0]


def test_the_figures_count_all_processes(together: Path) -> None:
    made = about(together)
    assert made["device"].endswith(" x 2")
    length = 18  # tokens of an example
    read = [row["num_input_tokens_seen"] for row in steps(together) if "loss" in row]
    assert read[-1] == 3 * ROWS * length
    assert made["rows_repeated"] == 0


def test_what_was_asked_for_leaves_the_store_and_so_do_checkpoints(together: Path) -> None:
    store = FolderStore(together / "store")
    assert not [*store.list("requests"), *store.list("checkpoints")]


def test_where_it_was_trained_is_not_asked_again(
    base: Path, together: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(base, together, processes=1)
    assert "reusing cached adapter" in capsys.readouterr().out


@pytest.mark.soak
def test_an_error_of_the_workers_is_one_line_of_the_stage(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        ArxtuneError, match=r"^no example fits into 16 tokens: .*; raise finetune\.max_length"
    ):
        run(base, tmp_path, processes=2, max_length=16)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("rows", "batch", "count"), [(18, 2, 2), (16, 4, 4), (3, 4, 2), (5, 1, 4), (7, 2, 1)]
)
def test_every_row_is_read_once_but_those_that_fill_up(
    rows: int, batch: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader

    loader = DataLoader(range(rows), batch_size=batch, shuffle=True)  # type: ignore[arg-type]
    read: Counter[int] = Counter()
    for process in range(count):
        shard = prepare_data_loader(
            loader, num_processes=count, process_index=process, use_seedable_sampler=True
        )
        shard.set_epoch(0)
        read += Counter(int(row) for rows_of_batch in shard for row in rows_of_batch)
    assert set(read) == set(range(rows))
    monkeypatch.setenv("WORLD_SIZE", str(count))
    assert read.total() == rows + rows_repeated(rows, batch)


def start(base: Path, folder: Path, **knobs: Any) -> "subprocess.Popen[str]":
    """Start the stage as by hand; what it prints is appended to folder/log."""
    write_examples(folder)
    flags = {
        "train": folder / "train",
        "adapter": folder / "out/adapter",
        "curve": folder / "out/curve.html",
    }
    flags |= {"store": folder / "store", "base_model": base, "processes": 2, **KNOBS, **knobs}
    command = [sys.executable, "-m", "components.finetune"]
    command += [
        word
        for name, value in flags.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, text=True)


def wait_for_step(
    process: "subprocess.Popen[str]", folder: Path, step: int
) -> list[psutil.Process]:
    """Return all that the stage has started, once the checkpoint of a step is in the store."""
    until = time.monotonic() + DEADLINE
    while not any(
        int(path.parent.name) >= step for path in folder.glob("store/checkpoints/*/*/manifest.json")
    ):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.01)
    return psutil.Process(process.pid).children(recursive=True)


def end(process: "subprocess.Popen[str]", started: list[psutil.Process]) -> int:
    """Return how the stage ended; nothing that it started may be left."""
    status = process.wait(DEADLINE)
    assert psutil.wait_procs(started, timeout=DEADLINE)[1] == []
    return status


def worker(started: list[psutil.Process], rank: int) -> psutil.Process:
    """Return the worker of a rank."""
    (found,) = [
        one for one in started if one.environ().get("RANK") == str(rank) and "-u" in one.cmdline()
    ]
    return found


@pytest.mark.soak
def test_killed_and_ended_it_comes_to_the_adapter_of_one_left_alone(
    base: Path, together: Path, tmp_path: Path
) -> None:
    process = start(base, tmp_path)
    started = wait_for_step(process, tmp_path, 2)
    worker(started, 1).kill()
    assert end(process, started) == 1
    last = (tmp_path / "log").read_text().rstrip().splitlines()[-1]
    assert last.startswith(
        "arxtune: error: one of 2 processes of the training was ended by SIGKILL"
    )

    process = start(base, tmp_path)
    started = wait_for_step(process, tmp_path, 6)
    process.send_signal(signal.SIGTERM)
    assert end(process, started) == 128 + signal.SIGTERM
    log = (tmp_path / "log").read_text()
    assert "going on from the checkpoint of step" in log
    assert "asked to stop: saving a checkpoint of step" in log

    process = start(base, tmp_path)
    assert end(process, []) == 0, (tmp_path / "log").read_text()
    assert about(tmp_path)["adapter_digest"] == about(together)["adapter_digest"]
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.soak
def test_no_worker_outlives_a_stage_that_is_killed_and_one_process_goes_on(
    base: Path, together: Path, tmp_path: Path
) -> None:
    process = start(base, tmp_path)
    started = wait_for_step(process, tmp_path, 1)
    assert len(started) == 3, "the launcher and two workers"
    process.kill()
    assert end(process, started) == -signal.SIGKILL

    process = start(base, tmp_path, processes=1)
    assert end(process, []) == 0, (tmp_path / "log").read_text()
    assert "going on from the checkpoint of step" in (tmp_path / "log").read_text()
    assert about(tmp_path)["adapter_digest"] == about(together)["adapter_digest"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def start_node(request: str, folder: Path, number: int, port: int) -> "subprocess.Popen[str]":
    """Start torchrun as a node's pod does: two nodes of one process, each with its own disk."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        "2",
        "--node-rank",
        str(number),
    ]
    command += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    command += ["-m", "components.finetune.worker", str(folder / "store"), request]
    disk = folder / f"node-{number}"
    disk.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, text=True, env=os.environ | {"TMPDIR": str(disk)}
        )


@pytest.mark.soak
def test_two_nodes_go_on_together_from_the_checkpoint_of_both(
    base: Path, together: Path, tmp_path: Path
) -> None:
    write_examples(tmp_path)
    config = configured(base, tmp_path)
    store = FolderStore(tmp_path / "store")
    examples = list(read_records(tmp_path / "train/examples.jsonl", Example))
    request = put_request(Training(config, store, prepare_base(config, store, tmp_path), examples))
    nodes = [
        start_node(request, tmp_path, number, port) for number, port in enumerate([free_port()] * 2)
    ]
    wait_for_step(nodes[0], tmp_path, 4)
    worker(psutil.Process(nodes[1].pid).children(), rank=1).terminate()
    assert all(node.wait(DEADLINE) for node in nodes), "both stop, at the same step"
    assert (tmp_path / "log").read_text().count("asked to stop: saving a checkpoint") == 1

    nodes = [
        start_node(request, tmp_path, number, port) for number, port in enumerate([free_port()] * 2)
    ]
    assert [node.wait(DEADLINE) for node in nodes] == [0, 0], (tmp_path / "log").read_text()
    assert "going on from the checkpoint of step" in (tmp_path / "log").read_text()
    (place,) = {"/".join(key.split("/")[:2]) for key in store.list("adapters")}
    store.get_folder(place, tmp_path / "out/adapter")
    assert about(tmp_path)["adapter_digest"] == about(together)["adapter_digest"]
    assert not [*tmp_path.glob("node-*/arxtune-*")], "what was fetched is removed"
