"""What earlier runs know of a question: the papers that match, from which day on they are complete, and up to when.

The first run reads as far back as it needs. A recurring one reads the latest revisions only, down to the watermark
less an overlap for papers announced late, and compares the count that the site announces: where it does not come
out, everything is read again. The catalogue is an append-only log in the store, each entry what a run added.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from components.scrape.config import ScrapeConfig
from components.scrape.source import ONE_DAY, Listing, Source, Window, wanted
from components.scrape.windows import Reading, revised_since
from components.shared.progress import say
from components.shared.records import digest
from components.shared.store import Store

ASKED = (
    "query",
    "field",
    "categories",
    "cross_lists",
    "published_after",
    "published_before",
    "site_kind",
)


@dataclass
class Catalogue:
    """The state of one question."""

    log: str  # its key in the store
    listings: dict[str, Listing] = field(default_factory=dict)
    reached: date = date.max  # complete for papers of later days; date.min: for all
    announced: int = 0  # papers of the whole question, as the site counts them
    depth: int = 0  # papers that the last run wanted
    _kept: dict[str, Any] = field(default_factory=dict)  # rows already in the store

    @classmethod
    def load(cls, store: Store, config: ScrapeConfig, source: str) -> "Catalogue":
        """Return what the store knows of a question."""
        name = digest([source, *(getattr(config, name) for name in ASKED)])
        catalogue = cls(f"listings/{name[:32]}")
        for entry in store.entries(catalogue.log):
            if entry["anew"]:
                catalogue._kept = {}
            catalogue._kept |= {row["arxiv_id"]: row for row in entry["listings"]}
            catalogue.reached = date.fromisoformat(entry["reached"])
            catalogue.announced, catalogue.depth = entry["announced"], entry["depth"]
        catalogue.listings = {name: Listing.from_dict(row) for name, row in catalogue._kept.items()}
        return catalogue

    def save(self, store: Store, depth: int) -> None:
        """Append what is new; a run that is killed before leaves everything as it was."""
        rows = {name: listing.to_dict() for name, listing in self.listings.items()}
        anew = not rows.keys() >= self._kept.keys()
        added = [row for name, row in rows.items() if anew or self._kept.get(name) != row]
        if added or depth != self.depth or not self._kept:
            state = {
                "reached": self.reached.isoformat(),
                "announced": self.announced,
                "depth": depth,
            }
            store.append(self.log, {**state, "anew": anew, "listings": added})

    def update(self, config: ScrapeConfig, source: Source, count: int) -> None:
        """Read what is new, and older papers until `count` of those asked for are certain."""
        whole = Window.of(config)
        if self.listings and not self._catch_up(config, source, whole):
            say(
                "scrape",
                "the site's count does not follow from what is new: reading everything again",
            )
            self.listings = {}
        reading = Reading(config, source)
        reading.listings = self.listings
        if not self.listings:
            self.reached = reading.newest(whole, count, whole.first)
            self.announced = reading.announced
        elif reading.certain(self.reached) < count and self.reached > whole.first:
            older = Window(whole.first, self.reached + ONE_DAY)
            self.reached = reading.newest(older, count, whole.first)

    def _catch_up(self, config: ScrapeConfig, source: Source, whole: Window) -> bool:
        """Take in what was revised since the watermark; tell whether the site's count confirms that this is all."""
        watermark = max(listing.revised for listing in self.listings.values())
        total, revised = revised_since(
            source, whole, watermark - timedelta(days=config.overlap_days)
        )
        new = [
            listing
            for listing in revised
            if listing.arxiv_id not in self.listings and self._covers(listing)
        ]
        if total != self.announced + len(new):
            return False
        self.announced = total
        self.listings |= {listing.arxiv_id: listing for listing in revised if self._covers(listing)}
        return True

    def _covers(self, listing: Listing) -> bool:
        return listing.first_day > self.reached or listing.arxiv_id in self.listings

    def newest(self, config: ScrapeConfig) -> list[Listing]:
        """Return the papers asked for, the newest first, those of which the first moment decides among them."""
        known = [
            listing
            for listing in self.listings.values()
            if listing.first_day > self.reached and wanted(listing, config) is not False
        ]
        return sorted(known, key=lambda listing: listing.order, reverse=True)

    def found(self, config: ScrapeConfig) -> int:
        """Return how many papers match: counted where all are known, else as the site announces them."""
        return len(self.newest(config)) if self.reached == date.min else self.announced
