"""Near duplicates: who repeats whom, by the exact similarity, amid anything else."""

import random

import pytest

from components.curate.ngrams import NEAR, hashes, near_duplicates, same_task, words
from tests.builders import triple
from tests.components.curate.running import prose


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of the 3-grams, by other code than is tested."""
    sets = []
    for found in (words(one), words(other)):
        sets.append({tuple(found[start : start + NEAR]) for start in range(len(found) - NEAR + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


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


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["one two", "two one", "One, two!", "one", ""], {2: 0}),  # short ones are compared whole
        (["", "...", "", "?!"], {}),
        ([], {}),
    ],
)
def test_short_texts(texts: list[str], wanted: dict[int, int]) -> None:
    assert near_duplicates(texts, 0.8) == wanted


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


def test_other_figures_or_another_question_make_another_task() -> None:
    passage = prose("a long passage", 200)
    falls = triple(input=passage, output="The loss falls by 0.3 points.")
    assert same_task(falls, triple(input=passage, output="The loss falls by 0.3 points now."))
    assert not same_task(falls, triple(input=passage, output="The loss falls by 0.7 points."))
    named = triple(input=passage, instruction="Name the dataset used here.")
    why = triple(input=passage, instruction="Why does the loss fall?", output="It is small.")
    assert not same_task(named, why)
