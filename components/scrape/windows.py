"""Read the newest papers of a question window by window, and prove that each window is complete.

A site shows the first results only of a large question (arXiv: 10,000), so a window with more of them than may be
shown, or than are needed, is split by date and its newer part is read first.
"""

from datetime import date

from components.scrape.config import ScrapeConfig
from components.scrape.source import Listing, Page, Source, Window, wanted
from components.shared.errors import SourceError
from components.shared.progress import say

ROOM = 1.5  # windows are cut for so many times the papers that are needed
TRIES = 3  # readings of a window whose count does not come out


class Reading:
    """What was read so far, and from which day on it is complete."""

    def __init__(self, config: ScrapeConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.listings: dict[str, Listing] = {}
        self.announced = 0  # papers of the whole window, as the site counts them

    def newest(self, window: Window, count: int, start_day: date) -> date:
        """Read windows, newest first, until `count` papers are certain; return the day that they reach back to.

        `start_day` is where the question begins: a window that reaches it is complete with its first day too.
        """
        waiting, reached = [window], window.end
        while waiting and (reached == window.end or self.certain(reached) < count):
            part = waiting.pop()
            page = self.source.page(part, 0)
            self.announced = self.announced or page.total
            if page.total > self._most(count - self.certain(reached)) and part.days > 1:
                waiting += part.split(self._most(count) / page.total / ROOM)
                continue
            self._read(part, page)
            reached = part.first
        return reached if reached > start_day else date.min

    def certain(self, reached: date) -> int:
        """Return how many papers of what was asked for are newer than all that may be missing."""
        return sum(
            listing.first_day > reached and wanted(listing, self.config) is True
            for listing in self.listings.values()
        )

    def _most(self, count: int) -> int:
        """Return the results of a window beyond which it is split."""
        return min(self.config.result_limit, max(self.config.page_size, int(2 * count)))

    def _read(self, window: Window, page: Page) -> None:
        """Read a window whole, beginning with its first page; raise SourceError unless every paper came."""
        if page.total > self.config.result_limit:
            problem = f"{window.first} alone has {page.total:,} papers and the site shows {self.config.result_limit:,}"
            raise SourceError(problem, "narrow scrape.query or scrape.categories")
        for attempt in range(TRIES):
            seen = _by_id(page)
            while page.last < page.total:
                page = self.source.page(window, page.last)
                seen |= _by_id(page)
            if len(seen) == page.total:
                self.listings |= seen
                return
            if attempt + 1 < TRIES:  # the index changed meanwhile
                page = self.source.page(window, 0)
        problem = f"{self.config.root} announced {page.total:,} papers and listed {len(seen):,}"
        raise SourceError(
            f"{problem} ({page.total - len(seen):+,})", "its index changes: run again later"
        )


def _by_id(page: Page) -> dict[str, Listing]:
    if page.total:
        say("scrape", f"results {page.first:,}-{page.last:,} of {page.total:,} read")
    return {listing.arxiv_id: listing for listing in page.listings}


def revised_since(source: Source, window: Window, day: date) -> tuple[int, list[Listing]]:
    """Return the papers of a window revised since a day, and how many the whole window has."""
    found: dict[str, Listing] = {}
    start, total = 0, 1
    while start < total:
        page = source.latest(window, start)
        total, start = page.total, page.last
        for listing in page.listings:
            found.setdefault(listing.arxiv_id, listing)
        if not page.listings or page.listings[-1].revised < day:
            break
    return total, [listing for listing in found.values() if listing.revised >= day]
