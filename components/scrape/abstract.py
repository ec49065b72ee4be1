"""What an abstract page tells of a paper: all that OAI-PMH does, one paper a request."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components.scrape.bylines import parse_authors, untex
from components.scrape.site import retry
from components.scrape.source import NO_LICENCE, Listing, categories_of, completed
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

VERSION = re.compile(
    r"\[v(\d{1,4})\]\s*\w{3},\s+(\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d) UTC"
    r"(?: \([^)]{0,20}\))?( \(withdrawn\))?"
)


def parse_abstract(html: bytes, listing: Listing) -> Listing:
    """Return a listing completed by an abstract page; what the page does not tell stays as it
    was."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    versions = _versions(_text(page, ".submission-history"))
    if 1 not in versions:
        told = f"on the page of {listing.arxiv_id}; has the site changed its pages?"
        raise FetchError("no version named", Outcome.SKIP, told)
    latest = max(versions)
    licence = page.select_one("div.abs-license a[href]")
    return completed(
        listing,
        versions[1][0],
        title=untex(_text(page, "h1.title", "Title")) or listing.title,
        authors=parse_authors(_byline(page)) or listing.authors,
        abstract=untex(_text(page, "blockquote.abstract", "Abstract")) or listing.abstract,
        categories=categories_of(_text(page, "td.subjects")) or listing.categories,
        comments=_text(page, "td.comments") or listing.comments,
        version=latest,
        licence=clean_line(str(licence["href"])) if licence else NO_LICENCE,
        withdrawn=versions[latest][1],
        has_pdf=not versions[latest][1],
    )


def _text(page: "BeautifulSoup", selector: str, label: str = "") -> str:
    node = page.select_one(selector)
    if not node:
        return ""
    text = clean_line(node.get_text(" " if selector.startswith(".") else ""))
    return text.removeprefix(f"{label}:").strip()


def _byline(page: "BeautifulSoup") -> str:
    """Return the line of authors without what shows and hides those beyond the hundredth."""
    node = page.select_one("div.authors")
    if not node:
        return ""
    for extra in node.select("script, noscript, #toggle, .descriptor"):
        extra.decompose()
    return clean_line(node.get_text())


def _versions(history: str) -> dict[int, tuple[datetime, bool]]:
    """Return moment and withdrawal of each version that a submission history names."""
    versions = {}
    for number, moment, withdrawn in VERSION.findall(history):
        try:
            when = datetime.strptime(moment, "%d %b %Y %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise retry("broken answer", f"a version of {moment!r}") from None
        versions[int(number)] = (when, bool(withdrawn))
    return versions
