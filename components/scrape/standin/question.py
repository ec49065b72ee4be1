"""What arXiv's advanced search makes of its parameters, as seen in its code and by experiment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.scrape.config import group_of
from components.scrape.standin.corpus import ID, Corpus, Entry
from components.scrape.standin.words import BadQueryError, Test, stems, words_test

SIZES = (25, 50, 100, 200)
ORDERS = ("-announced_date_first", "announced_date_first")
MAX_RESULTS = 10_000
MEAN_TIME = timedelta(hours=4, minutes=56)  # days begin at New York's local mean time, by a slip
GROUPS = {
    "computer_science": "cs",
    "economics": "econ",
    "eess": "eess",
    "mathematics": "math",
    "q_biology": "q-bio",
    "q_finance": "q-fin",
    "statistics": "stat",
    "physics": "physics",
}
GROUP, CROSS = "classification-", "classification-include_cross_list"


class BadRequest(Exception):
    """The search answers with an error page: the status."""


class BadForm(Exception):
    """The search answers with its form, and this message."""


@dataclass(frozen=True)
class Question:
    """One page of one search."""

    test: Test  # of its words
    hits: frozenset[str]  # stems to mark in the results
    groups: tuple[str, ...]  # of archives; none: all
    cross_lists: bool
    date_type: str
    since: datetime | None
    until: datetime | None
    size: int
    start: int
    order: str


def parse(parameters: Mapping[str, str], limit: int = MAX_RESULTS) -> Question:
    """Read the parameters; raise BadRequest or BadForm as arXiv does."""
    try:
        size, start = int(parameters.get("size") or 50), max(0, int(parameters.get("start") or 0))
    except ValueError:
        raise BadRequest(500) from None
    if size not in SIZES or 1 + round(start / size) > limit // size:
        raise BadRequest(400)
    order = parameters.get("order", ORDERS[0])
    if order not in ORDERS:
        raise BadForm("Not a valid choice")
    ranged = parameters.get("date-filter_by") == "date_range"  # else the dates are ignored
    since = until = None
    if ranged:
        since = _bound(parameters.get("date-from_date", ""))
        until = _bound(parameters.get("date-to_date", ""))
    if since and until and since >= until:
        raise BadForm("End date must be later than start date")
    return Question(
        test=_test(parameters),
        hits=frozenset(stem for text in _terms(parameters).values() for stem in stems(text)),
        groups=tuple(
            name.removeprefix(GROUP)
            for name in parameters
            if name.startswith(GROUP) and name != CROSS
        ),
        cross_lists=parameters.get(CROSS, "include") == "include",
        date_type=parameters.get("date-date_type", "submitted_date"),
        since=since,
        until=until,
        size=size,
        start=start,
        order=order,
    )


def _terms(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the words of each row of the form, by its number."""
    found = {}
    for name, text in parameters.items():
        if match := re.fullmatch(r"terms-(\d+)-term", name):
            found[match[1]] = text
    return found


def _test(parameters: Mapping[str, str]) -> Test:
    tests = []
    for number, text in _terms(parameters).items():
        if text.startswith(("*", "?")):
            raise BadForm("Search cannot start with a wildcard (* ?).")
        try:
            tests.append(words_test(text, parameters.get(f"terms-{number}-field", "title")))
        except BadQueryError:
            raise BadRequest(400) from None
    return lambda entry: all(test(entry) for test in tests)


def _bound(text: str) -> datetime | None:
    """Return the instant a date stands for."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadForm("Not a valid date value") from None
    if not 1991 <= day.year <= datetime.now(UTC).year + 1:
        raise BadForm("Not a valid year")
    return day + MEAN_TIME


def announced(entry: Entry) -> datetime:
    """Return the month of the announcement, which the id tells."""
    if ID.fullmatch(entry.arxiv_id):
        return datetime(2000 + int(entry.arxiv_id[:2]), int(entry.arxiv_id[2:4]), 1, tzinfo=UTC)
    return entry.submitted.replace(day=1, hour=0, minute=0, second=0)


def answer(corpus: Corpus, question: Question) -> list[Entry]:
    """Return all papers that match, current versions only, in the order asked for."""
    found = [entry for entry in corpus.current() if _matches(entry, question)]
    found.sort(key=lambda entry: (announced(entry), entry.arxiv_id))
    return found[::-1] if question.order.startswith("-") else found


def _matches(entry: Entry, question: Question) -> bool:
    if not question.test(entry):
        return False
    if question.groups and not _in_groups(entry, question):
        return False
    moment = {"submitted_date": entry.revised, "submitted_date_first": entry.submitted}.get(
        question.date_type, announced(entry)
    )
    # The upper bound is exclusive, whatever the form's help says.
    return (not question.since or moment >= question.since) and (
        not question.until or moment < question.until
    )


def _in_groups(entry: Entry, question: Question) -> bool:
    named = entry.categories if question.cross_lists else entry.categories[:1]
    groups = {group_of(name.split(".")[0]) for name in named}
    return any(GROUPS.get(group) in groups for group in question.groups)
