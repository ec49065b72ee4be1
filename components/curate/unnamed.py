"""Rows that name no paper: what is probably from one is grouped, under a name that says it is none.

Rows that quote the same passage belong together; so do near neighbours in the file that share
rarer words than rows far from one another do. Whether a group is all of a paper, or one paper at
all, nobody knows, and the card says so.
"""

import math
from collections import Counter
from collections.abc import Sequence

from components.curate.ngrams import SHARED, hashes, words
from components.shared.records import UNNAMED, Triple

NEAR_ROWS = 3  # rows so far from one another in the file are neighbours
RARE = 0.97  # share of the far pairs that have less in common than what makes neighbours kin
FEWEST = 40  # fewer rows do not tell which words are rare


def name_unknown_papers(triples: Sequence[Triple]) -> None:
    """Give each group of rows a name, which depends on the group's own passages alone."""
    passages = [_passage(triple) for triple in triples]
    lesser: dict[int, int] = {}  # a passage -> a lesser one of its group; the least has none
    for number, other in _kin(triples):
        ends = {_least(lesser, passages[number]), _least(lesser, passages[other])}
        if len(ends) == 2:
            lesser[max(ends)] = min(ends)
    for triple, passage in zip(triples, passages, strict=True):
        triple.paper = f"{UNNAMED}{_least(lesser, passage):016x}"


def _least(lesser: dict[int, int], passage: int) -> int:
    while passage in lesser:
        passage = lesser[passage]
    return passage


def _passage(triple: Triple) -> int:
    """Return the least hash of a row's 8-grams (one MinHash): alike for nearly the same passage."""
    text = triple.input or f"{triple.instruction} {triple.output}"
    return min(hashes(text, max(1, min(SHARED, len(words(text))))), default=0)


def _kin(triples: Sequence[Triple]) -> list[tuple[int, int]]:
    """Return the pairs of neighbours that share words as rare as hardly any far pair does."""
    if len(triples) < FEWEST:
        return []
    rows = [set(words(f"{t.instruction} {t.input} {t.output}")) for t in triples]
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row)

    def in_common(one: int, other: int) -> float:
        """Return the information of the shared words in nats, as far as rows are independent."""
        return sum(math.log(len(rows) / counts[word]) for word in rows[one] & rows[other])

    half = len(rows) // 2
    far = sorted(in_common(number, (number + half) % len(rows)) for number in range(len(rows)))
    level = far[int(RARE * (len(far) - 1))]
    kin = []
    for number in range(len(rows)):
        for other in range(max(0, number - NEAR_ROWS), number):
            if in_common(number, other) > level:
                kin.append((number, other))
    return kin
