"""Ask a site over HTTP, politely: one request at a time, paced, with an honest name, and no longer than it likes us.

What a site answers is either what was asked for or a Refusal, which says whether to ask again. `patiently` does so,
after what Retry-After says or after a growing pause, and parks the site for everybody when it is down or wants us
to stop.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx

from components.scrape.config import ScrapeConfig
from components.scrape.lease import Slate, open_lease
from components.scrape.refusal import TOO_LARGE, Refusal, refusal_of, stop_at_captcha
from components.shared.errors import SourceError
from components.shared.progress import say

T = TypeVar("T")

LONGEST_WAIT_S = 300.0  # a Retry-After beyond this is not waited for: the site is parked until then
TRIES = 4  # of one request
SLOWEST = (
    20  # a body may take this many timeouts in all: a trickle must not hold the stage for ever
)
DOWN_LIMIT = 3  # addresses in a row that failed on the site's side before it counts as down
PARK_PACES = 600  # a site that is down or wants us to stop is left alone for so many paces: half an hour at 3 s
TOLD_FROM_S = 2.0  # pauses longer than this are told
SHORTEST_PAUSE_S = 0.2  # before the second try, where the pace is quicker
REDIRECTS = 5
PIECE = 65_536  # bytes
SMALL = 20 * 2**20  # bytes of a page that is read into memory
DOWN_FIX = "wait some time and run again: what is fetched already stays in the store"


class BudgetSpentError(SourceError):
    """The run has sent as many requests as it may."""


class Site:
    """One site, its lease, and this run's budget of requests."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config = config
        self.pace = config.seconds_between_requests
        self.requests = 0
        self.lease = open_lease(config)
        self._robots = RobotFileParser()
        self._robots.parse([])
        self._try = 0  # of the request in hand
        self._down = 0  # addresses in a row that failed on the site's side
        self._client = httpx.Client(
            headers={"User-Agent": config.user_agent, "Accept-Encoding": "identity"},
            timeout=config.timeout_s,
            trust_env=not config.on_loopback,  # no proxy on the way to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def read_robots(self) -> None:
        """Read robots.txt and adopt its crawl delay; a site that cannot show one is not asked anything else."""
        url = f"{self.config.root}/robots.txt"
        try:
            text = self.patiently(lambda: self.fetch_once(url))
        except Refusal as refusal:
            if refusal.reason in ("HTTP 404", "HTTP 410"):  # there is none: all is allowed
                return
            raise SourceError(
                f"{url} does not answer ({refusal})", "check the network and scrape.site"
            ) from None
        self._robots.parse(text.decode("utf-8", "replace").splitlines())
        self.pace = max(self.pace, float(self._robots.crawl_delay(self.config.user_agent) or 0))

    def allows(self, path: str) -> bool:
        """Tell whether robots.txt allows a path to us."""
        return self._robots.can_fetch(self.config.user_agent, self.config.root + path)

    @contextlib.contextmanager
    def turn(self) -> Iterator[Slate]:
        """Wait for our turn to send one request, and count it; raise BudgetSpentError when none is left.

        A Refusal on the way tells the lease how long nobody may ask.
        """
        if self.requests >= self.config.max_requests:
            problem = f"scrape.max_requests={self.config.max_requests}: all of them are sent"
            raise BudgetSpentError(
                problem, "run again, or raise it: what is fetched already stays in the store"
            )
        with self.lease.turn(self.pace) as slate:
            self.requests += 1
            try:
                yield slate
            except Refusal as refusal:
                if refusal.after is not None and refusal.after <= LONGEST_WAIT_S:
                    slate.wait(refusal.after)
                elif refusal.after is not None:
                    slate.park(refusal.after, str(refusal))
                elif refusal.stop:
                    slate.park(PARK_PACES * self.pace, str(refusal))
                elif refusal.again:
                    pause = self._pause()
                    slate.wait(pause)
                    if pause > TOLD_FROM_S and self._try + 1 < TRIES:
                        say(
                            "scrape",
                            f"{self.config.root}: {refusal}; asking again in {pause:.0f} s",
                        )
                raise

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds or is refused for good; raise SourceError when the site is to be left."""
        for self._try in range(TRIES):
            try:
                result = attempt()
            except Refusal as refusal:
                if refusal.stop:
                    raise SourceError(
                        f"{self.config.root} wants us to stop: {refusal}", DOWN_FIX
                    ) from None
                if refusal.after is not None and refusal.after > LONGEST_WAIT_S:
                    raise SourceError(
                        f"{self.config.root}: {refusal}, for {refusal.after:.0f} s", DOWN_FIX
                    ) from None
                if not refusal.again or self._try + 1 == TRIES:
                    self._count(refusal)
                    raise
            else:
                self._down = 0
                return result
        raise AssertionError("unreachable: the last try returns or raises")

    def fetch(self, url: str) -> bytes:
        """Return a small document; raise Refusal for this address, SourceError when the site is to be left."""
        return self.patiently(lambda: self.fetch_once(url))

    def fetch_once(self, url: str) -> bytes:
        """Return a small document without a second try, whole if it is HTML."""
        with self._ask(url) as answer:
            body = bytearray()
            for piece in answer.iter_bytes(PIECE):
                body += piece
                if len(body) > SMALL:
                    raise Refusal(TOO_LARGE, f"over {SMALL:,} bytes")
            stop_at_captcha(bytes(body[:PIECE]))
            if "html" in answer.headers.get("Content-Type", "") and b"</html>" not in body[-PIECE:]:
                raise Refusal("incomplete page", url, again=True)
            return bytes(body)

    def download(self, url: str, part: Path) -> None:
        """Stream a file into `part`, going on where an earlier try ended, be it of an earlier run."""
        self.patiently(lambda: self._resume(url, part))

    def _resume(self, url: str, part: Path) -> None:
        tag = part.with_suffix(".tag")  # names the content that `part` is the beginning of
        held = part.stat().st_size if part.exists() and tag.exists() else 0
        headers = {"Range": f"bytes={held}-", "If-Range": tag.read_text("ascii")} if held else {}
        with self._ask(url, headers, also=(206, 416) if held else ()) as answer:
            if (
                answer.status_code == 416
            ):  # nothing follows: it was whole already, or is of something else
                if answer.headers.get("Content-Range") != f"bytes */{held}":
                    part.unlink()
                    raise Refusal(
                        "connection lost", "what was fetched before no longer fits", again=True
                    )
                return
            goes_on = answer.status_code == 206 and answer.headers.get(
                "Content-Range", ""
            ).startswith(f"bytes {held}-")
            size = held if goes_on else 0
            etag = answer.headers.get("ETag", "")
            if not goes_on:
                part.unlink(missing_ok=True)
                tag.write_text(etag, "ascii") if etag.startswith('"') else tag.unlink(
                    missing_ok=True
                )
            limit, deadline = (
                self.config.max_pdf_bytes,
                time.monotonic() + SLOWEST * self.config.timeout_s,
            )
            with part.open("ab") as file:
                for piece in (
                    answer.iter_bytes()
                ):  # as they come: sized ones would lose what a cut leaves over
                    if not size:
                        stop_at_captcha(piece)
                    size += len(piece)
                    if size > limit:
                        break
                    if time.monotonic() > deadline:
                        raise Refusal(
                            "too slow", f"{size:,} bytes in {SLOWEST * self.config.timeout_s:g} s"
                        )
                    file.write(piece)
                    self.lease.renew()
        if size > limit:
            part.unlink()
            raise Refusal(TOO_LARGE, f"over scrape.max_pdf_bytes={limit}")

    @contextlib.contextmanager
    def _ask(
        self, url: str, headers: dict[str, str] | None = None, also: tuple[int, ...] = ()
    ) -> Iterator[httpx.Response]:
        """Yield an answer of status 200, or `also` others.

        Each redirect on the way is a request of its own, and may not leave the site.
        """
        for _ in range(REDIRECTS):
            with self.turn():
                try:
                    with self._client.stream("GET", url, headers=headers) as answer:
                        if not answer.has_redirect_location:
                            if answer.status_code not in (200, *also):
                                raise refusal_of(
                                    answer.status_code, answer.headers.get("Retry-After", "")
                                )
                            yield answer
                            return
                        url = self._follow(url, answer.headers["Location"])
                except httpx.TimeoutException:
                    raise Refusal(
                        f"no answer in {self.config.timeout_s:g} s", again=True, down=True
                    ) from None
                except httpx.HTTPError as error:
                    detail = f"{type(error).__name__} {error}"
                    raise Refusal("connection lost", detail, again=True, down=True) from None
        raise Refusal("redirects without end", f"after {REDIRECTS}")

    def _follow(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if not self.may_ask(target):
            raise Refusal("redirect to another site", target)
        return target

    def may_ask(self, url: str) -> bool:
        """Tell whether an address belongs to the site: its host or one below it, and no weaker scheme or other port."""
        ours, theirs = urlsplit(self.config.root), urlsplit(url)
        host = theirs.hostname or ""
        same_host = host == self.config.host or host.endswith(f".{self.config.host}")
        return same_host and theirs.port == ours.port and theirs.scheme in (ours.scheme, "https")

    def _pause(self) -> float:
        """Return seconds before the next try: doubling, and with jitter so that installations do not return at once."""
        longest: float = max(SHORTEST_PAUSE_S, 5 * self.pace) * 2**self._try
        return longest * random.uniform(0.5, 1)

    def _count(self, refusal: Refusal) -> None:
        self._down = self._down + 1 if refusal.down else 0
        if self._down >= DOWN_LIMIT:
            problem = (
                f"{self.config.root} failed at {self._down} addresses in a row, last with {refusal}"
            )
            with self.lease.turn(0) as slate:
                slate.park(PARK_PACES * self.pace, str(refusal))
            raise SourceError(problem, DOWN_FIX)
