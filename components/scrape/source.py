"""What a source of listings is: arXiv's search pages and its API answer the same questions with the same papers."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, Self
from zoneinfo import ZoneInfo

from components.scrape.config import ScrapeConfig

EASTERN = ZoneInfo("America/New_York")  # arXiv shows and sorts by its own days
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One paper as a source lists it, in its current version."""

    arxiv_id: str
    version: int | None  # None: later than the first, and the source does not say which
    title: str
    authors: list[str]
    more_authors: bool  # search pages show 25 at most
    abstract: str
    categories: list[str]  # the first is the primary one
    first_day: date  # of the first submission, in Eastern time
    revised: date  # of this version, likewise
    submitted: datetime | None = None  # first submission, where the source tells the moment
    has_pdf: bool = True  # search pages tell of withdrawn papers that they have none
    comments: str = ""

    @property
    def order(self) -> tuple[date, str]:
        """Return what sorts papers by age, alike for all sources."""
        return self.first_day, self.arxiv_id

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        moments = {
            name: value.isoformat() if value else None
            for name, value in vars(self).items()
            if name in MOMENTS
        }
        return {**vars(self), **moments}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Build a listing from what `to_dict` returned."""
        moments = {name: read(row[name]) for name, read in MOMENTS.items() if row[name]}
        return cls(**{**row, **moments})


MOMENTS = {
    "first_day": date.fromisoformat,
    "revised": date.fromisoformat,
    "submitted": datetime.fromisoformat,
}


@dataclass(frozen=True)
class Page:
    """One page of results: rows `first` to `last` of `total`, counted from 1."""

    first: int
    last: int
    total: int
    listings: list[Listing]


@dataclass(frozen=True)
class Window:
    """Days of first submission, from `first` up to and without `end`."""

    first: date
    end: date

    @property
    def days(self) -> int:
        """Return its length."""
        return (self.end - self.first).days

    def split(self, share: float) -> tuple["Window", "Window"]:
        """Return the older part and the newer one, which gets about that share of the days and at least one."""
        days = min(self.days - 1, max(1, round(self.days * share)))
        middle = self.end - days * ONE_DAY
        return Window(self.first, middle), Window(middle, self.end)

    @classmethod
    def of(cls, config: ScrapeConfig) -> Self:
        """Return the whole window of a question.

        It begins a day early: the days of search pages begin at 04:56 UTC. Without an end it reaches over tomorrow.
        """
        first = max(config.first_day - ONE_DAY, date(1991, 1, 1))
        return cls(first, config.end_day or datetime.now(UTC).date() + 2 * ONE_DAY)


class Source(Protocol):
    """Lists the papers of one question. Both raise Refusal for a page that cannot be had or trusted."""

    name: str

    def page(self, window: Window, start: int) -> Page:
        """Return the results from `start` on of the papers first submitted in a window, the oldest first."""

    def latest(self, window: Window, start: int) -> Page:
        """Return the same results with the latest revised first."""


def eastern_day(moment: datetime) -> date:
    """Return the day on which arXiv shows a moment."""
    return moment.astimezone(EASTERN).date()


def wanted(listing: Listing, config: ScrapeConfig) -> bool | None:
    """Tell whether a paper is asked for; None when its first moment decides and the listing does not tell it."""
    if config.categories and not _in_categories(listing, config):
        return False
    if listing.submitted:
        return in_days(listing.submitted.astimezone(UTC).date(), config)
    # An Eastern day ends four or five hours into the next UTC day.
    earliest, latest = (in_days(listing.first_day + days * ONE_DAY, config) for days in (0, 1))
    return earliest if earliest == latest else None


def in_days(day: date, config: ScrapeConfig) -> bool:
    """Tell whether a UTC day is asked for."""
    return config.first_day <= day and not (config.end_day and day >= config.end_day)


def _in_categories(listing: Listing, config: ScrapeConfig) -> bool:
    named = listing.categories if config.cross_lists else listing.categories[:1]
    return any(
        name == asked or name.startswith(f"{asked}.")
        for name in named
        for asked in config.categories
    )
