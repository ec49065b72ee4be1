"""Near duplicates among many texts: MinHash signatures and banded LSH in numpy, then the exact similarity.

Two texts are near duplicates when their sets of word 3-grams have a Jaccard similarity of at least the threshold
(Broder, 1997). LSH only proposes pairs (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3); each
is verified exactly, so that no text is dropped by an estimate.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from components.curate.shingles import Hashes, Shingles, mix, shingle, words
from components.shared.records import Triple

N = 3
# A pair of similarity s is proposed with probability 1 - (1 - s**ROWS)**BANDS: 0.998 at 0.8, 0.15 at 0.4.
BANDS, ROWS = 16, 5
WINDOW = 64  # a text is compared with so many earlier ones of its bucket at most, or one phrase in all texts costs n**2
SLACK = 0.25  # a pair whose estimate is so far below the threshold (5 standard errors at 0.8) is not verified
BLOCK = 32_768  # hashes a block: 256 KiB, which stays in a core's cache while all permutations pass over it

Signatures = npt.NDArray[np.uint32]  # (texts, BANDS * ROWS)
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def near_duplicates(
    texts: Sequence[str],
    threshold: float,
    same: Callable[[int, int], bool] = lambda earlier, later: True,
) -> dict[int, int]:
    """Return {text: an earlier text that it nearly repeats}, by their places in `texts`.

    Whether two texts are near duplicates depends on these two alone; `same` has the last word on a pair.
    """
    shingles = shingle(texts, N, keep_short=True)
    signatures = minhash(shingles)
    found: dict[int, int] = {}

    @lru_cache(maxsize=4096)
    def grams(text: int) -> frozenset[int]:
        return frozenset(shingles.of(text).tolist())

    for earlier, later in _proposals(signatures, threshold):
        for one, other in zip(earlier.tolist(), later.tolist(), strict=True):
            if other not in found:
                mine, yours = grams(one), grams(other)
                shared = len(mine & yours)
                if shared >= threshold * (len(mine) + len(yours) - shared) > 0 and same(one, other):
                    found[other] = one
    return found


def same_task(one: Triple, other: Triple) -> bool:
    """Tell whether two triples ask and answer the same.

    A long passage that two questions share is no duplicate, nor is a sentence of the same words about other figures.
    """
    mine, yours = (
        set(words(f"{one.instruction} {one.output}")),
        set(words(f"{other.instruction} {other.output}")),
    )
    figures = [
        sorted(word for word in words(triple.output) if word.isdecimal()) for triple in (one, other)
    ]
    return figures[0] == figures[1] and 2 * len(mine & yours) >= len(mine | yours)


def minhash(shingles: Shingles) -> Signatures:
    """Return the MinHash signatures; a text without words gets one that no other text has."""
    random = np.random.default_rng(0)  # constants, not chance: the same everywhere and always
    factors = random.integers(1, 2**63, BANDS * ROWS, np.uint64) * np.uint64(2) + np.uint64(1)
    texts = len(shingles.starts) - 1
    signatures = np.zeros((texts, BANDS * ROWS), np.uint32)
    filled = np.flatnonzero(np.diff(shingles.starts))
    starts = shingles.starts[filled]
    ends = shingles.starts[filled + 1]
    first = 0
    while first < len(filled):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + BLOCK, "right")))
        block = shingles.hashes[starts[first] : ends[last - 1]]
        offsets = starts[first:last] - starts[first]
        product = np.empty_like(block)
        rows = np.empty((len(factors), last - first), np.uint32)
        for number, factor in enumerate(factors):
            np.multiply(block, factor, out=product)
            rows[number] = np.minimum.reduceat(product, offsets) >> np.uint64(32)
        signatures[filled[first:last]] = rows.T
        first = last
    empty = np.flatnonzero(np.diff(shingles.starts) == 0)
    signatures[empty] = mix(empty.astype(np.uint64))[:, None].astype(np.uint32)
    return signatures


def _proposals(signatures: Signatures, threshold: float) -> Iterator[Pairs]:
    """Yield (earlier, later) texts that share a band and look similar enough to be verified."""
    for band in range(BANDS):
        keys = _band_keys(signatures[:, band * ROWS : (band + 1) * ROWS])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for lag in range(1, min(WINDOW, len(order) - 1) + 1):
            places = np.flatnonzero(ordered[lag:] == ordered[:-lag])
            if not len(places):
                break
            earlier, later = order[places], order[places + lag]
            alike = (signatures[earlier] == signatures[later]).mean(axis=1) >= threshold - SLACK
            yield earlier[alike], later[alike]


def _band_keys(rows: Signatures) -> Hashes:
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = mix(keys + column.astype(np.uint64) + np.uint64(1))
    return keys
