"""What was learned, whether it generalises, what was forgotten: figures of made-up losses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from invented_run import Run, make_examples

from components.evaluate.core import evaluate
from components.evaluate.currency import (
    BEYOND,
    KEPT,
    LEARNED,
    LOSS,
    OPEN,
    SCORE,
    TEXT,
    candidates,
    choose,
    figures,
    find,
    findings,
    forgotten,
    general_text,
)
from components.evaluate.verdict import Case, decide
from components.evaluate.verify import verify
from components.shared import manifest
from components.shared.errors import DataError
from components.shared.prompt import render_prompt
from components.shared.records import CLOSED, Answer, Example, write_records
from components.shared.verdict import BETTER, FORGETS, Figure, Verdict
from tests.verdicts import CASE, RULES, against, scores, verdict

MakeRun = Callable[..., Run]


def answers(
    kind: str, system: str, nats: float, papers: int = 12, score: float = 0.5
) -> list[Answer]:
    """Return two answers a paper whose losses lie around `nats` a token, of ten tokens each."""
    found = []
    for number in range(2 * papers):
        found.append(
            Answer(
                system=system,
                triple=f"{kind}-{number}",
                paper=f"{kind}-{number // 2}",
                kind=kind,
                text="",
                tokens=0,
                stopped=True,
                scores={"rougeL": score},
                loss=10 * nats + 0.1 * (number % (5 if system == "base" else 7) - 2),
                reference_tokens=10,
            )
        )
    return found


def measured(**gains: float) -> list[Figure]:
    """Return the figures of a tuned model with these gains in nats a token, by part."""
    sides: dict[str, dict[str, list[Answer]]] = {"test": {}, "probes": {"base": [], "tuned": []}}
    for part, gain in gains.items():
        for system, nats in (("base", 3.0), ("tuned", 3.0 - gain)):
            rows = answers(part, system, nats)
            if part == OPEN:
                sides["test"][system] = rows
            else:
                sides["probes"][system] += rows
    return figures(RULES, sides["test"], sides["probes"])


def test_a_gain_on_held_out_facts_counts_as_learned_only_beyond_that_on_papers_never_read() -> None:
    facts, style = measured(learned=0.9, closed=0.4), measured(learned=0.4, closed=0.4)
    learned, not_learned = find(facts, LEARNED, BEYOND), find(style, LEARNED, BEYOND)
    assert learned is not None
    assert not_learned is not None
    assert learned.gain == pytest.approx(0.5)
    assert 0 < learned.low < 0.5 < learned.high
    assert not_learned.low <= 0 <= not_learned.high


def test_the_interval_of_a_difference_is_wider_than_that_of_each_side() -> None:
    found = measured(learned=0.9, closed=0.4)
    both = [find(found, part) for part in (LEARNED, CLOSED)]
    beyond = find(found, LEARNED, BEYOND)
    assert beyond is not None
    for side in both:
        assert side is not None
        assert beyond.high - beyond.low > side.high - side.low


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ({"open": 0.5, "kept": 0.0}, BETTER),
        ({"open": 0.5, "kept": -0.05}, BETTER),
        ({"open": 0.5, "kept": -0.2}, FORGETS),
        ({"open": -0.1, "kept": 0.0}, FORGETS),
        ({"open": 0.5}, BETTER),
    ],
)
def test_a_model_that_only_loses_what_it_knew_forgets(gains: dict[str, float], word: str) -> None:
    pairs = [against("base", (0.01, 0.05)), against("empty", (0.01, 0.05))]
    systems = [scores("base", 0.2), scores("tuned", 0.4), scores("empty", 0.1)]
    found, tiny = measured(**gains), Case(**CASE, knows=False)
    assert decide(RULES, Case(**CASE), pairs, systems, found)[0] == word
    assert decide(RULES, tiny, pairs, systems, found)[0] == BETTER, "a base that knows nothing"
    unbeaten = [against("base", (-0.02, 0.05)), *pairs[1:]]
    assert decide(RULES, Case(**CASE), unbeaten, systems, found)[0] == "no evidence"


def test_the_margin_is_a_rule_and_a_wide_interval_does_not_pass_it() -> None:
    kept = find(measured(kept=-0.05), KEPT)
    assert kept is not None
    assert not forgotten(RULES, [kept])
    assert "general text" in forgotten(replace(RULES, kept_margin=0.01), [kept])
    assert "0.1 of them at most" in forgotten(RULES, [replace(kept, low=-0.3)])


def test_the_general_text_is_60_short_passages() -> None:
    passages = general_text()
    assert len(set(passages)) == len(passages) == 60
    assert {len(passage.split()) // 10 for passage in passages} <= {4, 5, 6, 7}


def closed(rows: list[Example], passage: str = "") -> list[Example]:
    found = []
    for row in rows:
        prompt = render_prompt(f"{row.instruction} ({row.triple})", "")
        kept = row.input + passage
        found.append(replace(row, kind=CLOSED, prompt=prompt, input=kept, triple=f"c{row.triple}"))
    return found


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    """A run of six test papers, with two closed-book rows each, and ten held-out facts."""
    run = make_run(papers=6, each=5)
    test = run.folders[1]
    mine = [*run.examples, *closed(run.examples[::3], " Told once more.")]
    write_records(test / "examples.jsonl", mine)
    held_out = closed(make_examples(5, 2, 0, seed=11))
    write_records(test / "learned.jsonl", held_out)
    judged, run.examples = run.examples, [*mine, *held_out]
    run.answer("base", run.rambling())
    run.answer("tuned-digest", run.good())
    run.examples = judged
    return run


def places(run: Run) -> dict[str, Path]:
    return dict(zip(("train", "test", "adapter"), run.folders, strict=False))


def test_a_run_measures_all_probes_and_verify_computes_them_again(run: Run) -> None:
    evaluate(run.config, *run.folders)
    found = Verdict.read(run.folders[3] / "verdict.json")
    counted = {(figure.part, figure.unit): figure.examples for figure in found.currency}
    assert counted[KEPT, LOSS] == 60
    assert counted[LEARNED, LOSS] == counted[LEARNED, SCORE] == 10
    assert counted[CLOSED, LOSS] == counted[CLOSED, SCORE] == 10
    assert counted[OPEN, LOSS] == found.examples == 30
    assert counted[TEXT, LOSS] > 30
    score = find(found.currency, LEARNED, SCORE)
    assert score is not None
    assert score.gain > 0.3
    assert any("probes" in line for line in verify(run.folders[3], places(run)))


@pytest.mark.parametrize("forged", ["probes.jsonl", "probe_answers.jsonl", "verdict.json"])
def test_a_forged_probe_is_found(run: Run, forged: str) -> None:
    evaluate(run.config, *run.folders)
    path = run.folders[3] / forged
    text = path.read_text("utf-8")
    if forged == "verdict.json":
        row = json.loads(text)
        row["currency"][0]["gain"] = 1.0
        changed = json.dumps(row, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    else:
        *rows, last = text.splitlines()
        row = json.loads(last)
        row["completion" if forged == "probes.jsonl" else "loss"] = 7.0
        changed = "\n".join([*rows, json.dumps(row, ensure_ascii=False, sort_keys=True), ""])
    path.write_text(changed, "utf-8")
    manifest.write(run.folders[3], places(run))
    with pytest.raises(DataError, match=r"probes\.jsonl|currency\["):
        verify(run.folders[3], places(run))


def test_only_papers_that_were_trained_on_tell_what_was_learned(run: Run) -> None:
    found = candidates(run.folders[1])
    trained = {probe.paper for probe in found if probe.kind == LEARNED}
    tested = {probe.paper for probe in found if probe.kind == CLOSED}
    one = min(trained)
    kinds = {probe.kind for probe in choose(found, tested, trained, 0)}
    assert kinds == {LEARNED, CLOSED, TEXT, KEPT}
    fewer = choose(found, tested, trained - {one}, 0)
    assert one not in {probe.paper for probe in fewer}
    bounded = choose(found, tested, trained, 4)
    assert len([probe for probe in bounded if probe.kind == LEARNED]) == 4
    assert len([probe for probe in bounded if probe.kind == KEPT]) == 60


@pytest.mark.parametrize(
    ("gains", "interval", "words"),
    [
        ({"learned": 0.9, "closed": 0.4, "kept": 0.0}, (0.01, 0.05), ["yes", "yes", "yes"]),
        ({"learned": 0.4, "closed": 0.4, "kept": -0.1}, (-0.01, 0.05), ["not shown"] * 3),
        ({"kept": -0.2}, (-0.05, -0.01), ["not measured", "no", "no"]),
    ],
)
def test_the_three_questions_are_answered_in_words(
    gains: dict[str, float], interval: tuple[float, float], words: list[str]
) -> None:
    said = findings(verdict(currency=measured(**gains), comparisons=[against("base", interval)]))
    assert [finding.word for finding in said] == words


def test_words_and_numbers_stand_on_the_reports_first_screen(run: Run) -> None:
    evaluate(run.config, *run.folders)
    first_screen = run.report[: run.report.index("Settled before the run")]
    for finding in findings(Verdict.read(run.folders[3] / "verdict.json")):
        green = ' class="yes"' if finding.word == "yes" else ""
        place = first_screen.index(f"{finding.title}: <b{green}>{finding.word}</b>")
        assert place < first_screen.index(finding.sentence) < first_screen.index("Gain, ROUGE-L")
        assert finding.numbers[0] in first_screen
        assert finding.sentence in run.folders[5].read_text("utf-8")


def test_where_examples_are_bounded_the_loss_is_measured_on_a_quarter_of_them(
    make_run: MakeRun,
) -> None:
    run = make_run(papers=6, each=5, max_examples=24)
    evaluate(run.config, *run.folders)
    found = Verdict.read(run.folders[3] / "verdict.json")
    loss = find(found.currency, OPEN)
    assert loss is not None
    assert (found.examples, loss.examples, loss.papers) == (24, 6, 6)
    assert found.systems[0].loss == pytest.approx(1.5)
    assert verify(run.folders[3], places(run))
