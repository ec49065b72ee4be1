"""arXiv's Atom API as a source of listings: https://info.arxiv.org/help/api/user-manual.html.

Our own few lines rather than a client library: those bring their own transport, which knows neither the lease that
all our requests share nor our budget.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from components.scrape.config import ScrapeConfig
from components.scrape.refusal import Refusal
from components.scrape.site import Site
from components.scrape.source import Listing, Page, Window, eastern_day

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # the type only; defusedxml parses

ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
ENTRY_ID = re.compile(r"https?://[^/]+/abs/(.+?)v(\d+)")
PREFIXES = {
    "all": "all",
    "title": "ti",
    "abstract": "abs",
    "author": "au",
    "comments": "co",
    "journal_ref": "jr",
    "report_num": "rn",
}


class ApiSource:
    """Lists papers by the API."""

    name = "api"

    def __init__(self, config: ScrapeConfig, site: Site) -> None:
        self.config, self.site = config, site

    def page(self, window: Window, start: int) -> Page:
        """Return the results from `start` on, the oldest first."""
        return self._ask(window, start, sortBy="submittedDate", sortOrder="ascending")

    def latest(self, window: Window, start: int) -> Page:
        """Return the results from `start` on, the latest revised first."""
        return self._ask(window, start, sortBy="lastUpdatedDate", sortOrder="descending")

    def _ask(self, window: Window, start: int, **order: str) -> Page:
        query = {
            "search_query": search_query(self.config, window),
            "start": start,
            "max_results": self.config.page_size,
        }
        url = f"{self.config.api_root}?{urlencode({**query, **order})}"
        return self.site.patiently(
            lambda: parse_feed(self.site.fetch_once(url), start, self.config.page_size)
        )


def search_query(config: ScrapeConfig, window: Window) -> str:
    """Return the question in the API's language: all words must occur, within any of the categories."""
    clauses = []
    if config.query.strip() != "*":
        clauses = [f"{PREFIXES[config.field]}:{word}" for word in words(config.query)]
    if config.categories:
        archives = (
            f"cat:{name}" if "." in name else f"(cat:{name} OR cat:{name}.*)"
            for name in config.categories
        )
        clauses.append(f"({' OR '.join(archives)})")
    clauses.append(f"submittedDate:[{window.first:%Y%m%d}0000 TO {window.end:%Y%m%d}0000]")
    return " AND ".join(clauses)


def words(query: str) -> list[str]:
    """Return the words and "quoted phrases" of a query, without the characters that the API's language reserves."""
    return [
        f'"{phrase.strip()}"' if phrase else re.sub(r'[():\[\]{}"^~]', "", word)
        for phrase, word in re.findall(r'"([^"]+)"|(\S+)', query)
        if phrase.strip() or re.sub(r'[():\[\]{}"^~]', "", word)
    ]


def parse_feed(xml: bytes, start: int, size: int) -> Page:
    """Parse an answer of the API; raise Refusal unless it holds every entry that it announces."""
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        feed = fromstring(xml)
        total = int(feed.findtext(f"{SEARCH}totalResults", ""))
    except (ParseError, ValueError) as error:
        raise Refusal("broken answer", f"not a feed of the API: {error}", again=True) from None
    listings = [parse_entry(entry) for entry in feed.iter(f"{ATOM}entry")]
    wanted = max(0, min(size, total - start))
    if len(listings) != wanted:  # empty feeds with a total come up: lukasschwab/arxiv.py#43
        problem = f"the feed from result {start + 1} of {total} holds {len(listings)} entries instead of {wanted}"
        raise Refusal("incomplete page", problem, again=True)
    return Page(start + 1, start + len(listings), total, listings)


def parse_entry(entry: "Element") -> Listing:
    """Parse one entry; raise Refusal when it lacks what every entry has."""
    ident = ENTRY_ID.fullmatch(_text(entry, f"{ATOM}id"))
    title = _text(entry, f"{ATOM}title")
    if not ident or not title:
        told = f"id {_text(entry, f'{ATOM}id')!r}, title {title!r}: {_text(entry, f'{ATOM}summary')[:200]}"
        raise Refusal("broken answer", f"an entry cannot be read: {told}", again=True)
    submitted, updated = (
        datetime.fromisoformat(_text(entry, f"{ATOM}{name}")).astimezone(UTC)
        for name in ("published", "updated")
    )
    primary = entry.find(f"{ARXIV}primary_category")
    first = [str(primary.get("term"))] if primary is not None else []
    named = [str(node.get("term")) for node in entry.iter(f"{ATOM}category")]
    return Listing(
        arxiv_id=ident[1],
        version=int(ident[2]),
        title=title,
        authors=[_text(author, f"{ATOM}name") for author in entry.iter(f"{ATOM}author")],
        more_authors=False,
        abstract=_text(entry, f"{ATOM}summary"),
        categories=first + [name for name in named if name not in first],
        first_day=eastern_day(submitted),
        revised=eastern_day(updated),
        submitted=submitted,
        comments=_text(entry, f"{ARXIV}comment"),
    )


def _text(node: "Element", name: str) -> str:
    return " ".join((node.findtext(name) or "").split())
