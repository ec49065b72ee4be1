"""What a listing does not tell of a paper: its version, its licence, its first moment and all of its authors.

An abstract page tells the licence of the very version; OAI-PMH, which is made for programs, that of the latest.
Either is asked once for each version listed, and its answer is kept in the store.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from components.scrape.config import ScrapeConfig
from components.scrape.refusal import Refusal
from components.scrape.site import Site
from components.scrape.source import Listing
from components.shared.store import Store

SETTLED = timedelta(
    days=2
)  # a listing names days: after so many, no other version can carry the same one
RAW = "{http://arxiv.org/OAI/arXivRaw/}"
OAI = "{http://www.openarchives.org/OAI/2.0/}"


@dataclass(frozen=True, kw_only=True)
class Details:
    """What is known of one version of one paper."""

    version: int
    submitted: str  # UTC day of the first submission
    licence: str  # URL, or "unknown"
    authors: list[str]
    site: str
    has_pdf: bool = True
    read_at: str = ""  # ISO 8601, UTC


class DetailsReader:
    """Read details, from the store where it has them."""

    def __init__(self, config: ScrapeConfig, site: Site, store: Store, source: str) -> None:
        self.config, self.site, self.store, self.source = config, site, store, source

    def of(self, listing: Listing) -> Details:
        """Return the details of a listing's version; raise Refusal when the site does not give them."""
        key = f"papers/{listing.arxiv_id}/listed-{listing.revised}.json"
        row: dict[str, Any] | None = self.store.get_json(key)
        if (
            row
            and row["site"] == self.config.site_kind
            and _answers(held := Details(**row), listing)
        ):
            return held
        details = self._ask(listing)
        self.store.put_json(key, asdict(details))
        return details

    def _ask(self, listing: Listing) -> Details:
        if self.source == "api":
            query = {
                "verb": "GetRecord",
                "metadataPrefix": "arXivRaw",
                "identifier": f"oai:arXiv.org:{listing.arxiv_id}",
            }
            url = f"{self.config.oai_root}?{urlencode(query)}"
            details = self.site.patiently(
                lambda: parse_raw(self.site.fetch_once(url), listing, self.config)
            )
            if listing.version in (None, details.version):
                return (
                    details  # else a newer version appeared meanwhile, whose licence may be another
                )
        suffix = f"v{listing.version}" if listing.version else ""
        html = self.site.fetch(f"{self.config.root}/abs/{quote(listing.arxiv_id)}{suffix}")
        return parse_abstract(html, listing, self.config)


def _answers(held: Details, listing: Listing) -> bool:
    """Tell whether details kept under a listing's day are of its version."""
    if listing.version:
        return held.version == listing.version
    if held.version == 1:
        return False
    read = (
        datetime.fromisoformat(held.read_at) if held.read_at else datetime.min.replace(tzinfo=UTC)
    )
    return read.date() - SETTLED >= listing.revised


def parse_abstract(html: bytes, listing: Listing, config: ScrapeConfig) -> Details:
    """Parse an abstract page; what it does not tell is taken from the listing."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    licence = page.select_one("div.abs-license a[href]")
    history = page.select_one(".submission-history")
    versions = dict(_versions(history.get_text(" ") if history else ""))
    version = listing.version or max(versions, default=0)
    if not version:
        raise Refusal(
            "no version named",
            f"on the page of {listing.arxiv_id}; has the site changed its pages?",
        )
    return Details(
        version=version,
        submitted=(versions[1].date() if 1 in versions else listing.first_day).isoformat(),
        licence=str(licence["href"]) if licence else "unknown",
        authors=[" ".join(author.get_text().split()) for author in page.select("div.authors a")]
        or listing.authors,
        site=config.site_kind,
        has_pdf=listing.has_pdf,
        read_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _versions(history: str) -> list[tuple[int, datetime]]:
    """Return number and moment of each version that a submission history names."""
    found = re.findall(r"\[v(\d+)\]\s*\w{3},\s+(\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d) UTC", history)
    return [
        (int(number), datetime.strptime(moment, "%d %b %Y %H:%M:%S")) for number, moment in found
    ]


def parse_raw(xml: bytes, listing: Listing, config: ScrapeConfig) -> Details:
    """Parse an answer of OAI-PMH's GetRecord in the format arXivRaw, in which a withdrawn version has the type I."""
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(xml)
    except ParseError as error:
        raise Refusal("broken answer", f"OAI-PMH: {error}", again=True) from None
    problem = root.find(f"{OAI}error")
    if problem is not None:
        raise Refusal(
            f"OAI-PMH: {problem.get('code', 'error')}", " ".join((problem.text or "").split())
        )
    versions = {
        int(node.get("version", "v0")[1:]): (
            parsedate_to_datetime(node.findtext(f"{RAW}date", "")),
            node.findtext(f"{RAW}source_type", ""),
        )
        for node in root.iter(f"{RAW}version")
    }
    if 1 not in versions:
        raise Refusal(
            "no version named", f"OAI-PMH on {listing.arxiv_id}; has the site changed its answers?"
        )
    latest = max(versions)
    return Details(
        version=latest,
        submitted=versions[1][0].astimezone(UTC).date().isoformat(),
        licence=next((node.text for node in root.iter(f"{RAW}license") if node.text), "unknown"),
        authors=listing.authors,
        site=config.site_kind,
        has_pdf="I" not in versions[latest][1],
        read_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
