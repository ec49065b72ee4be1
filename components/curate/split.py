"""Split by paper: a side depends on the paper alone, and is the same in every later run.

The side is a hash of seed and arXiv id (without version), or, split by time, the day of first
submission. Papers that are nearly the same must not stand on both sides. As no paper may ever
change sides, the younger of such a pair is dropped: what comes new gives way, and what was trained
on or tested before stays where it is.
"""

import calendar
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from itertools import combinations, product

from components.curate.config import CurateConfig
from components.curate.gates import Gate
from components.curate.ngrams import SHARED, Gram, grams, words
from components.shared.feasibility import held_out, position
from components.shared.records import CLOSED, Source, Triple, digest

TRAIN, TEST = "train", "test"
LEARNED = "learned"  # held-out facts of training papers
Side = str  # TRAIN or TEST, or in its place the Gate that stops a paper
Relatives = Mapping[str, Collection[str]]  # of a paper: those that are nearly the same text

# Share of the shorter paper's 8-grams that both have. The same authors repeat themselves, so that
# less is proof enough.
NEAR_COPY, SAME_AUTHORS = 0.5, 0.1
EVIDENCE = 5  # fewer common 8-grams than this are one common clause
BOILERPLATE = 20  # an 8-gram of more papers than this is a phrase of the field

_NEW_ID = re.compile(r"(\d\d)(\d\d)\.\d{4,5}")
_OLD_ID = re.compile(r"[a-z-]+(?:\.[A-Z]{2})?/(\d\d)(\d\d)\d{3}")


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
    chosen: dict[str, Side] = {}
    for paper, source in sources.items():
        chosen[paper] = side_of(config, paper, source.submitted)
    if own_rows and not config.test_after:
        chosen = dict.fromkeys(sources, TRAIN)
        testing = held_out(sources, config.seed, config.needs, own=True, examples=own_rows)
        chosen |= dict.fromkeys(testing, TEST)
    for paper in sorted(sources, key=lambda name: age(sources[name])):
        for kin in relatives.get(paper, ()):
            older = kin in sources and age(sources[kin]) < age(sources[paper])
            if older and {chosen[kin], chosen[paper]} == {TRAIN, TEST}:
                chosen[paper] = Gate.RELATIVE
    return chosen


def age(source: Source) -> tuple[date, str]:
    """Return what papers are ordered by, oldest first; it never changes for a paper."""
    first, _ = _days(source.paper, source.submitted) or (date.max, date.max)
    return first, source.paper


def side_of(config: CurateConfig, paper: str, submitted: str) -> Side:
    """Return the side of a paper by itself, or the gate that stops it."""
    if not config.test_after:
        return TEST if position(paper, config.seed) < config.test_fraction else TRAIN
    days = _days(paper, submitted)
    if days is None:
        return Gate.UNDATED
    first, last = days
    border = date.fromisoformat(config.test_after)
    if first >= border:
        return TEST
    return TRAIN if last < border - timedelta(days=config.embargo_days) else Gate.EMBARGO


def is_held_out(config: CurateConfig, triple: Triple) -> bool:
    """Tell whether a closed-book row of a training paper is kept from training, by its fact."""
    fact = digest([triple.paper, triple.page, triple.evidence or triple.input])
    return triple.kind == CLOSED and position(fact, config.seed) < config.learned_fraction


def same_fact(one: Triple, other: Triple) -> bool:
    """Tell whether two rows of a paper rest on the same place of it, or on the same passage."""
    if one.page != other.page or not (one.evidence and other.evidence):
        return bool(one.input) and one.input == other.input
    spans = product(one.evidence, other.evidence)
    return any(max(mine[0], yours[0]) < min(mine[1], yours[1]) for mine, yours in spans)


def _days(paper: str, submitted: str) -> tuple[date, date] | None:
    """Return the first and last day of a paper's submission; an arXiv id tells the month."""
    try:
        day = date.fromisoformat(submitted[:10])
    except ValueError:
        return _month(paper)
    return day, day


def _month(paper: str) -> tuple[date, date] | None:
    found = _NEW_ID.fullmatch(paper) or _OLD_ID.fullmatch(paper)
    if not found or not 1 <= int(found[2]) <= 12:
        return None
    year, month = int(found[1]), int(found[2])
    year += 1900 if "/" in paper and year > 90 else 2000
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def find_relatives(sources: Mapping[str, Source], triples: Iterable[Triple]) -> Relatives:
    """Find papers that are nearly the same, as far as their triples' inputs and outputs tell."""
    of_paper: dict[str, set[Gram]] = defaultdict(set)
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
    for (one, other), count in shared.items():
        authors = _authors(sources[one])
        same = bool(authors) and authors == _authors(sources[other])
        enough = SAME_AUTHORS if same else NEAR_COPY
        if count >= max(EVIDENCE, enough * min(len(of_paper[one]), len(of_paper[other]))):
            found[one].add(other)
            found[other].add(one)
    return found


def _authors(source: Source) -> frozenset[str]:
    """Return the authors, spelling aside; nobody when they are unknown."""
    return frozenset(" ".join(words(author)) for author in source.authors) - {"unknown", ""}
