"""Near duplicates: who repeats whom, by the exact similarity, amid anything else."""

import random

import pytest

from components.curate.ngrams import NEAR, hashes, near_duplicates, same_task, words
from components.shared.records import Triple
from tests.builders import triple
from tests.components.curate.running import prose


def naive_grams(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return (
        {tuple(found[start : start + NEAR]) for start in range(max(1, len(found) - NEAR + 1))}
        if found
        else set()
    )


def similarity(one: str, other: str) -> float:
    mine, yours = naive_grams(one), naive_grams(other)
    return len(mine & yours) / len(mine | yours)


def planted(count: int, seed: int) -> tuple[list[str], dict[int, int]]:
    """Return texts, some of which nearly repeat an earlier one, and the true pairs at 0.8."""
    chance = random.Random(seed)
    texts = [prose((seed, n), 60) for n in range(count)]
    for n in range(count):
        changed = texts[n].split()
        for _ in range(chance.randint(0, 6)):
            changed[chance.randrange(len(changed))] = prose(chance.random(), 1)
        texts.append(" ".join(changed))
    return texts, {
        count + n: n for n in range(count) if similarity(texts[n], texts[count + n]) >= 0.8
    }


def test_planted_near_copies_are_found_and_nothing_else() -> None:
    texts, truth = planted(400, 1)
    assert 100 < len(truth) < 300
    found = near_duplicates(texts, 0.8)
    assert found == truth


def test_hashes_are_those_of_a_plain_loop_and_never_change() -> None:
    texts = [*(prose(n, n) for n in range(12)), "", "One.", "Ünïcode ﬁne, α≤β; x_1 ²"]
    pairs = set()
    for n in (1, 3, 8):
        for text in texts:
            found = words(text)
            plain = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
            pairs |= set(zip(plain, hashes(text, n), strict=True))
    assert len(pairs) == len({gram for gram, _ in pairs}) == len({value for _, value in pairs})
    assert list(hashes("The same words", 3)) == [5520314242048165297]


def test_short_texts_are_compared_whole() -> None:
    assert near_duplicates(["one two", "two one", "One, two!", "one", ""], 0.8) == {2: 0}


def test_texts_without_words_repeat_nothing() -> None:
    assert near_duplicates(["", "...", "", "?!"], 0.8) == {}
    assert near_duplicates([], 0.8) == {}


def test_whether_two_texts_are_duplicates_does_not_depend_on_the_others() -> None:
    texts, _ = planted(60, 2)
    found = near_duplicates(texts, 0.8)
    for later, earlier in found.items():
        assert near_duplicates([texts[earlier], texts[later]], 0.8) == {1: 0}
    alone = near_duplicates(texts[:60], 0.8)
    assert alone == {}


def test_texts_of_one_mould_cost_no_square_of_pairs() -> None:
    mould = prose("mould", 30)
    texts = [f"{mould} {n}" for n in range(2000)]
    found = near_duplicates(texts, 0.8)
    assert len(found) == 1999


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            {"output": "The loss falls by 0.3 points."},
            {"output": "The loss falls by 0.3 points now."},
            True,
        ),
        (
            {"output": "The loss falls by 0.3 points."},
            {"output": "The loss falls by 0.7 points."},
            False,
        ),
        (
            {"instruction": "Name the dataset used here."},
            {"instruction": "Why does the loss fall?", "output": "It is small."},
            False,
        ),
    ],
)
def test_other_figures_or_another_question_make_another_task(
    one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    def made(fields: dict[str, str]) -> Triple:
        return triple(**{"input": prose("a long passage", 200), **fields})

    assert same_task(made(one), made(other)) == same
