"""Split by paper: a side depends on the paper alone, and is the same in every later run.

The side is a hash of seed and arXiv id (without version), or, split by time, the day of first
submission. Papers that are nearly the same must not stand on both sides. As no paper may ever
change sides, the younger of such a pair is dropped: what comes new gives way, and what was trained
on or tested before stays where it is.
"""

import calendar
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations

from components.curate.config import CurateConfig
from components.curate.gates import Gate
from components.curate.ngrams import SHARED, Gram, grams, words
from components.shared.feasibility import held_out, position
from components.shared.records import Source, Triple

TRAIN, TEST = "train", "test"
Side = str  # TRAIN or TEST, or in its place the Gate that stops a paper

# Share of the shorter paper's 8-grams that both have. The same authors repeat themselves, so that
# less is proof enough.
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
    config: CurateConfig,
    sources: Mapping[str, Source],
    relatives: Relatives,
    own_rows: Mapping[str, int] | None = None,
) -> dict[str, Side]:
    """Return the side of each paper, or in its place the gate that stops it.

    Of a set of one's own, given by the rows of each paper, the test side is given what a verdict
    needs.
    """
    chosen = {paper: side_of(config, source) for paper, source in sources.items()}
    if own_rows and not config.test_after:
        testing = held_out(sources, config.seed, config.needs, own=True, examples=own_rows)
        chosen = {paper: TEST if paper in testing else TRAIN for paper in sources}
    for paper in sorted(sources, key=lambda paper: age(sources[paper])):
        for kin in relatives.of.get(paper, ()):
            older = kin in sources and age(sources[kin]) < age(sources[paper])
            if older and {chosen[kin], chosen[paper]} == {TRAIN, TEST}:
                chosen[paper] = Gate.RELATIVE
    return chosen


def age(source: Source) -> tuple[date, str]:
    """Return what papers are ordered by, oldest first; it never changes for a paper."""
    days = _days(source)
    return (days[0] if days else date.max), source.paper


def side_of(config: CurateConfig, source: Source) -> Side:
    """Return the side of a paper by itself, or the gate that stops it."""
    if not config.test_after:
        return TEST if position(source.paper, config.seed) < config.test_fraction else TRAIN
    days = _days(source)
    if days is None:
        return Gate.UNDATED
    first, last = days
    border = date.fromisoformat(config.test_after)
    if first >= border:
        return TEST
    return TRAIN if last < border - timedelta(days=config.embargo_days) else Gate.EMBARGO


def _days(source: Source) -> tuple[date, date] | None:
    """Return the first and last day of a paper's submission; an arXiv id tells the month."""
    with contextlib.suppress(ValueError):  # no day, or none that can be read
        day = date.fromisoformat(source.submitted[:10])
        return day, day
    found = _NEW_ID.fullmatch(source.paper) or _OLD_ID.fullmatch(source.paper)
    if not found or not 1 <= int(found[2]) <= 12:
        return None
    year, month = int(found[1]), int(found[2])
    year += 1900 if "/" in source.paper and year > 90 else 2000
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def find_relatives(sources: Mapping[str, Source], triples: Iterable[Triple]) -> Relatives:
    """Find papers that are nearly the same, as far as their triples' inputs and outputs tell."""
    of_paper: dict[str, set[Gram]] = {paper: set() for paper in sources}
    for triple in triples:
        of_paper[triple.paper] |= grams(triple.input, SHARED) | grams(triple.output, SHARED)
    holders: dict[Gram, list[str]] = defaultdict(list)
    for paper in sorted(of_paper):
        for gram in of_paper[paper]:
            holders[gram].append(paper)
    shared: Counter[tuple[str, str]] = Counter()
    for papers in holders.values():
        if 1 < len(papers) <= BOILERPLATE:
            shared.update(combinations(papers, 2))
    found: dict[str, set[str]] = defaultdict(set)
    authors = {paper: _authors(source) for paper, source in sources.items()}
    for (one, other), count in shared.items():
        enough = SAME_AUTHORS if authors[one] and authors[one] == authors[other] else NEAR_COPY
        if count >= max(EVIDENCE, enough * min(len(of_paper[one]), len(of_paper[other]))):
            found[one].add(other)
            found[other].add(one)
    return Relatives(found)


def _authors(source: Source) -> frozenset[str]:
    """Return the authors, spelling aside; nobody when they are unknown."""
    return frozenset(" ".join(words(author)) for author in source.authors) - {"unknown", ""}
