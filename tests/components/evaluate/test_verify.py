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
    expected = {"answers.jsonl", "verdict.json", "examples.jsonl", "SHA256SUMS", "adapter.json"}
    assert {path.name for path in files} >= expected
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
    text = path.read_text("utf-8")
    if name.endswith("l"):
        first, *others = text.splitlines()
        lines = [json.dumps(change(json.loads(first)), ensure_ascii=False, sort_keys=True), *others]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        row = change(json.loads(text))
        changed = json.dumps(row, ensure_ascii=False, indent=2, sort_keys=True)
        path.write_text(changed + "\n", "utf-8")
    manifest.write(run.folders[3], places(run))


def setting(*place: str | int, to: object) -> Callable[[Any], Any]:
    """Return a change that sets the figure at a place in a row."""

    def change(row: Any) -> Any:
        inner = row
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = to
        return row

    return change


VERDICT, ANSWERS = "verdict.json", "answers.jsonl"
DETECTABLE = r"comparisons\[0\]\.detectable"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (ANSWERS, setting("scores", "rougeL", to=0.99), "the score of base on 7-0000"),
        (ANSWERS, setting("loss", to=1.0), r"not what the answers give: currency\[0\]\.base"),
        (VERDICT, setting("word", to="worse"), "word is 'worse', recomputed 'better'"),
        (
            VERDICT,
            setting("dataset_digest", to="x"),
            "dataset_digest is not that of train and test",
        ),
        (VERDICT, setting("level", to=0.01), "level is 0.01, recomputed 0.0045"),
        (VERDICT, setting("spent_before", to=[0.0045] * 8), DETECTABLE),
        (VERDICT, setting("rules", "year_error", to=0.2), DETECTABLE),
        (VERDICT, setting("comparisons", 0, "detectable", to=0.01), f"{DETECTABLE} is 0.01"),
        (VERDICT, setting("expected_spread", "deviation", to=0.01), "planned_gain is"),
        (VERDICT, setting("planned_gain", to=0.01), "planned_gain is 0.01"),
        (VERDICT, setting("left_out", to=3), "left_out is 3, recomputed 0"),
        (VERDICT, setting("unnamed", to=6), "unnamed is 6, recomputed 0"),
        (VERDICT, setting("trained", to=False), "trained is False, recomputed True"),
    ],
)
def test_a_forged_figure_is_found_by_computing_it_again(
    run: Run, name: str, change: Callable[[Any], Any], message: str
) -> None:
    forge(run, name, change)
    with pytest.raises(DataError, match=message):
        verify(run.folders[3], places(run))
