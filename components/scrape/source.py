"""What a source of papers is: arXiv's lists, its OAI-PMH, its search pages and its API tell of
the same papers."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, Self, TypeVar

from components.scrape.config import ScrapeConfig
from components.scrape.query import parse, stems
from components.shared.text import clean_line

T = TypeVar("T")
ONE_DAY = timedelta(days=1)
ARXIV_ID = re.compile(r"\d{4}\.\d{4,5}|[a-z-]{2,12}(?:\.[A-Z]{2})?/\d{7}")
SUBJECT = re.compile(r"\(([a-z-]+(?:\.[A-Za-z-]+)?)\)\s*$")
NO_LICENCE = "unknown"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One paper in its current version, as far as a source tells of it."""

    arxiv_id: str
    day: date  # of the first submission in UTC; where `submitted` is not told, our best guess
    title: str = ""
    authors: list[str] = field(default_factory=list)
    abstract: str = ""
    categories: list[str] = field(default_factory=list)  # the first is the primary one
    comments: str = ""
    # What only an abstract page and OAI-PMH tell, all of it or nothing:
    version: int = 0
    submitted: str = ""  # first submission, ISO 8601, UTC
    licence: str = ""  # URL, or "unknown"
    has_pdf: bool = True
    withdrawn: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether version, licence and moment are known."""
        return self.version > 0

    @property
    def order(self) -> tuple[date, str]:
        """Return what sorts papers by age, alike for all sources."""
        return self.day, self.arxiv_id

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        return asdict(self) | {"day": self.day.isoformat()}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Build a listing from what `to_dict` returned."""
        return cls(**row | {"day": date.fromisoformat(row["day"])})


def completed(listing: Listing, moment: datetime, **told: Any) -> Listing:
    """Return a listing with what an abstract page or OAI-PMH told; `moment` is that of the first
    submission."""
    utc = moment.astimezone(UTC)
    return replace(listing, day=utc.date(), submitted=utc.isoformat(timespec="seconds"), **told)


def merged(listing: Listing, record: Listing) -> Listing:
    """Return a complete record with what a list told where the record does not, or tells less.

    A search page drops mathematics at the beginning of a title; some records lack their abstract.
    """
    return replace(
        record,
        title=max(record.title, listing.title, key=len),
        authors=record.authors or listing.authors,
        abstract=record.abstract or listing.abstract,
        categories=record.categories or listing.categories,
        comments=record.comments or listing.comments,
    )


@dataclass(frozen=True)
class Reject:
    """An entry of a list that cannot be used."""

    item: str
    reason: str
    detail: str = ""


class BadEntryError(Exception):
    """One entry lacks what every entry has: it costs itself alone."""

    def __init__(self, item: str, detail: str) -> None:
        self.reject = Reject(clean_line(item)[:100] or "?", "an entry that cannot be read", detail)
        super().__init__(detail)


@dataclass(frozen=True)
class Batch:
    """A part of a list: with it every paper first submitted on `reached` or later is known."""

    reached: date
    listings: list[Listing]
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """Days of first submission in UTC, from `first` up to and without `end`."""

    first: date
    end: date

    @property
    def days(self) -> int:
        """Return its length."""
        return (self.end - self.first).days


class Source(Protocol):
    """Lists the papers of a question; raises FetchError for a page that cannot be had or
    trusted."""

    name: str

    def batches(self, window: Window) -> Iterator[Batch]:
        """Yield what there is, the newest first, until a batch reaches the window's first day.

        A source may tell of more papers than match: of other days, and where it does not read
        words itself of others."""


class Question:
    """What is asked for, in words, categories and days."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config, self.words = config, parse(config.query)

    def in_days(self, listing: Listing) -> bool:
        """Tell whether a paper was first submitted on a day asked for."""
        end = self.config.end_day
        return self.config.first_day <= listing.day and not (end and listing.day >= end)

    def matches(self, listing: Listing) -> bool | None:
        """Tell whether a paper is about what is asked for; None where the listing does not tell
        enough."""
        if listing.categories and not self._in_categories(listing):
            return False
        texts = {
            "title": listing.title,
            "abstract": listing.abstract,
            "author": " ; ".join(listing.authors),
            "comments": listing.comments,
        }
        texts["all"] = f"{listing.title} ; {listing.abstract}"
        if not listing.complete and (
            self.config.field in ("author", "comments") or not listing.abstract
        ):
            return None
        return self.words.holds(stems(texts[self.config.field]))

    def _in_categories(self, listing: Listing) -> bool:
        named = listing.categories if self.config.cross_lists else listing.categories[:1]
        asked = self.config.asked_categories
        return not asked or any(within(name, category) for name in named for category in asked)


def read_entries(
    entries: Iterable[T], parse: Callable[[T], Listing]
) -> tuple[list[Listing], list[Reject]]:
    """Return the papers of a list's entries, and a reject for each that cannot be read."""
    listings, rejects = [], []
    for entry in entries:
        try:
            listings.append(parse(entry))
        except BadEntryError as bad:
            rejects.append(bad.reject)
    return listings, rejects


def categories_of(subjects: str) -> list[str]:
    """Return the categories that a line of subjects names: Robotics (cs.RO); Optics (...)."""
    found = map(SUBJECT.search, clean_line(subjects).split(";"))
    return [match[1] for match in found if match]


def within(category: str, asked: str) -> bool:
    """Tell whether a category is the one asked for, or of the archive asked for."""
    return category == asked or category.startswith(f"{asked}.")


def valid_id(text: str) -> str:
    """Return an arXiv id as it may stand in keys and paths; raise BadEntryError for any other
    text."""
    if not ARXIV_ID.fullmatch(text):
        raise BadEntryError(text, f"no arXiv id: {clean_line(text)[:100]!r}")
    return text
