"""arXiv's OAI-PMH as a source, and as what tells the licence of a paper:
https://info.arxiv.org/help/oa.

Its days are those of the last change. No paper changed before it was submitted, so whoever reads
changes back to a day knows every paper first submitted since, with version, licence, authors and
withdrawal, 2,500 a page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from components.scrape import clock
from components.scrape.bylines import parse_authors, untex
from components.scrape.config import ScrapeConfig, group_of
from components.scrape.site import Site, retry
from components.scrape.source import (
    NO_LICENCE,
    ONE_DAY,
    BadEntryError,
    Batch,
    Listing,
    Reject,
    Window,
    completed,
    read_entries,
    valid_id,
)
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # the type only; defusedxml parses

OAI = "{http://www.openarchives.org/OAI/2.0/}"
RAW = "{http://arxiv.org/OAI/arXivRaw/}"
EARLIEST = date(2005, 9, 16)  # the first day that OAI-PMH takes: nothing changed earlier
FIRST_SPAN = timedelta(days=7)  # read at once; then twice as much each time
VERSION = re.compile(r"v([1-9]\d{0,3})")


@dataclass(frozen=True)
class Changes:
    """What an answer tells: papers, entries that cannot be read, and how to ask for more."""

    listings: list[Listing]
    rejects: list[Reject]
    token: str = ""


class OaiSource:
    """Reads what changed since a day, once in a run."""

    name = "oai"

    def __init__(self, config: ScrapeConfig, site: Site) -> None:
        self.config, self.site = config, site
        self.known: dict[str, Listing] = {}  # all papers that were told of in this run
        self.rejects: list[Reject] = []
        self.since = clock.today() + ONE_DAY  # all changes from this day on were read
        self._given: set[str] = set()

    def batches(self, window: Window) -> Iterator[Batch]:
        """Yield longer and longer spans of days."""
        span = FIRST_SPAN
        while True:
            first = max(window.first, min(self.since, window.end) - span)
            self.read_since(first)
            rejects, self.rejects = self.rejects, []
            reached = first if first > EARLIEST else date.min
            news = [paper for paper in self.known.values() if self._is_news(paper, reached)]
            self._given |= {paper.arxiv_id for paper in news}
            yield Batch(reached, news, rejects)
            if reached <= window.first:
                return
            span *= 2

    def _is_news(self, paper: Listing, reached: date) -> bool:
        return paper.day >= reached and paper.arxiv_id not in self._given

    def read_since(self, day: date) -> None:
        """Know every paper that changed on a day or later."""
        day = max(day, EARLIEST)
        if day >= self.since:
            return
        until = self.since - ONE_DAY
        for name in sets_of(self.config):
            query = {"verb": "ListRecords", "metadataPrefix": "arXivRaw", "from": day.isoformat()}
            if until < clock.today():
                query["until"] = until.isoformat()
            if name:
                query["set"] = name
            while query:
                changes = self._ask(query)
                for paper in changes.listings:
                    self.known.setdefault(paper.arxiv_id, paper)
                self.rejects += changes.rejects
                query = {}
                if changes.token:
                    query = {"verb": "ListRecords", "resumptionToken": changes.token}
        self.since = day

    def record(self, arxiv_id: str) -> Listing:
        """Return one paper, asked for by itself; raise FetchError when it is not known."""
        query = {"verb": "GetRecord", "metadataPrefix": "arXivRaw"}
        changes = self._ask(query | {"identifier": f"oai:arXiv.org:{arxiv_id}"})
        if not changes.listings:
            problem = changes.rejects[0].detail if changes.rejects else "no record"
            raise FetchError("OAI-PMH", Outcome.SKIP, problem)
        self.known[arxiv_id] = changes.listings[0]
        return changes.listings[0]

    def _ask(self, query: dict[str, str]) -> Changes:
        return self.site.read(f"{self.config.oai_root}?{urlencode(query)}", parse_records)


def sets_of(config: ScrapeConfig) -> list[str]:
    """Return the sets of a question's categories, cs:cs:CL for cs.CL; "" is everything."""
    return [_set_of(name) for name in config.asked_categories] or [""]


def _set_of(category: str) -> str:
    group = group_of(category.split(".")[0])
    return f"{group}:{category.replace('.', ':', 1)}"


def parse_records(xml: bytes) -> Changes:
    """Parse an answer in the format arXivRaw; raise FetchError for one of another kind."""
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(xml)
    except Exception as error:  # expat's, defusedxml's and those of encodings: all mean the same
        raise retry("broken answer", f"OAI-PMH: {error}") from None
    problem = root.find(f"{OAI}error")
    if problem is not None:
        code = clean_line(problem.get("code", "error"))
        if code == "noRecordsMatch":
            return Changes([], [])
        raise FetchError(f"OAI-PMH: {code}", Outcome.SKIP, clean_line(problem.text or "")[:200])
    if root.find(f"{OAI}ListRecords") is None and root.find(f"{OAI}GetRecord") is None:
        raise retry("broken answer", "OAI-PMH: neither records nor an error")
    records = filter(_is_held, root.iter(f"{OAI}record"))
    listings, rejects = read_entries(records, _parse_raw)
    token = root.findtext(f"{OAI}ListRecords/{OAI}resumptionToken") or ""
    return Changes(listings, rejects, token.strip())


def _is_held(record: "Element") -> bool:
    header = record.find(f"{OAI}header")
    return header is None or header.get("status") != "deleted"


def _parse_raw(record: "Element") -> Listing:
    """Parse one record, in which a withdrawn version has the type I and one that is only HTML
    the type H."""
    named = _text(record, "id")
    versions = {}
    for node in record.iter(f"{RAW}version"):
        number, moment = VERSION.fullmatch(node.get("version", "")), node.findtext(f"{RAW}date", "")
        try:
            when = parsedate_to_datetime(moment)
            if not when.tzinfo:
                when = when.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            raise BadEntryError(named, f"date {clean_line(moment)[:50]!r}") from None
        if not number:
            raise BadEntryError(named, f"version {clean_line(node.get('version', ''))[:50]!r}")
        versions[int(number[1])] = (when, node.findtext(f"{RAW}source_type", "") or "")
    title = untex(_text(record, "title"))
    if not title:
        raise BadEntryError(named, "no title")
    if 1 not in versions:
        raise BadEntryError(named, "no first version")
    latest = max(versions)
    first, kind = versions[1][0], versions[latest][1]
    bare = Listing(
        arxiv_id=valid_id(named),
        day=first.date(),
        title=title,
        authors=parse_authors(_text(record, "authors")),
        abstract=untex(_text(record, "abstract")),
        categories=_text(record, "categories").split(),
        comments=_text(record, "comments"),
    )
    return completed(
        bare,
        first,
        version=latest,
        licence=_text(record, "license") or NO_LICENCE,
        has_pdf=not {"I", "H"} & set(kind),
        withdrawn="I" in kind,
    )


def _text(record: "Element", name: str) -> str:
    texts = (node.text for node in record.iter(f"{RAW}{name}"))
    return clean_line(next(texts, "") or "")
