"""What is known before a cost: whether a verdict can come of it."""

import json
from pathlib import Path

import pytest

from components.shared.feasibility import (
    TooLittleData,
    VerdictNeeds,
    held_out,
    require_test_set,
    require_verdict,
)

PAPERS = [f"2405.9{number:04}" for number in range(400)]
NEEDS = VerdictNeeds()


@pytest.mark.parametrize("count", [8, 9, 20, 100])
@pytest.mark.parametrize("seed", range(5))
def test_a_set_of_ones_own_gives_the_test_what_a_verdict_needs(count: int, seed: int) -> None:
    papers = PAPERS[:count]
    testing = held_out(papers, seed, NEEDS, own=True)
    assert len(testing) >= NEEDS.test_papers
    assert count - len(testing) >= 3
    assert "to test on" in require_verdict(papers, seed, own=True)


def test_a_set_of_ones_own_gives_examples_enough_too() -> None:
    rows = dict.fromkeys(PAPERS[:40], 1)
    assert len(held_out(rows, 42, NEEDS, own=True, examples=rows)) == 20
    few = dict.fromkeys(PAPERS[:22], 1)  # 20 of them would leave less than three
    assert len(held_out(few, 42, NEEDS, own=True, examples=few)) == 5


@pytest.mark.parametrize("stages", [["scrape", "curate"], ["curate"]])
def test_before_training_it_is_told_what_curate_held_out(stages: list[str], tmp_path: Path) -> None:
    def told(papers: int, **how: bool) -> str:
        facts = {"test": 4 * papers, "test papers": papers}
        lines = [json.dumps({"stage": stage, "facts": facts}) for stage in stages]
        (tmp_path / "lineage.jsonl").write_text("\n".join(lines))
        return require_test_set(tmp_path, **how)

    assert require_test_set(tmp_path) == ""
    assert told(5) == "a verdict will rest on 20 examples of 5 papers"
    assert told(4, train_anyway=True).endswith("training anyway")
    if "scrape" in stages:
        with pytest.raises(TooLittleData, match="16 test examples from 4 papers"):
            told(4)
    else:
        assert told(4).endswith("training anyway")


def test_three_papers_are_left_to_train_on() -> None:
    assert len(held_out(PAPERS[:7], 42, NEEDS, own=True)) < 5


@pytest.mark.parametrize("seed", range(5))
def test_papers_that_come_later_move_none_of_the_earlier(seed: int) -> None:
    few, many = held_out(PAPERS[:50], seed, NEEDS), held_out(PAPERS, seed, NEEDS)
    assert few == many & {*PAPERS[:50]}
    assert 0.1 < len(many) / len(PAPERS) < 0.3


@pytest.mark.parametrize(
    ("count", "own", "would_do"), [(0, False, 25), (6, False, 25), (7, True, 8)]
)
def test_too_few_papers_are_told_with_the_number_that_would_do(
    count: int, own: bool, would_do: int
) -> None:
    with pytest.raises(TooLittleData, match=f"which {would_do} papers are expected") as found:
        require_verdict(PAPERS[:count], 42, own=own)
    assert found.value.status == 2
    assert "\n" not in str(found.value)
    told = require_verdict(PAPERS[:count], 42, own=own, train_anyway=True)
    assert told.endswith("training anyway")


@pytest.mark.parametrize(
    ("papers", "examples", "enough"), [(5, 20, True), (4, 90, False), (9, 19, False)]
)
def test_a_verdict_needs_papers_and_examples(papers: int, examples: int, enough: bool) -> None:
    assert (NEEDS.missing(papers, examples) == "") == enough
