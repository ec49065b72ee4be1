"""Ask a site politely: one request at a time, paced, with an honest name, and no longer than it
likes us.

`ask` is the one loop for all requests. An attempt that fails says what is next: RETRY after a
pause, SKIP the address, come back LATER to this kind of path, or STOP. A kind of path (host and
first folder: export.arxiv.org/pdf) that keeps failing is closed for this run, so that whoever
asked can take another source; `rest` spends the run's patience in growing pauses and opens all
again."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.lease import ALL, PaceState, open_lease
from components.shared.errors import SourceError
from components.shared.http import (
    TOO_LARGE,
    Client,
    FetchError,
    Outcome,
    Response,
    Write,
    redirect_target,
)
from components.shared.progress import say
from components.shared.text import finite

T = TypeVar("T")

MAX_ATTEMPTS = 4  # at one address
MAX_FAILURES = 3  # addresses of a kind in a row that close the kind; one where it says why
LONGEST_RETRY_AFTER_S = 300.0  # what is told beyond is not waited for: others are asked
LONGEST_REST_S = 3600.0
LONGEST_CRAWL_DELAY_S = 300.0
FIRST_REST_PACES = 20  # five minutes at arXiv's 15 s
BLOCK_PACES = 600  # a site that wants us to stop is left alone so long: half an hour at 3 s
TOLD_FROM_S = 2.0  # pauses longer than this are told
SHORTEST_PAUSE_S = 0.2  # before the second try, where the pace is quicker
CONNECT_PAUSE_S = 1.0
REDIRECTS = 5
PAGE_BYTES = 64 * 2**20  # OAI-PMH's pages of 2,500 records are the largest
BROKEN = ("incomplete page", "broken answer")  # reasons that speak against one answer
RATE_EXCEEDED = re.compile(rb"\s*Rate exceeded\.?\s*")
CAPTCHA = re.compile(rb"<title>[^<]*captcha", re.IGNORECASE)
DIRECTIVE = re.compile(
    r"user-agent:.*|(?:dis)?allow:\s*(?:[/*][!-~]*)?|crawl-delay:\s*[0-9]{1,9}", re.IGNORECASE
)


class BudgetSpentError(SourceError):
    """The run has sent as many requests as it may."""


class Site:
    """One site, its lease, and this run's budgets of requests and of patience."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config = config
        self.requests = 0
        self.patience_s = config.patience_s
        self.closed: dict[str, str] = {}  # kind of path -> why nothing of it is asked any more
        self._failures: dict[str, int] = {}  # kind of path -> addresses in a row that failed
        self._probed: set[str] = set()  # kinds opened again: one failure closes them
        self._rests = 0  # since the last answer of such a kind
        self._crawl_delay = 0.0
        self._robots: RobotFileParser | None = None  # unknown: only what is for programs is asked
        self._lease = open_lease(config)
        headers = {"User-Agent": config.user_agent}
        self._client = Client(headers, proxies=not config.on_loopback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read_robots(self) -> None:
        """Read robots.txt and adopt its crawl delay; where it cannot be had, pages for people
        are not asked for.

        Raises FetchError where the site cannot be reached, or wants us to stop.
        """
        robots = RobotFileParser()
        try:
            text = self.read(f"{self.config.root}/robots.txt", lambda body: body)
        except FetchError as error:
            if error.outcome is Outcome.STOP or error.unreachable:
                raise
            if error.outcome is Outcome.LATER:
                say("scrape", f"no robots.txt ({error}): no page of {self.config.root} is read")
                return
            text = b""  # there is none: all is allowed
        lines = [
            line.split("#")[0].strip() for line in text.decode("utf-8", "replace").splitlines()
        ]
        robots.parse([line for line in lines if DIRECTIVE.fullmatch(line)])
        told = finite(robots.crawl_delay(self.config.user_agent) or 0) or 0.0
        self._crawl_delay = min(told, LONGEST_CRAWL_DELAY_S)
        self._robots = robots
        clock.sleep(self._crawl_delay - self.config.seconds_between_requests)

    def allows(self, path: str) -> bool:
        """Tell whether robots.txt allows a path to us."""
        url = self.config.root + path
        return self._robots is not None and self._robots.can_fetch(self.config.user_agent, url)

    @property
    def pace(self) -> float:
        """Return the seconds between two requests to the site's own host, which its robots.txt
        may raise."""
        return max(self.config.seconds_between_requests, self._crawl_delay)

    def read(self, url: str, parse: Callable[[bytes], T], *, html: bool = False) -> T:
        """Return what `parse` makes of a document that fits in memory."""

        def attempt(url: str) -> T:
            body = self._exchange(url, max_bytes=PAGE_BYTES).body
            check_beginning(body)
            if html and b"</html>" not in body[-65_536:]:
                raise retry("incomplete page", url)
            return parse(body)

        return self.ask(url, attempt)

    def ask(self, url: str, attempt: Callable[[str], T]) -> T:
        """Return what an attempt at one address returns, tried again where that may help.

        Raises FetchError, never with the outcome RETRY.
        """
        kind = kind_of(url)
        if kind in self.closed:
            raise FetchError(self.closed[kind], Outcome.LATER, kind)
        if self._is_disallowed(url):
            raise FetchError("disallowed by robots.txt", Outcome.LATER, urlsplit(url).path)
        tries = redirects = 0
        while True:
            try:
                result = self._take_turn(url, attempt, tries + 1)
            except Moved as moved:
                url, redirects = moved.target, redirects + 1
                if redirects > REDIRECTS:
                    raise FetchError("redirects without end", Outcome.SKIP, url) from None
            except FetchError as error:
                tries += 1
                if error.outcome is not Outcome.RETRY:
                    raise
            else:
                self._answered(kind)
                return result

    def _take_turn(self, url: str, attempt: Callable[[str], T], number: int) -> T:
        """Wait for our turn to send one request, count it, and send it."""
        if self.requests >= self.config.max_requests:
            problem = f"scrape.max_requests={self.config.max_requests}: all of them are sent"
            raise BudgetSpentError(problem, "run again, or raise it: the store keeps what is there")
        host = str(urlsplit(url).hostname)
        paces = {ALL: self.config.seconds_between_requests}
        if host == urlsplit(self.config.root).hostname:
            paces[host] = self.pace
        with self._lease.turn(host, kind_of(url), paces) as state:
            self.requests += 1
            try:
                return attempt(url)
            except FetchError as error:
                self._decide(state, url, error, number)
                raise

    def _decide(self, state: PaceState, url: str, error: FetchError, number: int) -> None:
        """Decide what is next after an attempt that failed, and tell all who share the lease."""
        kind, host = kind_of(url), str(urlsplit(url).hostname)
        told = error.after_s or 0.0
        if error.outcome is Outcome.SKIP:
            self._answered(kind)
        elif error.outcome is Outcome.STOP:
            state.block(ALL, BLOCK_PACES * max(self.pace, 1.0), str(error))
        elif told > LONGEST_RETRY_AFTER_S:
            state.block(kind, told, str(error))
            self._give_up(kind, error)
        elif kind in self._probed or number >= (2 if error.unreachable else MAX_ATTEMPTS):
            self._give_up(kind, error)
        else:
            pause = self._pause(error, number)
            state.wait(host, pause)
            if pause > TOLD_FROM_S:
                say("scrape", f"{kind}: {error}; asking again in {pause:.0f} s")

    def _pause(self, error: FetchError, number: int) -> float:
        """Return seconds before the next try: doubling, with jitter so that installations do not
        return at once.

        What the site tells may prolong it; that it tells 0 is no permission.
        """
        if error.unreachable:
            return CONNECT_PAUSE_S
        longest = max(SHORTEST_PAUSE_S, 2.5 * self.pace) * 2.0**number
        return max(longest * random.uniform(0.5, 1), error.after_s or 0.0)

    def _answered(self, kind: str) -> None:
        self._failures[kind] = 0
        if kind in self._probed:
            self._probed.discard(kind)
            self._rests = 0

    def _give_up(self, kind: str, error: FetchError) -> None:
        """Leave an address for later; close its kind where the failure speaks against all of it."""
        error.outcome = Outcome.LATER
        if error.reason not in BROKEN:
            self._failures[kind] = self._failures.get(kind, 0) + 1
        sure = error.unreachable or error.http_status in (429, 503) or bool(error.after_s)
        if sure or kind in self._probed or self._failures.get(kind, 0) >= MAX_FAILURES:
            self.closed[kind] = error.reason

    def is_closed(self, url: str) -> bool:
        """Tell whether nothing of an address's kind is asked any more."""
        return kind_of(url) in self.closed

    def rest(self) -> bool:
        """Wait, longer each time, and open again what was closed; return False when no patience
        is left."""
        if self.patience_s <= 0:
            return False
        longest = min(LONGEST_REST_S, self.patience_s)
        pause = min(FIRST_REST_PACES * max(self.pace, 1.0) * 2.0**self._rests, longest)
        self.patience_s -= pause
        self._rests += 1
        why = ", ".join(f"{kind}: {reason}" for kind, reason in self.closed.items())
        left = self.patience_s / 3600
        say("scrape", f"waiting {pause / 60:.0f} min ({why}); patience for {left:.1f} h more")
        clock.sleep(pause)
        self._probed |= set(self.closed)
        self.closed.clear()
        return True

    def download(self, url: str, part: Path) -> None:
        """Stream a file into `part`, going on where an earlier try ended, be it of an earlier
        run."""
        try:
            self.ask(url, lambda url: self._resume(url, part))
        except FetchError as error:
            if error.reason == TOO_LARGE:
                part.unlink()
            raise

    def _resume(self, url: str, part: Path) -> None:
        tag = part.with_suffix(".tag")  # names the content that `part` is the beginning of
        held = part.stat().st_size if part.exists() and tag.exists() else 0
        headers = {"Range": f"bytes={held}-", "If-Range": tag.read_text("ascii")} if held else {}
        limit = self.config.max_pdf_bytes
        with part.open("ab") as file:

            def receive(answer: Response) -> Write | None:
                if answer.status not in (200, 206):
                    return None
                told = answer.headers.get("Content-Range", "")
                if answer.status == 200 or not told.startswith(f"bytes {held}-"):
                    file.truncate(0)
                    _write_tag(tag, answer.headers.get("ETag", ""))
                return write

            def write(piece: bytes) -> None:
                if not file.tell():
                    check_beginning(piece)
                file.write(piece)
                self._lease.renew()
                if file.tell() > limit:
                    raise FetchError(TOO_LARGE, Outcome.SKIP, f"over scrape.max_pdf_bytes={limit}")

            answer = self._exchange(
                url,
                headers=headers,
                max_bytes=limit,
                receive=receive,
                also=(206, 416) if held else (),
            )
        if answer.status == 416 and answer.headers.get("Content-Range") != f"bytes */{held}":
            part.unlink()
            raise retry("connection lost", "what was fetched before no longer fits")

    def _exchange(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        receive: Callable[[Response], Write | None] | None = None,
        also: tuple[int, ...] = (),
    ) -> Response:
        """Return an answer of status 200, or `also` others; raise Moved where it leads on within
        the site."""
        answer = self._client.fetch(
            url,
            headers=headers,
            deadline_s=self.config.timeout_s * (4 if receive else 1),
            max_bytes=max_bytes,
            receive=receive,
        )
        location = answer.headers.get("Location", "")
        if 300 <= answer.status < 400 and location:
            target = str(redirect_target(url, location))
            if not self._is_ours(target):
                raise FetchError("redirect to another site", Outcome.SKIP, target[:200])
            raise Moved(target)
        return answer if answer.status in (200, *also) else answer.check()

    def _is_ours(self, url: str) -> bool:
        """Tell whether an address belongs to the site: its host or one below it, no weaker
        scheme or other port."""
        ours, theirs = urlsplit(self.config.root), urlsplit(url)
        host = theirs.hostname or ""
        same_host = host == self.config.host or host.endswith(f".{self.config.host}")
        return same_host and theirs.port == ours.port and theirs.scheme in (ours.scheme, "https")

    def _is_disallowed(self, url: str) -> bool:
        """Tell whether robots.txt forbids an address; hosts and paths for programs go by the
        terms of use."""
        parts = urlsplit(url)
        programs = [self.config.api_root, self.config.oai_root]
        programs += [self.config.pdf_root] if self._robots is None else []
        for_programs = url.startswith((*programs, f"{self.config.root}/robots.txt"))
        if for_programs or parts.hostname != urlsplit(self.config.root).hostname:
            return False
        risk_taken = self.config.accept_robots_risk and parts.path.startswith("/search")
        return not risk_taken and not self.allows(parts.path)


class Moved(Exception):
    """An answer leads to another address of the site."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(target)


def retry(reason: str, detail: str = "") -> FetchError:
    """Return the error for an answer that came broken or incomplete, which the next one may not."""
    return FetchError(reason, Outcome.RETRY, detail)


def check_beginning(body: bytes) -> None:
    """Raise FetchError where a body of status 200 is a refusal: arXiv says "Rate exceeded." that
    way too."""
    if RATE_EXCEEDED.fullmatch(body):
        raise FetchError("rate exceeded", Outcome.RETRY, "told with status 200", http_status=429)
    if CAPTCHA.search(body[:65_536]):
        raise FetchError("captcha", Outcome.STOP, "the site asks whether we are human")


def kind_of(url: str) -> str:
    """Return host and first folder of an address: what a site refuses together."""
    parts = urlsplit(url)
    return f"{parts.hostname}/{parts.path.split('/')[1]}"


def _write_tag(tag: Path, etag: str) -> None:
    if etag.startswith('"') and etag.isascii():
        tag.write_text(etag, "ascii")
    else:
        tag.unlink(missing_ok=True)
