"""kill -9 at random points of an evaluation: same answers, nothing made twice."""

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from invented_run import make_examples, source
from random_models import make_adapter
from restart_child import evaluate_once

from components.shared.records import write_records
from components.shared.store import FolderStore
from components.shared.verdict import Verdict
from tests.fork_server import preloading

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("ARXTUNE_KILLS", "20"))
EXAMPLES = make_examples(4, 6, 40, seed=7)
BATCHES = 2 * 2 * len(EXAMPLES) // 2  # answers and losses, base and tuned, two at a time
CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture(autouse=True, scope="module")
def loaded() -> Iterator[None]:
    with preloading("torch", "transformers", "peft", "scipy.stats", "components.evaluate.core"):
        yield


def lay_out(root: Path) -> list[Path]:
    train, test, adapter = (root / name for name in ("train", "test", "adapter"))
    write_records(train / "examples.jsonl", make_examples(5, 4, 0, seed=3))
    write_records(test / "examples.jsonl", EXAMPLES)
    write_records(
        test / "sources.jsonl", map(source, sorted({example.paper for example in EXAMPLES}))
    )
    make_adapter(adapter, EXAMPLES)
    return [train, test, adapter]


def start(root: Path, inputs: list[Path]) -> multiprocessing.process.BaseProcess:
    folders = [*inputs, root / "evaluation", root / "report.html", root / "summary.md"]
    process = CONTEXT.Process(
        target=evaluate_once, args=(str(root / "store"), folders, root / "log")
    )
    process.start()
    return process


def answered(root: Path) -> bytes:
    return (root / "evaluation/answers.jsonl").read_bytes()


def stored(root: Path) -> list[Path]:
    return list(root.glob("store/evaluations/*/*/*.json"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_killed_at_random_points_and_run_again(tmp_path: Path) -> None:
    inputs = lay_out(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for root in (whole, killed):
        root.mkdir()
    undisturbed = start(whole, inputs)

    draw = random.Random(5)
    for point in sorted(draw.sample(range(BATCHES), KILLS)):
        process = start(killed, inputs)
        deadline = time.monotonic() + 120
        while len(stored(killed)) < point:
            assert process.exitcode is None, (killed / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(draw.random() * 0.02)
        process.kill()
        process.join()
    for process in (start(killed, inputs), undisturbed):
        process.join(300)
        assert process.exitcode == 0, (killed / "log").read_text()

    assert answered(killed) == answered(whole)
    verdicts = [Verdict.read(root / "evaluation/verdict.json") for root in (killed, whole)]
    assert len({replace(verdict, at="", run="").text for verdict in verdicts}) == 1
    made = Counter(
        (path.parent, name)
        for path in stored(killed)
        for name in json.loads(path.read_text("utf-8"))["value"]
    )
    assert len(made) == 4 * len(EXAMPLES)
    assert set(made.values()) == {1}, "what was stored before a kill is not made again"
    assert len(stored(killed)) == BATCHES
    assert len(list(FolderStore(killed / "store").list("looks/arxtune"))) == 1, (
        "however often it starts, one look"
    )
