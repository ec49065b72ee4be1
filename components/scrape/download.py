"""Abstract pages and PDFs over HTTP: parsed, verified, and put into the store so that none is fetched twice."""

import hashlib
import io
import re
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from components.scrape.config import ScrapeConfig
from components.scrape.search_page import Listing
from components.scrape.site import Refusal, Site
from components.shared.errors import SourceError
from components.shared.records import Paper, write_atomically
from components.shared.store import Store

ABSTRACT_LIMIT = 5 * 2**20  # bytes of an abstract page
HEAD, TAIL = 1024, 2048  # where a PDF must show its first and its last mark
VERSIONS = re.compile(r"\[v(\d+)\]\s*\w{3},\s+(\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d) UTC")


@dataclass(frozen=True, kw_only=True)
class About:
    """What only the abstract page tells."""

    version: int
    submitted: str  # UTC day of the first submission
    licence: str  # URL, or "unknown"
    authors: list[str]
    site: str


class Downloader:
    """Turn listings into papers, from the store where it has them, else from the site."""

    def __init__(self, config: ScrapeConfig, site: Site, store: Store, folder: Path) -> None:
        self.config, self.site, self.store, self.folder = config, site, store, folder
        self.from_store = self.fetched = 0

    def paper(self, listing: Listing) -> Paper | None:
        """Return a paper with its PDF in the folder; None when it is older than asked for; raise Refusal."""
        if not listing.has_pdf:
            raise Refusal("no PDF offered", "withdrawn, or never had one")
        version = listing.version or self._about(listing).version
        paper = self._stored(listing.arxiv_id, version)
        if paper is None:
            about = self._about(listing)
            if about.submitted < self.config.published_after:
                return None
            paper = self._fetch(listing, version, about)
        return paper if paper.submitted >= self.config.published_after else None

    def _stored(self, arxiv_id: str, version: int) -> Paper | None:
        """Return a paper that the store has whole, from the same site; write its PDF into the folder."""
        key = f"papers/{arxiv_id}/v{version}"
        row = self.store.get_json(f"{key}.json")
        if row is None or row.get("site") != self.config.site_kind:
            return None
        paper, pdf = Paper.from_dict(row, f"{key}.json"), self.store.get(f"{key}.pdf")
        if pdf is None or hashlib.sha256(pdf).hexdigest() != paper.sha256:
            return None
        write_atomically(self.folder / paper.pdf, pdf)
        self.from_store += 1
        return paper

    def _fetch(self, listing: Listing, version: int, about: About) -> Paper:
        """Fetch and verify a PDF; into the store it goes first, and its record last."""
        key, name = f"papers/{listing.arxiv_id}/v{version}", f"{listing.arxiv_id}v{version}"
        pdf = self._download(key, name)
        paper = Paper(
            arxiv_id=listing.arxiv_id,
            version=version,
            title=listing.title,
            authors=about.authors if listing.more_authors else listing.authors,
            abstract=listing.abstract,
            categories=listing.categories,
            submitted=about.submitted,
            licence=about.licence,
            pdf=f"pdf/{name.replace('/', '-')}.pdf",
            bytes=len(pdf),
            sha256=hashlib.sha256(pdf).hexdigest(),
            source="search",
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
            extra={"comments": listing.comments, "site": self.config.site_kind},
        )
        self.store.put(f"{key}.pdf", pdf)
        self.store.put_json(f"{key}.json", paper.to_dict())
        write_atomically(self.folder / paper.pdf, pdf)
        return paper

    def _download(self, key: str, name: str) -> bytes:
        """Return a verified PDF: of the site, or of the store when a run was killed before it wrote the record."""
        if not self.store.has(f"{key}.json") and (left := self.store.get(f"{key}.pdf")):
            self.from_store += 1
            return left
        with tempfile.TemporaryFile() as file:
            self.site.fetch(f"/pdf/{name}", file, self.config.max_pdf_bytes)
            check_pdf(file)
            file.seek(0)
            self.fetched += 1
            return file.read()

    def _about(self, listing: Listing) -> About:
        """Return the abstract page's facts, asking the site once for every version listed."""
        key = f"papers/{listing.arxiv_id}/listed-{listing.revised}.json"
        row: dict[str, Any] | None = self.store.get_json(key)
        if row and row["site"] == self.config.site_kind:
            return About(**row)
        page = io.BytesIO()
        suffix = f"v{listing.version}" if listing.version else ""
        self.site.fetch(f"/abs/{listing.arxiv_id}{suffix}", page, ABSTRACT_LIMIT)
        about = parse_abstract(page.getvalue(), listing, self.config.site_kind)
        self.store.put_json(key, asdict(about))
        return about


def parse_abstract(html: bytes, listing: Listing, site: str) -> About:
    """Parse an abstract page; what it does not tell is taken from the listing."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    licence = page.select_one("div.abs-license a[href]")
    history = page.select_one(".submission-history")
    versions = {int(number): moment for number, moment in VERSIONS.findall(history.get_text(" ") if history else "")}
    version = listing.version or max(versions, default=0)
    if not version:
        raise SourceError(f"the page of {listing.arxiv_id} names no version", "has the site changed its pages?")
    first = datetime.strptime(versions[1], "%d %b %Y %H:%M:%S").date() if 1 in versions else listing.first_day
    return About(
        version=version,
        submitted=first.isoformat(),
        licence=str(licence["href"]) if licence else "unknown",
        authors=[" ".join(author.get_text().split()) for author in page.select("div.authors a")] or listing.authors,
        site=site,
    )


def check_pdf(file: IO[bytes]) -> None:
    """Raise Refusal unless a file is a whole PDF by its marks: a site may call anything one."""
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise Refusal("empty file")
    file.seek(0)
    if b"%PDF-" not in file.read(HEAD):
        raise Refusal("not a PDF", "no %PDF- at its beginning")
    file.seek(max(0, size - TAIL))
    if b"%%EOF" not in file.read(TAIL):
        raise Refusal("truncated PDF", "no %%EOF at its end")
