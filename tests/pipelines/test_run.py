"""The main job: one command, the whole pipeline, a report and a verdict."""

import json
import re
from pathlib import Path

import pytest

from components.shared.records import Example, read_records
from pipelines.stages import STAGES
from tests.axe import look_at
from tests.builders import write_pdf
from tests.pipelines.conftest import SMALL, Finished, finish

PROSE = (
    "The routed model sends each token to two experts of a larger set. Its router learns with an auxiliary loss "
    "for an even load. A dense model of equal cost stays behind by one point on the same text. Removing the loss "
    "makes most experts idle within a thousand steps. The gain grows until sixteen experts share the work. "
)


def test_the_embedded_run_ends_better_and_is_released(embedded_run: Finished) -> None:
    assert embedded_run.run.verdict["word"] == "better", embedded_run.output
    assert embedded_run.tasks == set(STAGES)
    assert embedded_run.run.released
    assert re.search(r"^verdict: better$", embedded_run.output, re.MULTILINE)


def test_the_tuned_model_stops_by_itself(embedded_run: Finished) -> None:
    (tuned,) = (
        system for system in embedded_run.run.verdict["systems"] if system["name"] == "tuned"
    )
    assert tuned["stopped"] >= 0.95


@pytest.mark.parametrize("page", ["curate/card", "finetune/curve", "evaluate/report"])
def test_its_pages_are_accessible_at_any_width(
    embedded_run: Finished, page: str, tmp_path: Path
) -> None:
    stage, name = page.split("/")
    shown = tmp_path / f"{name}.html"
    shown.write_bytes((embedded_run.run.folder_of(stage) / name).read_bytes())
    findings, requests = look_at(shown)
    assert findings == []
    assert requests == [shown.as_uri()]


def test_no_test_paper_was_trained_on(embedded_run: Finished) -> None:
    folder = embedded_run.run.folder_of("curate")
    train, test = (
        {example.paper for example in read_records(folder / side / "examples.jsonl", Example)}
        for side in ("train", "test")
    )
    assert len(train) >= 25
    assert len(test) >= 5
    assert not train & test


def test_every_stage_says_what_it_kept_and_dropped(embedded_run: Finished) -> None:
    lineage = embedded_run.run.lineage
    assert list(lineage) == list([*STAGES][:-1])
    for summary in lineage.values():
        assert summary["seen"] == summary["kept"] + sum(summary["dropped"].values())
    assert lineage["scrape"]["dropped"]["licence not allowed: arxiv-nonexclusive"] > 0


def test_progress_names_stage_how_far_and_how_long(embedded_run: Finished) -> None:
    for stage in ("scrape", "extract", "generate", "finetune", "evaluate"):
        assert re.search(rf"^{stage}\s.*\d.*\d s\b", embedded_run.output, re.MULTILINE), stage
    assert "Traceback" not in embedded_run.output
    assert "Warning" not in embedded_run.output


def test_the_same_again_has_the_same_data_and_verdict_and_repeats_no_work(
    embedded_run: Finished,
) -> None:
    again = finish(embedded_run.home)
    assert again.dataset == embedded_run.dataset
    assert again.run.verdict["word"] == embedded_run.run.verdict["word"]
    assert again.run.lineage["scrape"]["facts"]["fetched"] == 0
    assert again.run.lineage["generate"]["facts"]["answers asked for"] == 0
    assert again.run.released == embedded_run.run.released


@pytest.mark.soak
def test_the_compiled_yaml_runs_the_same_tasks(embedded_run: Finished, tmp_path: Path) -> None:
    from kfp.compiler import Compiler

    from pipelines.arxtune import arxtune

    Compiler().compile(arxtune, str(tmp_path / "arxtune.yaml"))
    from_yaml = finish(embedded_run.home, "--pipeline", tmp_path / "arxtune.yaml")
    assert from_yaml.tasks == embedded_run.tasks
    assert from_yaml.dataset == embedded_run.dataset


@pytest.mark.soak
def test_a_folder_of_pdfs_is_served_and_its_bad_files_are_named(
    embedded_run: Finished, tmp_path: Path
) -> None:
    papers = tmp_path / "papers"
    for number in range(6):
        lines = [
            line + "."
            for line in (PROSE * 3).replace("one point", f"{number + 2} points").split(". ")
        ]
        write_pdf(papers / f"note {number}.pdf", ["\n".join(lines)])
    (papers / "broken.pdf").write_bytes((papers / "note 0.pdf").read_bytes()[:700])
    (papers / "empty.pdf").write_bytes(b"")
    (papers / "letter.pdf").write_text("Dear reader, this is a text file.")

    finished = finish(
        embedded_run.home, "--papers", papers, *SMALL
    )  # the small base is there already
    rejects = [reject for summary in finished.run.lineage.values() for reject in summary["rejects"]]
    report = finished.run.report.read_text("utf-8")
    for name in ("broken.pdf", "empty.pdf", "letter.pdf"):
        assert any(name in reject["detail"] for reject in rejects), json.dumps(rejects, indent=1)
        assert name in report
    assert finished.run.lineage["extract"]["kept"] == 6


@pytest.mark.soak
def test_a_folder_of_bad_files_alone_still_ends_in_a_report(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "broken.pdf").write_bytes(b"%PDF-1.7\nobject soup\n%%EOF\n")
    (papers / "empty.pdf").write_bytes(b"")
    (papers / "letter.pdf").write_text("Dear reader, this is a text file.")
    finished = finish(tmp_path / "home", "--papers", papers, *SMALL)
    assert finished.run.verdict["word"] == "too little data"
    assert finished.run.released is None
    report = finished.run.report.read_text("utf-8")
    assert all(name in report for name in ("broken.pdf", "empty.pdf", "letter.pdf"))
