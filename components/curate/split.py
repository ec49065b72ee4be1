"""Split by paper: a paper's side depends on itself alone, so that it is on the same side in every later run.

The side is a hash of seed and arXiv id (without version), or, split by time, the day of first submission. Papers that
are nearly the same must not stand on both sides. As no paper may ever change sides, the younger of such a pair is
dropped: what comes new gives way, and what was trained on or tested before stays where it is.
"""

import calendar
import contextlib
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from components.curate.config import CurateConfig
from components.curate.shingles import shingle, unique_pairs, words
from components.shared.feasibility import position
from components.shared.records import Source, Triple

TRAIN, TEST = "train", "test"
EMBARGO = "in the embargo between train and test"
UNDATED = "no date to split by"
RELATIVE = "nearly the same as an older paper of the other side"

N = 8
# Share of the shorter paper's 8-grams that both have. The same authors repeat themselves, so that less is proof enough.
NEAR_COPY, SAME_AUTHORS = 0.5, 0.1
EVIDENCE = 5  # fewer common 8-grams than this are one common clause
BOILERPLATE = 20  # an 8-gram of more papers than this is a phrase of the field

_NEW_ID, _OLD_ID = (
    re.compile(r"(\d\d)(\d\d)\.\d{4,5}"),
    re.compile(r"[a-z-]+(?:\.[A-Z]{2})?/(\d\d)(\d\d)\d{3}"),
)


@dataclass(frozen=True)
class Relatives:
    """Pairs of papers that are nearly the same text."""

    of: Mapping[str, Collection[str]]


def sides(
    config: CurateConfig, sources: Mapping[str, Source], relatives: Relatives
) -> dict[str, str]:
    """Return the side of each paper, or in its place the reason why it is on none."""
    chosen = {paper: _side(config, source) for paper, source in sources.items()}
    for paper in sorted(sources, key=lambda paper: age(sources[paper])):
        kin = [other for other in relatives.of.get(paper, ()) if other in sources]
        kin = [other for other in kin if age(sources[other]) < age(sources[paper])]
        if chosen[paper] in (TRAIN, TEST) and any(
            {chosen[other], chosen[paper]} == {TRAIN, TEST} for other in kin
        ):
            chosen[paper] = RELATIVE
    return chosen


def age(source: Source) -> tuple[date, str]:
    """Return what papers are ordered by, oldest first; it never changes for a paper."""
    days = _days(source)
    return (days[0] if days else date.max), source.paper


def _side(config: CurateConfig, source: Source) -> str:
    if not config.test_after:
        return TEST if position(source.paper, config.seed) < config.test_fraction else TRAIN
    days = _days(source)
    if days is None:
        return UNDATED
    first, last = days
    border = date.fromisoformat(config.test_after)
    if first >= border:
        return TEST
    return TRAIN if last < border - timedelta(days=config.embargo_days) else EMBARGO


def _days(source: Source) -> tuple[date, date] | None:
    """Return the first and last day on which a paper may have been submitted; an arXiv id tells the month."""
    with contextlib.suppress(ValueError):  # no day, or none that can be read
        day = date.fromisoformat(source.submitted[:10])
        return day, day
    found = _NEW_ID.fullmatch(source.paper) or _OLD_ID.fullmatch(source.paper)
    if not found or not 1 <= int(found[2]) <= 12:
        return None
    year, month = int(found[1]), int(found[2])
    year += 1900 if "/" in source.paper and year > 90 else 2000
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def find_relatives(sources: Mapping[str, Source], triples: Sequence[Triple]) -> Relatives:
    """Find papers that are nearly the same, as far as their triples' inputs and outputs tell."""
    names = sorted(sources)
    number = {name: place for place, name in enumerate(names)}
    grams = shingle([text for triple in triples for text in (triple.input, triple.output)], N)
    owners = np.array([number[triple.paper] for triple in triples], np.int64)[grams.owners // 2]
    hashes, holders = unique_pairs(grams.hashes, owners)
    sizes = np.bincount(holders, minlength=len(names))
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for start, count in zip(first.tolist(), counts.tolist(), strict=True):
        if 1 < count <= BOILERPLATE:
            members = holders[start : start + count].tolist()
            for place, one in enumerate(members):
                for other in members[place + 1 :]:
                    shared[one, other] += 1
    found: dict[str, set[str]] = defaultdict(set)
    authors = [_authors(sources[name]) for name in names]
    for (one, other), count in shared.items():
        enough = SAME_AUTHORS if authors[one] and authors[one] == authors[other] else NEAR_COPY
        if count >= max(EVIDENCE, enough * min(sizes[one], sizes[other])):
            found[names[one]].add(names[other])
            found[names[other]].add(names[one])
    return Relatives(found)


def _authors(source: Source) -> frozenset[str]:
    """Return the authors, spelling aside; nobody when they are unknown."""
    return frozenset(" ".join(words(author)) for author in source.authors) - {"unknown", ""}
