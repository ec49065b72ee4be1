"""The word follows from the figures by rules that were written before."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.verdict import Case, decide, table
from components.shared.errors import DataError
from components.shared.verdict import (
    BETTER,
    COPYING,
    NO_EVIDENCE,
    TOO_LITTLE,
    WORSE,
    Comparison,
    SystemScores,
    Verdict,
)
from tests.verdicts import CASE, RULES, against, scores, verdict

ABOVE, ZERO, TOUCHING, BELOW = (0.01, 0.05), (-0.02, 0.03), (0.0, 0.04), (-0.05, -0.01)


def decided(
    pairs: list[Comparison], systems: list[SystemScores] | None = None, **changed: Any
) -> tuple[str, str]:
    names = {"base": 0.2, "tuned": 0.4, "echo input": 0.1, "empty": 0.1}
    found = systems or [scores(name, rouge) for name, rouge in names.items()]
    return decide(RULES, Case(**{**CASE, **changed}), pairs, found)


def word(intervals: dict[str, tuple[float, float]], **changed: Any) -> str:
    pairs = [against(other, interval) for other, interval in intervals.items()]
    return decided(pairs, **changed)[0]


@pytest.mark.parametrize(
    ("base", "baseline", "champion", "expected"),
    [
        (ABOVE, ABOVE, None, BETTER),
        (ABOVE, ABOVE, ABOVE, BETTER),
        (ABOVE, ABOVE, ZERO, NO_EVIDENCE),
        (ABOVE, ABOVE, TOUCHING, NO_EVIDENCE),
        (ABOVE, ABOVE, BELOW, NO_EVIDENCE),
        (ABOVE, ZERO, None, COPYING),
        (ABOVE, TOUCHING, None, COPYING),
        (ABOVE, BELOW, ABOVE, COPYING),
        (ABOVE, BELOW, BELOW, COPYING),
        (ZERO, ABOVE, None, NO_EVIDENCE),
        (TOUCHING, ABOVE, ABOVE, NO_EVIDENCE),
        (ZERO, BELOW, None, NO_EVIDENCE),
        (BELOW, ABOVE, ABOVE, WORSE),
        (BELOW, BELOW, None, WORSE),
        ((-0.05, 0.0), ABOVE, None, NO_EVIDENCE),
    ],
)
def test_the_word_follows_from_the_intervals(
    base: tuple[float, float],
    baseline: tuple[float, float],
    champion: tuple[float, float] | None,
    expected: str,
) -> None:
    intervals = {"base": base, "empty": ABOVE, "echo input": baseline}
    assert word(intervals | ({"champion": champion} if champion else {})) == expected


@pytest.mark.parametrize(
    ("trained", "examples", "papers", "expected"),
    [
        (True, 20, 5, BETTER),
        (True, 19, 5, TOO_LITTLE),
        (True, 20, 4, TOO_LITTLE),
        (False, 40, 8, TOO_LITTLE),
    ],
)
def test_too_little_data_comes_before_every_other_word(
    trained: bool, examples: int, papers: int, expected: str
) -> None:
    assert word({"base": ABOVE}, trained=trained, examples=examples, papers=papers) == expected


def test_no_examples_at_all_need_no_comparison() -> None:
    assert word({}, examples=0, papers=0) == TOO_LITTLE


def test_the_reason_names_the_baseline_that_was_not_beaten_and_its_figures() -> None:
    pairs = [against("base", ABOVE), against("first words", ZERO), against("echo input", BELOW)]
    _, reason = decided(pairs)
    assert "the copy-input baseline: ROUGE-L -0.030 [-0.050, -0.010]" in reason


def test_too_little_data_says_what_is_missing() -> None:
    _, reason = decided([], examples=12, papers=3)
    assert "12 test examples from 3 papers" in reason
    assert "20 from 5" in reason
    assert "about 10 more papers" in reason
    assert "--max-papers" in reason
    assert "6 more rows" in decided([], examples=14)[1]


def test_a_gain_that_convinces_once_but_not_within_the_year_is_no_evidence_and_says_so() -> None:
    word, reason = decided([against("base", ABOVE, floor=-0.004), against("empty", ABOVE)])
    assert word == NO_EVIDENCE
    assert "share of the year's error it reaches down to -0.004" in reason
    assert decided([against("base", ABOVE), against("empty", ABOVE, floor=0.0)])[0] == COPYING
    champion = against("champion", ABOVE, floor=-0.01)
    assert decided([against("base", ABOVE), champion])[0] == NO_EVIDENCE


def test_a_baseline_that_scores_higher_by_any_published_metric_is_not_beaten() -> None:
    pairs = [against("base", ABOVE), against("echo input", ABOVE)]
    systems = [scores("base", 0.2), scores("tuned", 0.4), scores("echo input", 0.3, 0.41)]
    word, reason = decided(pairs, systems)
    assert word == COPYING
    higher = "scores higher by rouge1 with rouge-score's tokenizer: 0.410 against 0.400"
    assert f"the copy-input baseline {higher}" in reason


def test_a_verdict_survives_its_file(tmp_path: Path) -> None:
    verdict().write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"rules": {}}', "null", json.dumps({**asdict(verdict()), "systems": 1})],
)
def test_a_file_that_is_no_verdict_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "verdict.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=r"verdict\.json: not a verdict"):
        Verdict.read(tmp_path / "verdict.json")


def test_the_table_shows_models_and_the_best_baseline_with_their_intervals() -> None:
    lines = table(verdict()).splitlines()
    assert lines[0] == "verdict: better than base, not better than copying"
    assert any("was not compared" in line for line in lines)
    (base,) = (line for line in lines if line.startswith("  base "))
    assert base.split() == [
        "base",
        "0.260",
        "0.105",
        "0.210",
        "31.5",
        "+0.030",
        "[+0.010,",
        "+0.050]",
    ]
    assert any(line.startswith("  best baseline: copy-input") for line in lines)
    assert not any("empty" in line for line in lines)
