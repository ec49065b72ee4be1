"""Faults on demand: what a request may meet instead of its answer.

404, 500...   that status                      429:7, 503:7   with Retry-After: 7 reset         the
connection is reset          cut            it ends within the body truncate      half of the body,
as if all      empty          no body html          a page instead of the document   captcha
the page that asks whether we are human slow:2        the answer after 2 s             hang
no answer, for a minute drip:0.5      the answer in pieces, 0.5 s apart redirect:URL  302 to another
place             ok             the answer itself, to leave a request out rate          200 with
"Rate exceeded."

A `!` at the end of one lasts: every further request meets it, until it is taken away. One with a
`*` comes again after all others."""

import threading
from collections.abc import Mapping, Sequence

from components.scrape import clock
from components.scrape.standin import pages

Reply = tuple[int, str, bytes, dict[str, str]]  # status, content type, body, further headers
HANG_S = 60.0


class Fault:
    """What one request meets; "" is no fault."""

    def __init__(self, told: str) -> None:
        self.kind, _, self.argument = told.partition(":")

    def delay(self) -> None:
        """Wait before the answer."""
        if self.kind in ("slow", "hang"):
            clock.sleep(float(self.argument or HANG_S))

    def drip(self) -> None:
        """Wait between two pieces of the answer."""
        clock.sleep(float(self.argument))

    def reply(self, notice: str) -> Reply | None:
        """Return what stands in for the answer, or None."""
        if self.kind.isdigit():
            headers = {}
            if self.argument:
                headers["Retry-After"] = self.argument
            html = pages.error(int(self.kind), "Fault", "as asked for", notice)
            return int(self.kind), "text/html; charset=utf-8", html.encode(), headers
        if self.kind == "rate":
            return 200, "text/plain", b"Rate exceeded.", {}
        if self.kind == "redirect":
            return 302, "text/html", b"", {"Location": self.argument}
        other_pages = {"html": pages.form("", notice), "captcha": pages.captcha(notice)}
        if html := other_pages.get(self.kind, ""):
            return 200, "text/html; charset=utf-8", html.encode(), {}
        return None

    def spoil(self, reply: Reply) -> Reply:
        """Return what is left of the answer."""
        status, content_type, body, headers = reply
        left = {"truncate": len(body) // 2, "empty": 0}.get(self.kind, len(body))
        return status, content_type, body[:left], headers


class Faults:
    """The faults waiting, by the start of the path that meets them."""

    def __init__(self, waiting: Mapping[str, Sequence[str]]) -> None:
        self.waiting = {prefix: list(told) for prefix, told in waiting.items()}
        self._lock = threading.Lock()

    def next(self, path: str) -> Fault:
        """Use up and return the next fault of a path, or one that does nothing."""
        with self._lock:
            for prefix, told in self.waiting.items():
                if told and path.startswith(prefix):
                    fault = told[0] if told[0].endswith("!") else told.pop(0)
                    if fault.endswith("*"):
                        told.append(fault)
                    return Fault(fault.rstrip("!*"))
        return Fault("")
