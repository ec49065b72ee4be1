"""arXiv's Atom API as a source: https://info.arxiv.org/help/api/user-manual.html.

Our own few lines rather than a client library: those bring their own transport, which knows
neither the lease that all our requests share nor our budget."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from components.scrape.bylines import untex
from components.scrape.config import ScrapeConfig
from components.scrape.query import parse
from components.scrape.site import Site, retry
from components.scrape.source import (
    ONE_DAY,
    BadEntryError,
    Batch,
    Listing,
    Reject,
    Window,
    read_entries,
    valid_id,
)
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # the type only; defusedxml parses

ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
ENTRY_ID = re.compile(r"https?://[^/]+/abs/(.+?)v(\d{1,4})")
PREFIXES = {"all": "all", "title": "ti", "abstract": "abs", "author": "au", "comments": "co"}


class ApiSource:
    """Lists papers by the API, the newest first."""

    name = "api"

    def __init__(self, config: ScrapeConfig, site: Site) -> None:
        self.config, self.site = config, site

    def batches(self, window: Window) -> Iterator[Batch]:
        """Yield a page at a time; beyond the results that are shown of one question, by an older
        window."""
        start = 0
        while True:
            total, listings, rejects = self._page(window, start)
            start += self.config.page_size
            if start >= total or not listings:
                yield Batch(window.first, listings, rejects)
                return
            yield Batch(listings[-1].day + ONE_DAY, listings, rejects)
            if start + self.config.page_size > self.config.result_limit:
                older = Window(window.first, listings[-1].day + ONE_DAY)
                if older == window:
                    told = f"{listings[-1].day} alone has more than {self.config.result_limit:,}"
                    raise FetchError("too many papers", Outcome.SKIP, told)
                window, start = older, 0

    def _page(self, window: Window, start: int) -> tuple[int, list[Listing], list[Reject]]:
        query = {
            "search_query": search_query(self.config, window),
            "start": start,
            "max_results": self.config.page_size,
            "sortBy": "submittedDate",
            "sortOrder": "descending",
        }
        return self.site.read(
            f"{self.config.api_root}?{urlencode(query)}",
            lambda xml: parse_feed(xml, start, self.config.page_size),
        )


def search_query(config: ScrapeConfig, window: Window) -> str:
    """Return the question in the API's language, wide enough to give all that matches here.

    With categories only the days are asked for: the API stems and stops words in its own way.
    """
    clauses = []
    if config.asked_categories:
        named = (
            f"cat:{name}" if "." in name else f"(cat:{name} OR cat:{name}.*)"
            for name in config.asked_categories
        )
        clauses.append(f"({' OR '.join(named)})")
    else:
        clauses.append(parse(config.query).broad(lambda word: f"{PREFIXES[config.field]}:{word}"))
    clauses.append(f"submittedDate:[{window.first:%Y%m%d}0000 TO {window.end:%Y%m%d}0000]")
    return " AND ".join(filter(None, clauses))


def parse_feed(xml: bytes, start: int, size: int) -> tuple[int, list[Listing], list[Reject]]:
    """Parse an answer of the API; raise FetchError unless it holds every entry that it
    announces."""
    from defusedxml.ElementTree import fromstring

    try:
        feed = fromstring(xml)
        total = int(feed.findtext(f"{SEARCH}totalResults", ""))
    except Exception as error:  # expat, defusedxml and int have their own: all mean the same
        raise retry("broken answer", f"not a feed of the API: {error}") from None
    entries = list(feed.iter(f"{ATOM}entry"))
    for entry in entries:
        if _text(entry, "title") == "Error" and "/api/errors" in _text(entry, "id"):
            raise FetchError("question not taken", Outcome.SKIP, _text(entry, "summary")[:300])
    wanted = max(0, min(size, total - start))
    if len(entries) != wanted:  # empty feeds with a total come up: lukasschwab/arxiv.py#43
        problem = (
            f"from result {start + 1} of {total} there are {len(entries)} entries, not {wanted}"
        )
        raise retry("incomplete page", problem)
    return total, *read_entries(entries, parse_entry)


def parse_entry(entry: "Element") -> Listing:
    """Parse one entry; raise BadEntryError when it lacks what every entry has."""
    told, title = _text(entry, "id"), untex(_text(entry, "title"))
    ident = ENTRY_ID.fullmatch(told)
    if not ident or not title:
        raise BadEntryError(
            ident[1] if ident else told, f"id {told[:100]!r}, title {title[:100]!r}"
        )
    try:
        day = datetime.fromisoformat(_text(entry, "published")).astimezone(UTC).date()
    except (ValueError, OverflowError):
        raise BadEntryError(ident[1], f"published {_text(entry, 'published')[:50]!r}") from None
    nodes = [*entry.iter(f"{ARXIV}primary_category"), *entry.iter(f"{ATOM}category")]
    named = [clean_line(node.get("term", "")) for node in nodes]
    return Listing(
        arxiv_id=valid_id(ident[1]),
        day=day,
        title=title,
        authors=[untex(_text(author, "name")) for author in entry.iter(f"{ATOM}author")],
        abstract=untex(_text(entry, "summary")),
        categories=list(dict.fromkeys(named)),
        comments=clean_line(entry.findtext(f"{ARXIV}comment") or ""),
    )


def _text(node: "Element", name: str) -> str:
    return clean_line(node.findtext(f"{ATOM}{name}") or "")
