"""Settings of the scrape stage."""

import ipaddress
import re
from datetime import date
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from components.shared.config import WithForecast, WithOwnPapers, WithSeed, WithStore, knob
from components.shared.errors import ConfigError
from components.shared.teachers import Kind

ARXIV_PACE = 3.0  # seconds between requests that arXiv's terms of use ask for
FIRST_YEAR = 1991  # arXiv's search answers earlier dates with its form
MEGABYTE = 2**20
SITE = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?")
ARCHIVES = (
    "astro-ph|cond-mat|cs|econ|eess|gr-qc|hep-ex|hep-lat|hep-ph|hep-th|math|math-ph|nlin"
    "|nucl-ex|nucl-th|physics"
    "|q-bio|q-fin|quant-ph|stat"
)
PHYSICS = re.compile(r"astro-ph|cond-mat|gr-qc|hep-.*|math-ph|nlin|nucl-.*|physics|quant-ph")
CATEGORY = re.compile(rf"({ARCHIVES})(\.[A-Za-z]+(-[a-z]+)?)?")
Field = Literal["all", "title", "abstract", "author", "comments"]
Source = Literal["auto", "list", "search", "oai", "api"]
DEFAULT_QUERY, ITS_CATEGORY = "language models", "cs.CL"


def group_of(archive: str) -> str:
    """Return the group of an archive: itself, but for those of physics."""
    return "physics" if PHYSICS.fullmatch(archive) else archive


class ScrapeConfig(WithStore, WithSeed, WithForecast, WithOwnPapers):
    """What to look for, where, and how politely."""

    stage: ClassVar[str] = "scrape"

    query: str = knob(
        DEFAULT_QUERY,
        'words in title or abstract, "a phrase", AND, OR, NOT; * for any paper',
        exposed=True,
    )
    published_after: str = knob(
        "2024-04-18", "first day of first submission, YYYY-MM-DD, UTC, inclusive", exposed=True
    )
    max_papers: int = knob(
        60, "take so many papers that may be used, the newest", exposed=True, low=1, high=20_000
    )
    site: str = knob("https://arxiv.org", "the site to ask: arXiv, or a stand-in", exposed=True)
    teacher: Kind = knob(
        "groq", "who will write the triples: its terms decide which papers are of use", exposed=True
    )
    teacher_model: str = knob("openai/gpt-oss-120b", "the teacher's model", exposed=True)
    base_model: str = knob(
        "meta-llama/Meta-Llama-3-8B", "the model to be trained: its terms count too", exposed=True
    )
    allow_licences: str = knob(
        "open", "licences of papers to train on, as in curate.allow_licences", exposed=True
    )
    field: Field = knob("all", "where the words must occur; all is title and abstract")
    categories: tuple[str, ...] = knob(
        (),
        "only papers of these categories or archives, such as cs.CL or hep-th; "
        f"none: {ITS_CATEGORY} for the default query, else any",
    )
    cross_lists: bool = knob(True, "also papers that name the category, but not first")
    published_before: str = knob("", "first submission before this day, YYYY-MM-DD, UTC, exclusive")
    backfill: int = knob(
        0, "how many older papers each run adds to those of the last one", low=0, high=20_000
    )
    source: Source = knob(
        "auto",
        "how to ask; auto: search pages where robots.txt allows them, else lists; then oai, "
        "then api",
    )
    accept_robots_risk: bool = knob(False, "ask even what robots.txt disallows")
    page_size: Literal[25, 50, 100, 200] = knob(200, "results on one page")
    result_limit: int = knob(
        10_000, "results that the site shows of one question; more are read by date", low=25
    )
    overlap_days: int = knob(
        14, "a recurring run reads so many days again, for late announcements", low=0
    )
    seconds_between_requests: float = knob(
        ARXIV_PACE, "pace of requests; below 3 only on this machine", low=0
    )
    max_requests: int = knob(5000, "a run sends at most this many requests", low=1)
    timeout_s: float = knob(
        150.0, "seconds that an answer may take; arXiv refuses after up to 124", low=1, high=3600
    )
    patience_hours: float = knob(
        -1,
        "hours to wait, in all, for a site that refuses; -1: 6, or 0 for one on this machine",
        low=-1,
        high=100,
    )
    max_pdf_bytes: int = knob(50 * MEGABYTE, "larger PDFs are rejected", low=1)
    contact: str = knob("", "mail address or URL for the site's operators, sent in the User-Agent")
    lease: Literal["auto", "file", "kubernetes"] = knob(
        "auto", "what keeps all processes at one pace"
    )
    state: str = knob(
        "",
        "folder of this machine for the lease and downloads under way; none: "
        "~/.local/state/arxtune",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.query.strip():
            raise ConfigError(
                "scrape.query='': names no words", 'give words to look for, or "*" for any paper'
            )
        if self.query.strip() != "*" and self.query.strip()[0] in "*?":
            raise ConfigError(f"scrape.query={self.query!r}: a word cannot start with a wildcard")
        self._check_day("published_after")
        if self.published_before:
            self._check_day("published_before")
            if self.published_before <= self.published_after:
                asked = f"scrape.published_before={self.published_before!r}"
                raise ConfigError(
                    f"{asked}: must be later than scrape.published_after, {self.published_after}"
                )
        for category in self.categories:
            if not CATEGORY.fullmatch(category):
                raise ConfigError(
                    f"scrape.categories={category!r}: must be like cs.CL, astro-ph or hep-th"
                )
        self._check_site()
        if self.seconds_between_requests < ARXIV_PACE and not self.on_loopback:
            asked = f"scrape.seconds_between_requests={self.seconds_between_requests:g}"
            raise ConfigError(f"{asked}: must be at least {ARXIV_PACE:g} for {self.site}")
        if not self.contact.isascii() or not (self.contact == "" or self.contact.isprintable()):
            raise ConfigError(f"scrape.contact={self.contact!r}: must be plain ASCII on one line")
        return self

    @property
    def asked_categories(self) -> tuple[str, ...]:
        """Return the categories that papers must be of; none: any."""
        default = self.query.strip() == DEFAULT_QUERY and not self.categories
        return (ITS_CATEGORY,) if default else self.categories

    @property
    def patience_s(self) -> float:
        """Return the seconds that may be spent on waiting for a site that refuses."""
        if self.patience_hours >= 0:
            return 3600 * self.patience_hours
        return 0.0 if self.on_loopback else 6 * 3600.0

    @property
    def first_day(self) -> date:
        """Return published_after as a date."""
        return date.fromisoformat(self.published_after)

    @property
    def end_day(self) -> date | None:
        """Return published_before as a date, or None when there is no such bound."""
        return date.fromisoformat(self.published_before) if self.published_before else None

    @property
    def root(self) -> str:
        """Return the site without a trailing slash."""
        return self.site.rstrip("/")

    @property
    def host(self) -> str:
        """Return the site's host; all of arXiv's are one site, with one limit of requests."""
        host = str(urlsplit(self.site).hostname)
        return "arxiv.org" if host.endswith(".arxiv.org") else host

    @property
    def _program_root(self) -> str:
        """Return the host for programs: arXiv has one of its own."""
        return "https://export.arxiv.org" if self.host == "arxiv.org" else self.root

    @property
    def api_root(self) -> str:
        """Return where the API answers."""
        return f"{self._program_root}/api/query"

    @property
    def pdf_root(self) -> str:
        """Return where PDFs are fetched."""
        return f"{self._program_root}/pdf"

    @property
    def oai_root(self) -> str:
        """Return where OAI-PMH answers."""
        return "https://oaipmh.arxiv.org/oai" if self.host == "arxiv.org" else f"{self.root}/oai"

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
        """Return what papers of this site are remembered under: the host, or `loopback` whatever
        the port."""
        return "loopback" if self.on_loopback else str(urlsplit(self.site).hostname)

    @property
    def user_agent(self) -> str:
        """Return who we say we are, to the site and to its robots.txt."""
        return f"arxtune/0.1 (contact: {self.contact})" if self.contact else "arxtune/0.1"

    def _check_day(self, name: str) -> None:
        text = getattr(self, name)
        try:
            day = date.fromisoformat(text)
            valid = day.isoformat() == text and day.year >= FIRST_YEAR
        except ValueError:
            valid = False
        if not valid:
            raise ConfigError(
                f"scrape.{name}={text!r}: must be a day since {FIRST_YEAR}, written YYYY-MM-DD"
            )

    def _check_site(self) -> None:
        match = SITE.fullmatch(self.root)
        if not match or int(match["port"] or 1) not in range(1, 65_536):
            raise ConfigError(
                f"scrape.site={self.site!r}: must be http(s)://host or http(s)://host:port"
            )
