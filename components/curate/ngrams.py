"""Runs of n words: what duplicates, kin and leaks are found by, exactly.

A text's words are its runs of letters and digits, in lower case and normal form KC.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from components.shared.records import Triple

Gram = tuple[str, ...]

NEAR = 3  # words of a gram that near duplicates are compared by
SHARED = 8  # words of a gram that tells kin and leaks
LATEST = 64  # earlier texts looked at for one gram, or one phrase in all texts would cost n**2
WORDING = 3  # a gram in the instructions of so many papers is a way of asking, not what is asked
_WORD = re.compile(r"[^\W_]+")
_PRIME = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, as splitmix64 uses it
_MASK = 2**64 - 1


def words(text: str) -> list[str]:
    """Return the words of a text."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _WORD.findall(text.lower())


def grams(text: str, n: int) -> set[Gram]:
    """Return the n-grams of a text; one shorter than n words has none."""
    found = words(text)
    return set(zip(*(found[start:] for start in range(n)), strict=False))


def near_duplicates(
    texts: Sequence[str],
    threshold: float,
    same: Callable[[int, int], bool] | None = None,
) -> dict[int, int]:
    """Return {text: an earlier text that it nearly repeats}, by their places in `texts`.

    Two texts are near duplicates when their sets of 3-grams have a Jaccard similarity of at least
    the threshold (Broder, 1997); `same` has the last word on a pair. Only texts that share one of
    their rarest grams can be: of s grams any s - ceil(threshold * s) + 1 hold a common one (prefix
    filtering: Chaudhuri, Ganti and Kaushik, 2006).
    """
    sets = [grams(text, NEAR) or {tuple(words(text))} - {()} for text in texts]
    counts: Counter[Gram] = Counter()
    for found in sets:
        counts.update(found)
    holders: dict[Gram, list[int]] = defaultdict(list)
    repeats: dict[int, int] = {}
    for later, mine in enumerate(sets):
        prefix = len(mine) - math.ceil(threshold * len(mine)) + 1
        rarest = sorted(mine, key=lambda gram: (counts[gram], gram))[:prefix]
        candidates: set[int] = set()
        for gram in rarest:
            candidates.update(holders[gram][-LATEST:])
        for earlier in sorted(candidates):
            shared = len(mine & sets[earlier])
            union = len(mine) + len(sets[earlier]) - shared
            if shared >= threshold * union and (same is None or same(earlier, later)):
                repeats[later] = earlier
                break
        for gram in rarest:
            holders[gram].append(later)
    return repeats


def same_task(one: Triple, other: Triple) -> bool:
    """Tell whether two triples ask and answer the same.

    A long passage that two questions share is no duplicate, nor is a sentence of the same words
    about other figures.
    """
    if _figures(one) != _figures(other):
        return False
    mine = set(words(f"{one.instruction} {one.output}"))
    yours = set(words(f"{other.instruction} {other.output}"))
    return 2 * len(mine & yours) >= len(mine | yours)


def overlaps(train: Sequence[Triple], test: Sequence[Triple]) -> list[float]:
    """Return for each test row the share of its 8-grams that stand in any training row.

    So GPT-3's paper measures it (Brown et al., 2020). The fields are read one by one: no gram runs
    from one into the next. A row without any overlaps in nothing.
    """
    papers: dict[Gram, set[str]] = defaultdict(set)
    for row in (*train, *test):
        for gram in grams(row.instruction, SHARED):
            papers[gram].add(row.paper)
    wording = {gram for gram, found in papers.items() if len(found) >= WORDING}
    known: set[Gram] = set()
    for row in train:
        known.update(_grams_of_row(row, wording))
    shares = []
    for row in test:
        mine = _grams_of_row(row, wording)
        common = sum(map(known.__contains__, mine))
        shares.append(common / max(1, len(mine)))
    return shares


def hashes(text: str, n: int) -> Iterator[int]:
    """Yield the hash of each n-gram of a text, the same everywhere and always, 64 bits wide."""
    found = list(map(_word_hash, words(text)))
    top = pow(_PRIME, n - 1, 2**64)
    rolling = 0
    for place, value in enumerate(found):
        if place >= n:
            rolling -= found[place - n] * top
        rolling = (rolling * _PRIME + value) & _MASK
        if place >= n - 1:
            yield _mix(rolling)


def _figures(triple: Triple) -> list[str]:
    return sorted(filter(str.isdecimal, words(triple.output)))


def _grams_of_row(row: Triple, wording: Iterable[Gram]) -> list[Gram]:
    asked = grams(row.instruction, SHARED).difference(wording)
    return [*grams(row.input, SHARED), *grams(row.output, SHARED), *asked]


@lru_cache(maxsize=1 << 17)
def _word_hash(word: str) -> int:
    value = 0
    for character in reversed(word):
        value = value * _PRIME + ord(character)
    return _mix(value & _MASK)


def _mix(value: int) -> int:
    """Return a well-mixed hash: the finalizer of splitmix64 (Steele, Lea and Flood, 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)
