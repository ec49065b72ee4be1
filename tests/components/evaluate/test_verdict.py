from pathlib import Path

import pytest

from components.evaluate.statistics import Comparison
from components.evaluate.verdict import (
    BETTER,
    COPYING,
    NO_EVIDENCE,
    TOO_LITTLE,
    WORSE,
    Rules,
    SystemScores,
    Verdict,
    decide,
    read_verdict,
    table,
    write_verdict,
)
from components.shared.errors import DataError

RULES = Rules(metric="rougeL", confidence=0.95, resamples=1_000, seed=1, min_test_examples=20, min_test_papers=5)
ABOVE, ZERO, TOUCHING, BELOW = (0.01, 0.05), (-0.02, 0.03), (0.0, 0.04), (-0.05, -0.01)


def against(other: str, interval: tuple[float, float]) -> Comparison:
    low, high = interval
    figures = {"standard_error": 0.01, "detectable": 0.028, "papers_won": 0.6}
    return Comparison(other=other, difference=(low + high) / 2, low=low, high=high, examples=40, papers=8, **figures)


def word(
    intervals: dict[str, tuple[float, float]], *, trained: bool = True, examples: int = 40, papers: int = 8
) -> str:
    pairs = [against(other, interval) for other, interval in intervals.items()]
    return decide(RULES, pairs, trained=trained, examples=examples, papers=papers)[0]


@pytest.mark.parametrize(
    ("base", "null", "champion", "expected"),
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
    base: tuple[float, float], null: tuple[float, float], champion: tuple[float, float] | None, expected: str
) -> None:
    intervals = {"base": base, "empty": ABOVE, "echo input": null}
    assert word(intervals | ({"champion": champion} if champion else {})) == expected


@pytest.mark.parametrize(
    ("trained", "examples", "papers", "expected"),
    [(True, 20, 5, BETTER), (True, 19, 5, TOO_LITTLE), (True, 20, 4, TOO_LITTLE), (False, 40, 8, TOO_LITTLE)],
)
def test_too_little_data_comes_before_every_other_word(
    trained: bool, examples: int, papers: int, expected: str
) -> None:
    assert word({"base": ABOVE}, trained=trained, examples=examples, papers=papers) == expected


def test_no_examples_at_all_need_no_comparison() -> None:
    assert word({}, examples=0, papers=0) == TOO_LITTLE


def test_the_reason_names_the_null_that_was_not_beaten_and_its_figures() -> None:
    pairs = [against("base", ABOVE), against("first words", ZERO), against("echo input", BELOW)]
    _, reason = decide(RULES, pairs, trained=True, examples=40, papers=8)
    assert "'echo input'" in reason
    assert "-0.030 [-0.050, -0.010]" in reason


def verdict() -> Verdict:
    rows = {"base": 0.21, "tuned": 0.34, "echo input": 0.36, "empty": 0.0}
    return Verdict(
        word=COPYING,
        reason="the tuned model beats its base, but is not shown to beat 'echo input'",
        notes=["Version 2 of release 'arxtune' is of another base (other) and was not compared."],
        base="invented-base",
        adapter_digest="a1",
        dataset_digest="d1",
        examples=40,
        papers=8,
        rules=RULES,
        systems=[
            SystemScores(
                name=name,
                examples=40,
                rouge1=score + 0.05,
                rouge2=score / 2,
                rougeL=score,
                words=31.5,
                stopped=0.9 if name in ("base", "tuned") else None,
            )
            for name, score in rows.items()
        ],
        comparisons=[against("base", ABOVE), against("echo input", BELOW), against("empty", ABOVE)],
    )


def test_a_verdict_survives_its_file(tmp_path: Path) -> None:
    write_verdict(tmp_path / "verdict.json", verdict())
    assert read_verdict(tmp_path / "verdict.json") == verdict()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rules": {}}'])
def test_a_file_that_is_no_verdict_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "verdict.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=r"verdict\.json: not a verdict"):
        read_verdict(tmp_path / "verdict.json")


def test_the_table_shows_models_and_the_best_null_with_their_intervals() -> None:
    lines = table(verdict()).splitlines()
    assert lines[0] == "verdict: better than base, not better than copying"
    assert any("was not compared" in line for line in lines)
    (base,) = (line for line in lines if line.startswith("  base "))
    assert base.split() == ["base", "0.260", "0.105", "0.210", "31.5", "+0.030", "[+0.010,", "+0.050]"]
    assert any(line.startswith("  best null: echo input") for line in lines)
    assert not any("empty" in line for line in lines)
