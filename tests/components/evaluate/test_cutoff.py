"""Test papers that the base may have read: marked, and left out only when asked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from invented_run import Run

from components.evaluate.config import EvaluateConfig
from components.evaluate.core import evaluate
from components.evaluate.verify import verify
from components.shared import manifest
from components.shared.bases import SMOLLM2, base_cutoff
from components.shared.errors import ConfigError, DataError
from components.shared.records import Source, read_records, write_records
from components.shared.verdict import Verdict

MakeRun = Callable[..., Run]
CUTOFF = "2024-06-30"


def judged(run: Run, days: list[str]) -> Verdict:
    """Judge a run whose test papers were submitted on these days."""
    sources = list(read_records(run.folders[1] / "sources.jsonl", Source))
    for source, day in zip(sources, days, strict=True):
        source.submitted = day
    write_records(run.folders[1] / "sources.jsonl", sources)
    evaluate(run.config, *run.folders)
    return Verdict.read(run.folders[3] / "verdict.json")


DAYS = ["2024-06-30", "2024-07-01", "", "2024-05-02", *["2025-01-01"] * 5]


def test_papers_of_the_cutoff_or_of_no_known_day_are_marked_and_stay(make_run: MakeRun) -> None:
    run = make_run(base_cutoff=CUTOFF)
    verdict = judged(run, DAYS)
    papers = sorted({example.paper for example in run.examples})
    assert verdict.older == [papers[place] for place in (0, 2, 3)]
    assert (verdict.papers, verdict.left_out) == (9, 0)
    assert "3 of 9 test papers" in verdict.notes[-1]
    assert run.report.count("the base may have read it") == 3


def test_they_are_left_out_when_asked_and_counted(make_run: MakeRun) -> None:
    verdict = judged(make_run(base_cutoff=CUTOFF, leave_out_older=True), DAYS)
    assert (verdict.papers, verdict.left_out, verdict.older) == (6, 24, [])


def test_without_a_cutoff_no_paper_is_marked(make_run: MakeRun) -> None:
    verdict = judged(make_run(), DAYS)
    assert (verdict.cutoff, verdict.older) == ("", [])


def test_a_forged_mark_is_found(make_run: MakeRun) -> None:
    run = make_run(base_cutoff=CUTOFF)
    judged(run, DAYS)
    path = run.folders[3] / "verdict.json"
    row = json.loads(path.read_text("utf-8"))
    text = json.dumps({**row, "older": []}, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    path.write_text(text, "utf-8")
    places = dict(zip(("train", "test", "adapter"), run.folders, strict=False))
    manifest.write(run.folders[3], places)
    with pytest.raises(DataError, match="older"):
        verify(run.folders[3], places)


@pytest.mark.parametrize(
    ("card", "day"),
    [
        ("The pretraining data has a cutoff of March 2023 for the 8B model.", "2023-03-31"),
        ("**Knowledge cut-off date:** February 2024", "2024-02-29"),
        ("It knows nothing of any cutoff.", ""),
        ("a cutoff of Smarch 2023", ""),
    ],
)
def test_the_card_of_a_base_may_name_its_cutoff(tmp_path: Path, card: str, day: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\n---\n{card}\n", "utf-8")
    assert base_cutoff(str(tmp_path)) == day
    assert base_cutoff(SMOLLM2) == "2024-11-30"


def test_a_cutoff_that_is_no_day_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.base_cutoff='2023': must be a day"):
        EvaluateConfig(base_cutoff="2023")
