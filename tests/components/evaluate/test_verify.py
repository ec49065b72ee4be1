"""verify: every byte counts, and every number follows from the answers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented_run import Run

from components.evaluate.core import evaluate
from components.evaluate.verify import verify
from components.shared import manifest
from components.shared.errors import DataError

MakeRun = Callable[..., Run]


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    run = make_run(papers=6, each=5)
    evaluate(run.config, *run.folders)
    return run


def places(run: Run) -> dict[str, Path]:
    return dict(zip(("train", "test", "adapter"), run.folders, strict=False))


def test_an_untouched_evaluation_is_recomputed_to_the_bit(run: Run) -> None:
    lines = verify(run.folders[3], places(run))
    assert any(line.startswith("240 answers of 8 systems score as stored") for line in lines)
    assert lines[-1].startswith("verdict recomputed: better")
    assert verify(run.folders[3], {})[-1] == lines[-1], (
        "the evaluation's own folder is enough for the verdict"
    )


def test_any_changed_byte_is_found_and_its_file_named(run: Run) -> None:
    folders = [run.folders[3], *places(run).values()]
    files = [
        path
        for folder in folders
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*")))
    ]
    names = {path.name for path in files}
    assert names >= {
        "answers.jsonl",
        "verdict.json",
        "examples.jsonl",
        "SHA256SUMS",
        "adapter.json",
    }
    for path in files:
        before = path.read_bytes()
        for place in {0, len(before) // 2, len(before) - 1} if before else set():
            path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
            # a changed hash is told as a change of the file that it belongs to
            named = "." if path.name == "SHA256SUMS" else re.escape(path.name)
            with pytest.raises(DataError, match=named):
                verify(run.folders[3], places(run))
        path.write_bytes(before)
    verify(run.folders[3], places(run))


def test_a_missing_or_added_file_is_named(run: Run) -> None:
    (run.folders[0] / "more.txt").write_text("x")
    with pytest.raises(DataError, match=r"added: train/more\.txt"):
        verify(run.folders[3], places(run))
    (run.folders[3] / "rejects.jsonl").unlink()
    with pytest.raises(DataError, match=r"missing: rejects\.jsonl"):
        verify(run.folders[3], {})


def forge(run: Run, name: str, change: Callable[[Any], Any]) -> None:
    """Change a stored row and make the hashes fit again, as somebody would who knows how."""
    path = run.folders[3] / name
    rows = (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if name.endswith("l")
        else None
    )
    if rows is None:
        text = json.dumps(
            change(json.loads(path.read_text("utf-8"))),
            ensure_ascii=False,
            indent=2,
            sort_keys=True,
        )
    else:
        change(rows[0])
        text = "\n".join(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)
    path.write_text(text + "\n", "utf-8")
    manifest.write(run.folders[3], places(run))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "answers.jsonl",
            lambda row: row["scores"].update(rougeL=0.99),
            "the score of base on 7-0000",
        ),
        (
            "answers.jsonl",
            lambda row: row.update(loss=1.0),
            r"not what the answers give: systems\[0\]\.loss",
        ),
        (
            "verdict.json",
            lambda row: {**row, "word": "worse"},
            "word is 'worse', recomputed 'better'",
        ),
        (
            "verdict.json",
            lambda row: {**row, "dataset_digest": "x"},
            "dataset_digest is not that of train and test",
        ),
        ("verdict.json", lambda row: {**row, "level": 0.01}, "level is 0.01, recomputed 0.0045"),
        ("verdict.json", lambda row: {**row, "planned_gain": 0.01}, "planned_gain is 0.01"),
        ("verdict.json", lambda row: {**row, "left_out": 3}, "left_out is 3, recomputed 0"),
        ("verdict.json", lambda row: {**row, "unnamed": 6}, "unnamed is 6, recomputed 0"),
        ("verdict.json", lambda row: {**row, "trained": False}, "trained is False, recomputed"),
        (
            "verdict.json",
            lambda row: {**row, "spent_before": [0.0045] * 8},
            r"comparisons\[0\]\.detectable",
        ),
        (
            "verdict.json",
            lambda row: row["comparisons"][0].update(detectable=0.01) or row,
            r"comparisons\[0\]\.detectable is 0.01",
        ),
        (
            "verdict.json",
            lambda row: row["rules"].update(year_error=0.2) or row,
            r"comparisons\[0\]\.detectable",
        ),
        (
            "verdict.json",
            lambda row: row["expected_spread"].update(deviation=0.01) or row,
            "planned_gain is",
        ),
    ],
)
def test_a_forged_figure_is_found_by_computing_it_again(
    run: Run, name: str, change: Callable[[Any], Any], message: str
) -> None:
    forge(run, name, change)
    with pytest.raises(DataError, match=message):
        verify(run.folders[3], places(run))
