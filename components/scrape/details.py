"""What a list does not tell of a paper: its version, licence, first moment, and whether it was
withdrawn.

OAI-PMH tells it of many papers at once, or of one; where it refuses, the paper's abstract page
does."""

from datetime import date, timedelta
from urllib.parse import quote

from components.scrape import clock
from components.scrape.abstract import parse_abstract
from components.scrape.config import ScrapeConfig
from components.scrape.oai import OaiSource
from components.scrape.site import Site
from components.scrape.source import Listing, merged
from components.shared.http import FetchError, Outcome
from components.shared.progress import say

MAIL_LAG = timedelta(days=4)  # a list names papers that were submitted so much earlier
# Days of changes that a page of OAI-PMH holds: of a busy category, or of all of arXiv.
DAYS_A_PAGE, DAYS_A_PAGE_OF_ALL = 10.0, 1.5


class Details:
    """Completes listings, each at most once in a run."""

    def __init__(self, config: ScrapeConfig, site: Site, oai: OaiSource) -> None:
        self.config, self.site, self.oai = config, site, oai

    def changed_since(self, day: date) -> bool:
        """Read what changed since a day; return False where OAI-PMH does not tell."""
        if self.site.is_closed(self.config.oai_root):
            return False
        try:
            self.oai.read_since(day)
        except FetchError as error:
            say("scrape", f"OAI-PMH tells no licences ({error}): asking abstract pages instead")
            return False
        return True

    def prepare(self, listings: list[Listing], since: date) -> None:
        """Read the details of many papers at once, all first submitted since a day, where that
        takes fewer requests."""
        missing = [paper for paper in listings if not self._known(paper).complete]
        days = (min(self.oai.since, clock.today()) - since).days + 1
        per_page = DAYS_A_PAGE if self.config.asked_categories else DAYS_A_PAGE_OF_ALL
        if len(missing) > 1 + days / per_page:
            self.changed_since(since - MAIL_LAG)

    def of(self, listing: Listing) -> Listing:
        """Return a listing completed; raise FetchError when the site does not tell."""
        known = self._known(listing)
        if known.complete:
            return known
        try:
            return merged(listing, self.oai.record(listing.arxiv_id))
        except FetchError as error:
            if error.outcome is Outcome.STOP:
                raise
        url = f"{self.config.root}/abs/{quote(listing.arxiv_id)}"
        return self.site.read(url, lambda html: parse_abstract(html, listing), html=True)

    def _known(self, listing: Listing) -> Listing:
        record = self.oai.known.get(listing.arxiv_id)
        return merged(listing, record) if record else listing
