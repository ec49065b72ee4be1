import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invented_run import Run

from components.evaluate.core import evaluate, run_name
from components.evaluate.history import past_verdicts
from components.shared.errors import DataError
from components.shared.ledger import read_lineage
from components.shared.records import Answer, digest, read_records, write_records
from components.shared.verdict import (
    BASE_CUT,
    BETTER,
    COPYING,
    NO_EVIDENCE,
    TOO_LITTLE,
    WORSE,
    Verdict,
)

MakeRun = Callable[..., Run]


def judged(run: Run) -> Verdict:
    evaluate(run.config, *run.folders)
    return Verdict.read(run.folders[3] / "verdict.json")


def test_a_tuned_model_near_the_references_is_better(make_run: MakeRun) -> None:
    run = make_run()
    summary = evaluate(run.config, *run.folders)
    verdict = Verdict.read(run.folders[3] / "verdict.json")
    assert verdict.word == summary["facts"]["verdict"] == BETTER
    assert (summary["seen"], summary["kept"]) == (72, 72)
    assert len(verdict.systems) == 8
    assert {pair.other for pair in verdict.comparisons} == {row.name for row in verdict.systems} - {
        "tuned"
    }


def test_swapping_base_and_tuned_turns_the_verdict_round(make_run: MakeRun) -> None:
    run = make_run()
    run.answer("base", run.good())
    run.answer("tuned-digest", run.rambling())
    assert judged(run).word == WORSE


def test_a_model_that_copies_its_input_is_not_better_than_copying(make_run: MakeRun) -> None:
    run = make_run()
    run.answer("base", ["unrelated words"] * len(run.examples))
    run.answer("tuned-digest", [example.input for example in run.examples])
    verdict = judged(run)
    assert verdict.word == COPYING
    assert "copy-input baseline" in verdict.reason


def test_a_model_equal_to_its_base_is_no_evidence(make_run: MakeRun) -> None:
    run = make_run()
    run.answer("tuned-digest", run.rambling())
    assert judged(run).word == NO_EVIDENCE


def test_the_last_release_has_to_be_beaten(make_run: MakeRun) -> None:
    run = make_run()
    run.release(1, "first-digest")
    run.release(2, "second-digest")
    run.answer("second-digest", run.good(noise=0.05))
    verdict = judged(run)
    assert verdict.word == NO_EVIDENCE
    assert verdict.champion == {"version": 2, "adapter_digest": "second-digest"}
    champion, tuned = verdict.system("champion"), verdict.system("tuned")
    assert champion
    assert tuned
    assert champion.rougeL > tuned.rougeL


def test_an_adapter_that_is_released_already_is_not_compared_with_itself(make_run: MakeRun) -> None:
    run = make_run()
    run.release(4, "tuned-digest")
    verdict = judged(run)
    assert verdict.champion is None
    assert verdict.system("champion") is None
    assert "This adapter is already released as version 4 of 'arxtune'." in verdict.notes
    assert "already released as version 4" in run.report


def test_a_release_of_another_base_is_named_and_not_compared(make_run: MakeRun) -> None:
    run = make_run()
    run.release(3, "other-digest", base="another-base")
    verdict = judged(run)
    assert verdict.champion is None
    assert "of another base (another-base) and was not compared" in verdict.notes[0]


def test_no_baseline_changes_with_the_references(make_run: MakeRun) -> None:
    run = make_run()
    evaluate(run.config, *run.folders)
    before, tuned = baseline_texts(run), run.good()
    hidden = [
        replace(example, completion=f"Another reference, {example.triple}.")
        for example in run.examples
    ]
    write_records(run.folders[1] / "examples.jsonl", hidden)
    run.examples = hidden
    run.answer("base", run.rambling())
    run.answer("tuned-digest", tuned)
    evaluate(run.config, *run.folders)
    assert baseline_texts(run) == before
    assert set(before) > {BASE_CUT, "echo input", "first words", "random training answer"}


def baseline_texts(run: Run) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for answer in read_records(run.folders[3] / "answers.jsonl", Answer):
        if answer.system not in ("base", "tuned"):
            texts.setdefault(answer.system, []).append(answer.text)
    return texts


def test_every_figure_can_be_recomputed_from_the_answers(make_run: MakeRun) -> None:
    run = make_run()
    verdict = judged(run)
    answers = list(read_records(run.folders[3] / "answers.jsonl", Answer))
    assert len(answers) == 8 * 72
    for row in verdict.systems:
        own = [answer for answer in answers if answer.system == row.name]
        assert row.rougeL == pytest.approx(sum(answer.scores["rougeL"] for answer in own) / 72)
    base = verdict.system("base")
    assert base
    assert base.stopped == 0.0, "rambling answers are cut at the limit"


def test_the_digest_of_the_data_covers_train_and_test_as_curate_computes_it(
    make_run: MakeRun,
) -> None:
    run = make_run()
    train, test = (
        [json.loads(line) for line in (folder / "examples.jsonl").read_text("utf-8").splitlines()]
        for folder in run.folders[:2]
    )
    assert judged(run).dataset_digest == digest([train, test])


def test_rows_that_name_no_paper_are_not_called_papers(make_run: MakeRun) -> None:
    run = make_run()
    path = run.folders[1] / "examples.jsonl"
    path.write_text(path.read_text("utf-8").replace('"paper": "', '"paper": "rows-'), "utf-8")
    verdict = judged(run)
    assert verdict.unnamed == verdict.papers == len({example.paper for example in run.examples})
    assert any("groups of rows that name no paper" in note for note in verdict.notes)
    told = f"{verdict.papers} groups of rows, whose papers are unknown"
    for text in (run.report, run.folders[5].read_text("utf-8")):
        assert told in text
        assert "nobody trained on" not in text


def test_a_second_run_gives_the_same_verdict_with_a_date_of_its_own(make_run: MakeRun) -> None:
    run = make_run()
    first, answers = judged(run), (run.folders[3] / "answers.jsonl").read_bytes()
    again = judged(run)
    assert (run.folders[3] / "answers.jsonl").read_bytes() == answers
    expected = {"planned_gain": first.planned_gain, "expected_spread": first.expected_spread}
    assert replace(again, at=first.at, **expected) == first
    assert first.at.endswith("+00:00")
    assert again.looks_spent == 0, "the same adapter on the same data is the same look"
    assert [entry.word for entry in past_verdicts(run.store, "arxtune")] == [BETTER, BETTER]


def test_the_gain_announced_rests_on_the_spread_of_earlier_verdicts(make_run: MakeRun) -> None:
    run = make_run()
    first = judged(run)
    again = judged(run)
    found = again.against("base")
    assert found
    assert again.planned_gain
    assert 1 / 1.5 <= again.planned_gain / found.detectable <= 1.5
    assert first.planned_gain
    assert first.planned_gain > 0.05, "cautious, where nothing was measured"


def test_papers_that_any_of_the_models_was_trained_on_are_left_out(make_run: MakeRun) -> None:
    run = make_run()
    papers = sorted({example.paper for example in run.examples})
    run.answer("champion-digest", run.rambling())
    run.release(1, "champion-digest", papers=papers[:2])
    verdict = judged(run)
    assert (verdict.papers, verdict.left_out) == (7, 16)
    assert verdict.word == BETTER
    assert "16 left out, as told below" in run.report
    rejects = (run.folders[3] / "rejects.jsonl").read_text("utf-8")
    assert rejects.count("its paper was trained on") == 16


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/h/runs/20260301-1/artifacts/arxtune-1/evaluate/evaluation", "20260301-1"),
        ("/minio/bucket/v2/artifacts/arxtune/6f1c/evaluate/2/evaluation", "6f1c"),
        ("/tmp/evaluation", "by hand"),
    ],
)
def test_a_verdict_names_its_run(path: str, name: str) -> None:
    assert run_name(Path(path)) == name


def test_the_lineage_goes_on_from_the_adapter(make_run: MakeRun) -> None:
    run = make_run()
    summary = evaluate(run.config, *run.folders)
    stages = read_lineage(run.folders[3])
    names = "scrape extract generate curate finetune evaluate"
    assert [stage["stage"] for stage in stages] == names.split()
    assert stages[-1] == summary


@pytest.mark.parametrize(
    "data",
    [{"papers": 0, "each": 0}, {"papers": 0, "each": 0, "trained": False}, {"trained": False}],
)
def test_nothing_to_judge_is_a_report_and_no_error(make_run: MakeRun, data: dict[str, Any]) -> None:
    run = make_run(
        answered=False, **data
    )  # nothing is answered, and the base does not exist: no model may be loaded
    verdict = judged(run)
    assert verdict.word == TOO_LITTLE
    assert "Too little data".lower() in run.report.lower()
    assert "truncated.pdf" in run.report


@pytest.mark.parametrize(("papers", "each"), [(4, 30), (6, 3), (1, 30)])
def test_few_examples_or_papers_are_too_little_data_however_well_they_score(
    make_run: MakeRun, papers: int, each: int
) -> None:
    verdict = judged(make_run(papers, each))
    assert verdict.word == TOO_LITTLE
    assert f"{papers * each} test examples from {papers} papers" in verdict.reason
    assert verdict.system("tuned") is not None, "the scores are shown all the same"


def test_an_adapter_folder_without_its_record_is_an_error_that_says_what_to_do(
    make_run: MakeRun,
) -> None:
    run = make_run()
    (run.folders[2] / "adapter.json").write_text('{"base": "x"}', "utf-8")
    with pytest.raises(DataError, match=r"adapter\.json: a Adapter lacks .*trained"):
        evaluate(run.config, *run.folders)
