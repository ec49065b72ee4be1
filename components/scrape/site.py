"""Ask a site over HTTP, politely: one request at a time, paced, with an honest name and one careful retry."""

import time
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import httpx

from components.scrape.config import ScrapeConfig
from components.shared.errors import SourceError

BUSY = (429, 503)  # ask again later
LONGEST_WAIT_S = 120.0  # a Retry-After beyond this is not waited for
SLOWEST = 20  # a body may take this many timeouts in all: a trickle must not hold the stage for ever
DOWN_LIMIT = 3  # failures of the site in a row before the stage gives up
DOWN_FIX = "wait some time and run again: what is fetched already stays in the store"


class Pace:
    """Keep at least `seconds` between the starts of two requests."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.requests = 0
        self._last = float("-inf")

    @property
    def backoff(self) -> float:
        """Return how many seconds to leave a site alone that failed and does not say for how long."""
        return max(1.0, 3 * self.seconds)

    def wait(self) -> None:
        """Sleep until the next request may start, and count it."""
        time.sleep(max(0.0, self._last + self.seconds - time.monotonic()))
        self._last = time.monotonic()
        self.requests += 1


class Refusal(Exception):
    """Say why one address gave nothing; `down` when that speaks against the site rather than the address."""

    def __init__(self, reason: str, detail: str = "", *, down: bool = False, retry_after: float | None = None) -> None:
        self.reason, self.detail, self.down, self.retry_after = reason, detail, down, retry_after
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Site:
    """Fetch robots.txt, abstract pages and PDFs of one site."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config = config
        self.pace = Pace(config.seconds_between_requests)
        self._host = str(urlsplit(config.root).hostname)
        self._down = 0  # failures of the site in a row
        self._client = httpx.Client(
            base_url=config.root,
            headers={"User-Agent": config.user_agent},
            timeout=config.timeout_s,
            follow_redirects=True,
            event_hooks={"request": [self._allow]},
            trust_env=not config.on_loopback,  # no proxy on the way to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def respect_robots(self, path: str) -> None:
        """Read robots.txt; adopt its crawl delay, raise SourceError when it disallows `path` to us."""
        robots = RobotFileParser()
        self.pace.wait()
        try:
            answer = self._client.get("/robots.txt")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if answer.status_code >= 500 or answer.status_code in (401, 403, 429):
            raise SourceError(f"{self.config.root}/robots.txt: HTTP {answer.status_code}", DOWN_FIX)
        if answer.status_code >= 400:  # there is none: all is allowed
            return
        robots.parse(answer.text.splitlines())
        agent = self.config.user_agent
        self.pace.seconds = max(self.pace.seconds, float(robots.crawl_delay(agent) or 0))
        if not self.config.accept_robots_risk and not robots.can_fetch(agent, self.config.root + path):
            raise SourceError(
                f"{self.config.root}/robots.txt disallows {path}",
                "ask the site's operators, or name another scrape.site; scrape.accept_robots_risk=true goes on anyway",
            )

    def fetch(self, path: str, sink: IO[bytes], limit: int) -> None:
        """Stream an address into `sink`; raise Refusal for this address, SourceError when the site is down."""
        try:
            self._attempt(path, sink, limit)
        except Refusal as refusal:
            if refusal.retry_after is None:
                raise self._count(refusal) from None
            time.sleep(refusal.retry_after)
            try:
                self._attempt(path, sink, limit)
            except Refusal as again:
                raise self._count(again) from None
        self._down = 0

    def _attempt(self, path: str, sink: IO[bytes], limit: int) -> None:
        self.pace.wait()
        sink.seek(0)
        sink.truncate()
        deadline = time.monotonic() + SLOWEST * self.config.timeout_s
        try:
            with self._client.stream("GET", path) as answer:
                self._check_status(answer)
                size = 0
                for piece in answer.iter_bytes():
                    size += len(piece)
                    if size > limit:
                        raise Refusal("too large", f"over {limit:,} bytes")
                    if time.monotonic() > deadline:
                        raise Refusal("too slow", f"{size:,} bytes in {SLOWEST * self.config.timeout_s:g} s")
                    sink.write(piece)
        except httpx.TooManyRedirects:
            raise Refusal("redirects without end") from None
        except httpx.TimeoutException:
            reason = f"no answer in {self.config.timeout_s:g} s"
            raise Refusal(reason, down=True, retry_after=self.pace.backoff) from None
        except httpx.HTTPError as error:
            detail = f"{type(error).__name__} {error}"
            raise Refusal("connection lost", detail, down=True, retry_after=self.pace.backoff) from None

    def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in BUSY:
            after = self._retry_after(answer)
            raise Refusal(f"HTTP {status}", down=True, retry_after=after if after <= LONGEST_WAIT_S else None)
        if status != 200:
            # 403 is how arXiv tells a crawler to stop: never asked again, and it counts against the site.
            raise Refusal(f"HTTP {status}", down=status == 403 or status >= 500)

    def _retry_after(self, answer: httpx.Response) -> float:
        """Return how long to wait: what the site says, in seconds or as a date, else the usual backoff."""
        told = answer.headers.get("Retry-After", "")
        if told.isdigit():
            return float(told)
        try:
            return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
        except (TypeError, ValueError):
            return self.pace.backoff

    def _count(self, refusal: Refusal) -> Refusal:
        self._down = self._down + 1 if refusal.down else 0
        if self._down >= DOWN_LIMIT:
            raise SourceError(f"{self.config.root} failed {self._down} times in a row, last with {refusal}", DOWN_FIX)
        return refusal

    def _allow(self, request: httpx.Request) -> None:
        """Refuse to follow a redirect to another site."""
        host = request.url.host
        if host != self._host and not host.endswith("." + self._host):
            raise Refusal("redirect to another site", host)

    def _unreachable(self, error: Exception) -> SourceError:
        reason = str(error) or type(error).__name__
        return SourceError(f"{self.config.root} does not answer ({reason})", "check the network and scrape.site")
