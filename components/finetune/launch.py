"""Train in several processes on this machine, one a GPU, which accelerate starts and ends."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from components.finetune.config import FinetuneConfig
from components.finetune.recipe import accumulation_for
from components.shared.errors import ArxtuneError, ConfigError, ModelError
from components.shared.lifetime import die_with_parent
from components.shared.progress import MARK, say
from components.shared.stage import ERROR_MARK

ROOT = Path(__file__).parents[2]  # what holds the package `components`
LINES = 400  # of a failure that is no error of ours


def processes_here(config: FinetuneConfig) -> int:
    """Return how many processes train on this machine: one for each GPU that it may use."""
    import torch

    gpus = torch.cuda.device_count()
    if config.processes > gpus > 0:
        problem = f"finetune.processes={config.processes}: there are {gpus} GPUs here"
        raise ConfigError(problem, "leave it at 0")
    return config.processes or max(gpus, 1)


def run_on_gpus(config: FinetuneConfig, request: str, count: int) -> None:
    """Run workers until the adapter is in the store; they save and end with this process."""
    if config.gradient_accumulation:
        accumulation_for(config, count)  # before anything is started
    say("finetune", f"training in {count} processes")
    process = subprocess.Popen(
        _command(config.store, request, count),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        start_new_session=True,  # Ctrl-C is for this process, which then ends the others in order
        preexec_fn=die_with_parent,
    )
    errors: list[str] = []
    noise: deque[str] = deque(maxlen=LINES)
    try:
        _listen(process, errors, noise)
    finally:
        if process.poll() is None:
            process.terminate()
            _listen(process, errors, noise)
        process.wait()
    if process.returncode:
        _fail(errors, "".join(noise), count)


def _command(store: str, request: str, count: int) -> list[str]:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_machines", "1", "--num_processes", str(count), "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, "-m", "components.finetune.worker", store, request]


def _listen(process: "subprocess.Popen[str]", errors: list[str], noise: deque[str]) -> None:
    """Pass on the lines meant for a person until all processes have ended; keep the others."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(MARK):
            print(line, end="", flush=True)
        elif line.startswith(ERROR_MARK):
            errors.append(line.removeprefix(ERROR_MARK).strip())
        else:
            noise.append(line)


def _fail(errors: list[str], noise: str, count: int) -> None:
    """Raise a worker's error, or one line for a worker that was killed; anything else is a bug."""
    if errors:
        raise ArxtuneError(errors[0])
    statuses = [int(number) for number in re.findall(r"exitcode\s*: (-?\d+)", noise)]
    numbers = {-status if status < 0 else status - 128 for status in statuses}
    signals = sorted(numbers & set(signal.Signals), key=lambda number: number == signal.SIGTERM)
    if signals:  # SIGTERM is what the others got too
        name = signal.Signals(signals[0]).name
        problem = f"one of {count} processes of the training was ended by {name}"
        fix = "was memory short? Started again, it goes on from its last checkpoint"
        raise ModelError(problem, fix)
    sys.stderr.write(noise)
    raise RuntimeError(f"the training in {count} processes failed; their output is above")
