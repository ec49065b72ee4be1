"""Settings of the scrape stage."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from urllib.parse import urlsplit

from components.shared.config import StageConfig, knob
from components.shared.errors import ConfigError

ARXIV_PACE = 3.0  # seconds between requests that arXiv's terms of use ask for
FIRST_YEAR = 1991  # arXiv's search answers earlier dates with its form
MEGABYTE = 2**20
SITE = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class ScrapeConfig(StageConfig):
    """What to look for, where, and how politely."""

    stage: ClassVar[str] = "scrape"

    query: str = knob("language models", "words that a paper holds, in any field; * for any paper", exposed=True)
    published_after: str = knob("2024-04-18", "first day of first submission, YYYY-MM-DD, UTC, inclusive", exposed=True)
    max_papers: int = knob(60, "take at most this many, the newest", exposed=True, low=1, high=2000)
    site: str = knob("https://arxiv.org", "the site to ask: arXiv, or a stand-in", exposed=True)
    page_size: int = knob(200, "results on one search page", choices=(25, 50, 100, 200))
    seconds_between_requests: float = knob(ARXIV_PACE, "pace of requests; below 3 only on this machine", low=0)
    timeout_s: float = knob(30.0, "seconds to wait for an answer of the site", low=1)
    max_pdf_bytes: int = knob(50 * MEGABYTE, "larger PDFs are rejected", low=1)
    contact: str = knob("", "mail address or URL for the site's operators, sent in the User-Agent")
    accept_robots_risk: bool = knob(False, "search even where robots.txt disallows it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.query.strip():
            raise ConfigError("scrape.query='': names no words", 'give words to look for, or "*" for any paper')
        if self.query.strip() != "*" and self.query.strip()[0] in "*?":
            raise ConfigError(f"scrape.query={self.query!r}: a word cannot start with a wildcard")
        self._check_day()
        self._check_site()
        if self.seconds_between_requests < ARXIV_PACE and not self.on_loopback:
            asked = f"scrape.seconds_between_requests={self.seconds_between_requests:g}"
            raise ConfigError(f"{asked}: must be at least {ARXIV_PACE:g} for {self.site}")
        if not self.contact.isascii() or not (self.contact == "" or self.contact.isprintable()):
            raise ConfigError(f"scrape.contact={self.contact!r}: must be plain ASCII on one line")

    @property
    def first_day(self) -> date:
        """Return published_after as a date."""
        return date.fromisoformat(self.published_after)

    @property
    def root(self) -> str:
        """Return the site without a trailing slash."""
        return self.site.rstrip("/")

    @property
    def on_loopback(self) -> bool:
        """Tell whether the site runs on this machine."""
        host = urlsplit(self.site).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def site_kind(self) -> str:
        """Return what papers of this site are remembered under: the host, or `loopback` whatever the port."""
        return "loopback" if self.on_loopback else str(urlsplit(self.site).hostname)

    @property
    def user_agent(self) -> str:
        """Return who we say we are, to the site and to its robots.txt."""
        return f"arxtune/0.1 (contact: {self.contact})" if self.contact else "arxtune/0.1"

    def _check_day(self) -> None:
        try:
            valid = self.first_day.isoformat() == self.published_after and self.first_day.year >= FIRST_YEAR
        except ValueError:
            valid = False
        if not valid:
            asked = f"scrape.published_after={self.published_after!r}"
            raise ConfigError(f"{asked}: must be a day since {FIRST_YEAR}, written YYYY-MM-DD")

    def _check_site(self) -> None:
        match = SITE.fullmatch(self.root)
        if not match or int(match["port"] or 1) not in range(1, 65_536):
            raise ConfigError(f"scrape.site={self.site!r}: must be http(s)://host or http(s)://host:port")
