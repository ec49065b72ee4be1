"""Measure how much of each test row stands in train, by word 8-grams, as the GPT-3 paper does (Brown et al., 2020)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.curate.shingles import Hashes, Lengths, shingle, unique_pairs
from components.shared.records import Triple

N = 8
WORDING = (
    3  # an 8-gram in the instructions of so many papers is a way of asking, not what is asked about
)


def overlaps(train: Sequence[Triple], test: Sequence[Triple]) -> npt.NDArray[np.float64]:
    """Return for each test row the share of its 8-grams that stand in any training row, 0 to 1.

    The fields are read one by one: no 8-gram runs from one into the next. A row without any 8-gram overlaps in nothing.
    """
    rows = [*train, *test]
    owners, hashes = _grams(rows)
    in_test = owners >= len(train)
    seen = np.isin(hashes[in_test], np.unique(hashes[~in_test]))
    of_test = owners[in_test] - len(train)
    total = np.bincount(of_test, minlength=len(test))
    shared = np.bincount(of_test, weights=seen, minlength=len(test))
    return shared / np.maximum(total, 1)


def _grams(rows: Sequence[Triple]) -> tuple[Lengths, Hashes]:
    """Return (row, hash) of all 8-grams, without the wording of instructions."""
    owners, hashes = [], []
    for name in ("input", "output", "instruction"):
        grams = shingle((getattr(row, name) for row in rows), N)
        keep = np.ones(len(grams.hashes), np.bool_)
        if name == "instruction":
            keep = ~np.isin(grams.hashes, _wordings(rows, grams.owners, grams.hashes))
        owners.append(grams.owners[keep])
        hashes.append(grams.hashes[keep])
    return np.concatenate(owners), np.concatenate(hashes)


def _wordings(rows: Sequence[Triple], owners: Lengths, hashes: Hashes) -> Hashes:
    _, papers = np.unique([row.paper for row in rows], return_inverse=True)
    in_papers, _ = unique_pairs(hashes, papers.astype(np.int64)[owners])
    found, counts = np.unique(in_papers, return_counts=True)
    return found[counts >= WORDING]
