"""One HTTP client for everything outside: no server can hang it, flood it or lead it away.

    Client.fetch     one exchange: a total deadline, a limit on the unpacked body, safe redirects
    Response.check   raise FetchError by the status
    retry            the one loop that asks again, for an attempt that raises FetchError

A FetchError says what to do next by its `outcome`: RETRY soon, SKIP this address, come back LATER,
or STOP asking this server.
"""

import asyncio
import contextlib
import logging
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Self, TypeVar

import httpx

from components.shared.errors import ArxtuneError

T = TypeVar("T")
Write = Callable[[bytes], object]
Receive = Callable[["Response"], Write | None]

SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")
SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")  # never sent to another host
TOO_LARGE = "too large"
DAY_S = 86_400.0
CONNECT_S = 4.0  # for a host that is not there at all
LONGEST_S = 60.0  # of the pauses between tries, unless the server asks for more
PATIENCE_S = 3600.0  # for all pauses of one `retry`


class Outcome(Enum):
    """What to do after an exchange that gave nothing."""

    RETRY = "retry"  # it may pass soon
    SKIP = "skip"  # this address has nothing for us; others may
    LATER = "later"  # not in this run, or after a long pause
    STOP = "stop"  # the server does not want us


class FetchError(ArxtuneError):
    """An exchange over HTTP gave nothing of use; `reason` is a short phrase that groups."""

    def __init__(
        self,
        reason: str,
        outcome: Outcome,
        detail: str = "",
        *,
        after_s: float | None = None,
        http_status: int = 0,
        unreachable: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.outcome, self.detail = reason, outcome, detail
        self.after_s = after_s  # seconds that the server asks to wait, if it does
        self.http_status = http_status  # 0 when there was no answer
        self.unreachable = unreachable  # no name, no route, or nobody listens


@dataclass(frozen=True)
class Response:
    """An answer: `headers` know no case, `body` is unpacked, `url` is where it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def check(self, cap_s: float = DAY_S) -> Self:
        """Return the response of a success; raise FetchError for any other status."""
        if 200 <= self.status < 300:
            return self
        raise FetchError(
            f"HTTP {self.status}",
            outcome_of(self.status),
            after_s=retry_after(self.headers, cap_s),
            http_status=self.status,
        )


def outcome_of(status: int) -> Outcome:
    """Return what an HTTP status that is no success asks for."""
    if status in (401, 403, 407, 451):
        return Outcome.STOP
    return Outcome.RETRY if status in (408, 425, 429) or status >= 498 else Outcome.SKIP


def retry_after(headers: Mapping[str, str], cap_s: float = DAY_S) -> float | None:
    """Return the seconds that Retry-After asks for, 0 to `cap_s`; None when it says nothing."""
    text = (headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    if SECONDS.fullmatch(text):
        return min(float(text), cap_s)
    seconds = seconds_until(text, datetime.now(UTC))
    return None if seconds is None else min(max(seconds, 0.0), cap_s)


def seconds_until(date: str, now: datetime) -> float | None:
    """Return the seconds from now to a date of HTTP, or None for what is none."""
    try:
        at = parsedate_to_datetime(date)
        return (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


class Client:
    """Exchanges over kept connections; may be shared by threads, and closed to end them.

    The exchanges run in an event loop of their own thread, which can end one in any state: while it
    looks up a name, waits for a header that trickles in, or reads a body without an end.
    """

    def __init__(self, headers: Mapping[str, str] | None = None, *, proxies: bool = True) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line a request
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "gzip", **(headers or {})},
            timeout=httpx.Timeout(None, connect=CONNECT_S),  # each exchange has a deadline
            trust_env=proxies,
        )
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="http", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline_s: float,
        max_bytes: int,
        max_redirects: int = 0,
        receive: Receive | None = None,
    ) -> Response:
        """Return the answer to one request, whatever its status, or raise FetchError.

        `deadline_s` bounds the whole exchange and `max_bytes` the body. Redirects of GET and HEAD
        are followed up to `max_redirects`, without secrets to another site; where none may be, the
        redirect is the answer. `receive` sees the answer without its body first, and may return
        what takes the body, piece by piece.
        """
        here = address(url)
        try:
            request = self._client.build_request(method, here, headers=headers, content=content)
        except (ValueError, TypeError) as error:  # such as a header that is no ASCII
            raise FetchError("not a valid request", Outcome.SKIP, f"{url}: {error}") from None
        left = max_redirects if method in ("GET", "HEAD") else 0
        exchange = asyncio.wait_for(self._follow(request, left, max_bytes, receive), deadline_s)
        running = asyncio.run_coroutine_threadsafe(exchange, self._loop)
        try:
            return running.result()
        except TimeoutError:
            problem = f"no whole answer in {deadline_s:g} s"
            raise FetchError(problem, Outcome.RETRY, url) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            detail = f"{url}: {error}"
            raise FetchError("no connection", Outcome.RETRY, detail, unreachable=True) from None
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise FetchError("not a valid request", Outcome.SKIP, f"{url}: {error}") from None
        except (httpx.HTTPError, zlib.error) as error:
            detail = f"{url}: {type(error).__name__} {error}"
            raise FetchError("connection lost", Outcome.RETRY, detail) from None
        finally:
            running.cancel()

    async def _follow(
        self, request: httpx.Request, max_redirects: int, max_bytes: int, receive: Receive | None
    ) -> Response:
        for _ in range(max_redirects + 1):
            async with contextlib.aclosing(await self._client.send(request, stream=True)) as answer:
                if not answer.has_redirect_location or not max_redirects:
                    return await _whole(answer, max_bytes, receive)
                there = redirect_target(str(request.url), answer.headers["Location"])
            headers = httpx.Headers(request.headers)
            headers.pop("Host", None)
            if _site(there) != _site(request.url):
                for name in SECRET_HEADERS:
                    headers.pop(name, None)
            request = self._client.build_request(request.method, there, headers=headers)
        raise FetchError("redirects without end", Outcome.SKIP, str(request.url))


def _site(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def address(url: str) -> httpx.URL:
    """Return an http(s) address that may be asked; raise FetchError for any other."""
    try:
        found = httpx.URL(url)
        valid = found.scheme in ("http", "https") and found.host and (found.port or 1) <= 65_535
    except (httpx.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise FetchError("not a valid address", Outcome.SKIP, repr(url[:200]))
    if found.userinfo:
        raise FetchError("the address holds a user name or password", Outcome.SKIP, found.host)
    return found


def redirect_target(url: str, location: str) -> httpx.URL:
    """Return where an answer of `url` leads; raise FetchError when that may not be asked."""
    try:
        there = httpx.URL(url).join(location)
    except (httpx.InvalidURL, ValueError):
        raise FetchError("not a valid address", Outcome.SKIP, repr(location[:200])) from None
    return address(str(there))


async def _whole(answer: httpx.Response, max_bytes: int, receive: Receive | None) -> Response:
    """Read the body of an answer, unpacked, into memory or to who receives it."""
    head = Response(answer.status_code, answer.headers, b"", str(answer.url))
    body = bytearray()
    write = (receive and receive(head)) or body.extend
    unpack = _Unpacker(answer.headers.get("Content-Encoding", ""))
    left = max_bytes
    async for piece in answer.aiter_raw():
        unpacked = unpack(piece, left + 1)
        left -= len(unpacked)
        if left < 0:
            problem = f"more than {max_bytes:,} bytes"
            raise FetchError(TOO_LARGE, Outcome.SKIP, f"{answer.url}: {problem}")
        write(unpacked)
    unpack.end()
    return replace(head, body=bytes(body))


class _Unpacker:
    """Undo gzip or deflate without making more bytes than asked for."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise FetchError("not unpacked", Outcome.SKIP, name[:50])
        packed = name not in ("", "identity")
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None

    def __call__(self, piece: bytes, limit: int) -> bytes:
        return self._zlib.decompress(piece, limit) if self._zlib else piece

    def end(self) -> None:
        """Raise zlib.error when the stream is not whole."""
        if self._zlib and not self._zlib.eof:
            raise zlib.error("the packed stream ends early")


def retry(
    attempt: Callable[[], T],
    *,
    tries: int = 4,
    pause_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what `attempt` returns; where its FetchError says RETRY, pause and try again.

    Pauses double from `pause_s` and are never shorter than the server asks for. After `tries` of
    them, or where more patience would be needed, the outcome is LATER. Every other FetchError is
    raised as it is.
    """
    waited = 0.0
    for number in range(1, tries + 1):
        try:
            return attempt()
        except FetchError as error:
            if error.outcome is not Outcome.RETRY:
                raise
            growing = min(pause_s * 2.0 ** min(number - 1, 60), LONGEST_S)
            pause = max(growing, error.after_s or 0.0) * random.uniform(1.0, 1.2)
            if number == tries or waited + pause > PATIENCE_S:
                error.outcome = Outcome.LATER
                raise
        sleep(pause)
        waited += pause
    raise ValueError("retry needs at least one try")
