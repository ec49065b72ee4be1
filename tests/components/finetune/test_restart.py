"""Killed at any step and started again, the training ends with the same weights."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.finetune.checkpoints import KEPT, Checkpoints
from components.shared.store import FolderStore
from pipelines.store_server import BUCKET, s3_server
from tests.components.finetune import children
from tests.components.finetune.proxy import Door
from tests.fork_server import preloading

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("ARXTUNE_KILLS", "4"))  # of one training, by each signal
AWAY = float(os.environ.get("ARXTUNE_AWAY", "12"))  # seconds that the store is away
STEPS = 24
DEADLINE = 300.0  # seconds


def adapter(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out/adapter/adapter.json").read_text())
    return found


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (folder / "out/adapter/steps.jsonl").open()]
    return [(row["step"], row.get("loss", row.get("eval_loss"))) for row in rows]


@pytest.fixture(autouse=True, scope="module")
def loaded() -> Iterator[None]:
    with preloading(
        "tests.components.finetune.children", "components.finetune.trainer", "datasets"
    ):
        yield


@pytest.fixture(scope="module")
def left_alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    children.write_examples(folder)
    process = children.start(base, folder, str(folder / "store"))
    process.join(DEADLINE)
    assert process.exitcode == 0, (folder / "log").read_text()
    return folder


def test_a_training_that_is_left_alone_leaves_no_checkpoint(left_alone: Path) -> None:
    assert children.steps_run(left_alone) == list(range(1, STEPS + 1))
    assert not list(FolderStore(left_alone / "store").list("checkpoints"))
    assert len([loss for _, loss in losses(left_alone)]) == STEPS + 1 + 3, (
        "held-out loss at the start and each epoch"
    )


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_killed_again_and_again_it_ends_with_the_same_weights(
    base: Path, left_alone: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    children.write_examples(tmp_path)
    choose = random.Random(int(kind))
    for kill_at in sorted(choose.sample(range(1, STEPS - 1), KILLS)):
        process = children.start(base, tmp_path, str(tmp_path / "store"))
        wait_for_step(process, tmp_path, kill_at)
        time.sleep(
            choose.uniform(0, 0.05)
        )  # anywhere in the step after, or in the writing of the checkpoint
        os.kill(process.pid, kind)
        process.join(DEADLINE)
        assert process.exitcode in (-kind, 128 + kind)
        assert len(list((tmp_path / "store").glob("checkpoints/*/*/manifest.json"))) <= KEPT
    process = children.start(base, tmp_path, str(tmp_path / "store"))
    process.join(DEADLINE)
    assert process.exitcode == 0, (tmp_path / "log").read_text()

    assert adapter(tmp_path)["adapter_digest"] == adapter(left_alone)["adapter_digest"]
    assert losses(tmp_path) == losses(left_alone)
    run = children.steps_run(tmp_path)
    repeated = len(run) - STEPS
    assert repeated <= (KILLS if kind == signal.SIGKILL else 0), (
        f"more than one interval repeated: {run}"
    )


def test_a_damaged_checkpoint_is_passed_over_with_a_line(
    base: Path, left_alone: Path, tmp_path: Path
) -> None:
    children.write_examples(tmp_path)
    process = children.start(base, tmp_path, str(tmp_path / "store"))
    wait_for_step(process, tmp_path, 5)
    process.terminate()
    process.join(DEADLINE)
    store = FolderStore(tmp_path / "store")
    newest, older = Checkpoints(store, key(tmp_path)).steps()
    (optimizer,) = [
        name
        for name in store.list(f"checkpoints/{key(tmp_path)}/{newest:08d}")
        if "optimizer" in name
    ]
    damaged = tmp_path / "store" / optimizer
    damaged.write_bytes(damaged.read_bytes()[:-100] + bytes(100))

    process = children.start(base, tmp_path, str(tmp_path / "store"))
    process.join(DEADLINE)
    log = (tmp_path / "log").read_text()
    assert f"{newest:08d}/manifest.json is damaged" in log
    assert f"going on from the checkpoint of step {older}" in log
    assert adapter(tmp_path)["adapter_digest"] == adapter(left_alone)["adapter_digest"]


def test_a_full_disk_costs_checkpoints_and_ends_in_one_line(base: Path, tmp_path: Path) -> None:
    children.write_examples(tmp_path)
    process = children.start(
        base, tmp_path, str(tmp_path / "store"), prepare=children.no_large_files
    )
    process.join(DEADLINE)
    log = (tmp_path / "log").read_text()
    assert children.steps_run(tmp_path) == list(range(1, STEPS + 1)), log
    assert "no checkpoint at step 1: " in log
    assert log.rstrip().splitlines()[-1].startswith("ERROR cannot write")
    assert process.exitcode == 1
    assert not list(FolderStore(tmp_path / "store").list("checkpoints"))


def test_an_output_folder_that_is_read_only_is_told_before_anything_is_trained(
    base: Path, tmp_path: Path
) -> None:
    children.write_examples(tmp_path)
    (tmp_path / "out").mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == "root" and path != Path("/tmp") and "pytest" in path.name:
            path.chmod(0o755)
    tmp_path.chmod(0o777)
    process = children.start(base, tmp_path, str(tmp_path / "store"), prepare=children.nobody)
    process.join(DEADLINE)
    assert process.exitcode == 1
    assert (
        f"ERROR cannot write {tmp_path / 'out'}"
        in (tmp_path / "log").read_text().rstrip().splitlines()[-1]
    )
    assert children.steps_run(tmp_path) == []


def key(folder: Path) -> str:
    (found,) = {path.name for path in (folder / "store/checkpoints").iterdir()}
    return found


def wait_for_step(process: Any, folder: Path, step: int) -> None:
    until = time.monotonic() + DEADLINE
    while process.is_alive() and step not in children.steps_run(folder):
        assert time.monotonic() < until
        time.sleep(0.005)
    assert process.is_alive(), (folder / "log").read_text()


def test_a_store_that_goes_away_costs_checkpoints_not_the_training(
    base: Path, left_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.write_examples(tmp_path)
    with s3_server(tmp_path / "home") as environment:
        parts = urlsplit(environment["AWS_ENDPOINT_URL"])
        door = Door((str(parts.hostname), int(parts.port or 0)))
        for name, value in {
            **environment,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{door.port}",
        }.items():
            monkeypatch.setenv(name, value)
        process = children.start(base, tmp_path, f"s3://{BUCKET}", environment=dict(os.environ))
        wait_for_step(process, tmp_path, 3)
        door.shut()
        time.sleep(AWAY)
        door.open()
        process.join(DEADLINE)
        door.shut()
    log = (tmp_path / "log").read_text()
    assert process.exitcode == 0, log
    # A short absence is waited out, a long one costs checkpoints: either way the training goes on.
    assert ("no checkpoint at step" in log) == ("training goes on" in log)
    assert adapter(tmp_path)["adapter_digest"] == adapter(left_alone)["adapter_digest"]
