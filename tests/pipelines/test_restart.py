"""kill -9 at each stage in turn, then the same command: the same data in the end, and nothing done
twice."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pipelines.local import Run
from pipelines.stages import STAGES
from tests.pipelines.conftest import SMALL, Finished, finish, start

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def kill_in(home: Path, stage: str, all_at_once: bool = False) -> Path:
    """Start a run and kill it with SIGKILL as soon as `stage` has begun; return what is left of
    the run.

    Its other processes are killed with it, as when the power fails, or must end by themselves.
    """
    process = start(home, *SMALL)
    assert process.stdout is not None
    deadline = time.monotonic() + 300
    children: list[psutil.Process] = []
    try:
        while not list(home.glob(f"runs/*/artifacts/*/{stage}")):
            assert process.poll() is None, f"ended before {stage}: {process.stdout.read()}"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.7)  # into the stage's work
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        for child in children if all_at_once else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.stdout.close()
        process.wait()
    _gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, [child.cmdline() for child in alive]
    (run,) = home.glob("runs/*")
    return run.rename(home / f"killed-in-{stage}")


@pytest.mark.parametrize("all_at_once", [False, True])
def test_killed_at_every_stage_and_run_again(tmp_path: Path, all_at_once: bool) -> None:
    undisturbed = Finished(
        tmp_path, "", Run(kill_in(tmp_path / "other", "finetune"), 0.0)
    )  # whole up to curate
    home = tmp_path / "home"
    for stage in [*STAGES][:-1]:
        kill_in(home, stage, all_at_once)
    finished = finish(home, *SMALL)

    assert finished.dataset == undisturbed.dataset
    assert finished.run.lineage["scrape"]["facts"]["fetched"] == 0
    assert finished.run.lineage["generate"]["facts"]["answers asked for"] == 0
    requests = [json.loads(line) for line in (home / "logs" / "requests.jsonl").open()]
    fetched = Counter(
        request["path"] for request in requests if request["path"].startswith("/pdf/")
    )
    assert fetched
    twice = {path: count for path, count in fetched.items() if count > 1}
    assert len(twice) <= 1, (
        f"only the PDF in flight when scrape was killed may be asked for again: {twice}"
    )


def test_sigterm_ends_the_run_and_all_its_processes(tmp_path: Path) -> None:
    process = start(tmp_path, *SMALL)
    while not list(tmp_path.glob("runs/*/artifacts/*/scrape")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, [child.cmdline() for child in alive]
