"""What earlier runs know of a question: every paper that matches from a day on, used or passed
over, and up to when.

It is one entry of the store, written anew, and holds no more than the last run had to look at:
what it costs does not grow with history."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

from components.scrape.config import ScrapeConfig
from components.scrape.source import Listing
from components.shared.errors import ArxtuneError
from components.shared.progress import say
from components.shared.records import digest
from components.shared.store import Store

ASKED = ("query", "field", "asked_categories", "cross_lists", "published_after", "published_before")


@dataclass
class Catalogue:
    """The state of one question."""

    log: str  # its key in the store
    listings: dict[str, Listing] = field(default_factory=dict)
    reached: date = date.max  # complete for papers first submitted on this day or later
    until: date | None = None  # when the last run read what is new
    depth: int = 0  # papers that the last run wanted

    @classmethod
    def load(cls, store: Store, config: ScrapeConfig) -> Self:
        """Return what the store knows of a question; what cannot be read is made anew."""
        asked = [getattr(config, name) for name in ASKED]
        log = f"catalogues/{digest([config.site_kind, *asked])[:32]}"
        try:
            row = store.latest(log)
            if row and row["site"] == config.root:  # on loopback each port is a site of its own
                return cls._from_row(log, row)
            return cls(log)
        except (ArxtuneError, ValueError, TypeError, KeyError, AttributeError) as error:
            say("scrape", f"{log} in the store is damaged ({error}): listing everything again")
            return cls(log)

    @classmethod
    def _from_row(cls, log: str, row: dict[str, Any]) -> Self:
        listings = [Listing.from_dict(paper) for paper in row["listings"]]
        return cls(
            log,
            {paper.arxiv_id: paper for paper in listings},
            date.fromisoformat(row["reached"]),
            date.fromisoformat(row["until"]),
            row["depth"],
        )

    def save(self, store: Store, site: str, depth: int) -> None:
        """Write the state, then remove the entries before it: a run that is killed leaves one of
        them."""
        if self.until is None:  # nothing was listed yet
            return
        row = {
            "site": site,
            "reached": self.reached.isoformat(),
            "until": self.until.isoformat(),
            "depth": depth,
            "listings": [self.listings[name].to_dict() for name in sorted(self.listings)],
        }
        earlier = sorted(store.list(self.log))
        store.append(self.log, row)
        for key in earlier[:-1]:  # the last one stays: another run may be reading it
            store.delete(key)

    def trim(self, oldest: date) -> None:
        """Forget what is older than the oldest paper that was looked at."""
        self.reached = max(self.reached, oldest)
        self.listings = {
            name: paper for name, paper in self.listings.items() if paper.day >= self.reached
        }
