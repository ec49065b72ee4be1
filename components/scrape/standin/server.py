"""The stand-in's server: routes, faults on demand, and a log of requests that tests judge politeness by."""

import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from components.scrape.standin import pages, question
from components.scrape.standin.corpus import Corpus, Entry
from components.shared.errors import ConfigError

ROBOTS = "# {notice}\nUser-agent: *\nAllow: /\n"
PAPER = re.compile(r"/(abs|pdf)/(.+?)(?:v(\d+))?(?:\.pdf)?")
PIECE = 16_384  # bytes a chunk
Reply = tuple[int, str, bytes, dict[str, str]]  # status, content type, body, further headers


class Request(NamedTuple):
    """One line of the log."""

    time: float
    method: str
    path: str
    status: int


class StandIn:
    """Serve a corpus on loopback while the `with` block lasts.

    `faults` maps the start of a path to behaviours that the next requests of such a path meet, one each:
    "404" and other statuses, "429:1" (with Retry-After: 1), "reset", "cut" (the connection ends within the
    body), "truncate" (half of the body, as if it were all), "html", "empty", "slow:2" (seconds, then as usual).
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        faults: Mapping[str, Sequence[str]] | None = None,
        robots: str = ROBOTS,
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        self.corpus, self.robots, self._log = corpus, robots.format(notice=corpus.notice), log
        self.faults = {prefix: list(behaviours) for prefix, behaviours in (faults or {}).items()}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"site": self}))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"port {port} cannot be used: {error}", "name another port, or 0") from None
        self._server.daemon_threads = True
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="standin", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, prefix: str) -> list[str]:
        """Return the paths asked for that begin so, in order."""
        return [request.path for request in self.requests if request.path.startswith(prefix)]

    def record(self, request: Request) -> None:
        """Log a request."""
        with self._lock:
            self.requests.append(request)
            if self._log:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(request._asdict()) + "\n")

    def fault(self, path: str) -> str:
        """Use up and return the next fault of a path, or ""."""
        with self._lock:
            for prefix, behaviours in self.faults.items():
                if path.startswith(prefix) and behaviours:
                    return behaviours.pop(0)
        return ""

    def reply(self, target: str) -> Reply:
        """Return what the site answers to a path with its query."""
        parts = urlsplit(target)
        if parts.path == "/robots.txt":
            return 200, "text/plain", self.robots.encode(), {}
        if parts.path in ("/search/advanced", "/search/advanced/"):
            return self._search(dict(parse_qsl(parts.query, keep_blank_values=True)))
        if match := PAPER.fullmatch(parts.path):
            return self._paper(match[1], match[2], int(match[3] or 0))
        if parts.path == "/":
            return self.page(200, pages.form("", self.corpus.notice))
        return self.failure(404)

    def page(self, status: int, html: str) -> Reply:
        """Return an HTML reply."""
        return status, "text/html; charset=utf-8", html.encode(), {}

    def failure(self, status: int, text: str = "") -> Reply:
        """Return an error page."""
        return self.page(status, pages.error(status, HTTPStatus(status).phrase, text, self.corpus.notice))

    def _search(self, parameters: dict[str, str]) -> Reply:
        notice = self.corpus.notice
        if "advanced" not in parameters:
            return self.page(200, pages.form("", notice))
        try:
            asked = question.parse(parameters)
        except question.BadRequest as problem:
            return self.failure(int(str(problem)))
        except question.BadForm as problem:
            return self.page(200, pages.form(str(problem), notice))
        return self.page(200, pages.results(question.answer(self.corpus, asked), asked, self.url, notice))

    def _paper(self, kind: str, arxiv_id: str, version: int) -> Reply:
        entry = self._entry(arxiv_id, version)
        if entry is None:
            return self.failure(404, f"There is no paper {arxiv_id}.")
        shown = version or entry.version
        if kind == "abs":
            return self.page(200, pages.abstract_page(entry, shown, self.url, self.corpus.notice))
        if entry.withdrawn:
            return self.failure(404, f"{arxiv_id} has been withdrawn and is unavailable")
        try:
            body = entry.pdf()
        except OSError:
            return self.failure(500, "file unavailable")
        name = f"{arxiv_id.replace('/', '-')}v{shown}.pdf"
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return 200, "application/pdf", body, {"ETag": tag, "Content-Disposition": f'inline; filename="{name}"'}

    def _entry(self, arxiv_id: str, version: int) -> Entry | None:
        """Return the paper; an older version that the corpus lacks is served as the oldest one it has."""
        held = [entry for entry in self.corpus.entries if entry.arxiv_id == arxiv_id]
        if not held or version > held[-1].version:
            return None
        return next((entry for entry in held if version and entry.version >= version), held[-1])


class _Handler(BaseHTTPRequestHandler):
    site: StandIn
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: else each reply waits 40 ms for the client's delayed ACK
    disable_nagle_algorithm = True
    server_version = "arxtune-standin"

    def do_GET(self) -> None:
        moment, fault = time.time(), self.site.fault(self.path)
        kind, _, argument = fault.partition(":")
        if kind == "slow":
            time.sleep(float(argument))
            kind = ""
        if kind == "reset":
            self.site.record(Request(moment, self.command, self.path, 0))
            self._reset()
            return
        status, content_type, body, headers = self._fault_reply(kind, argument) or self.site.reply(self.path)
        if kind == "truncate":
            body = body[: len(body) // 2]
        self.site.record(Request(moment, self.command, self.path, status))
        with contextlib.suppress(ConnectionError):  # the client may have gone
            self._send(status, content_type, body, headers, cut=kind == "cut")

    do_HEAD = do_GET  # noqa: N815  # the name that the base class looks for

    def _fault_reply(self, kind: str, argument: str) -> Reply | None:
        if kind.isdigit():
            status, content_type, body, headers = self.site.failure(int(kind))
            return status, content_type, body, headers | ({"Retry-After": argument} if argument else {})
        if kind == "html":
            return self.site.page(200, pages.form("", self.site.corpus.notice))
        if kind == "empty":
            return 200, "application/pdf", b"", {}
        return None

    def _send(self, status: int, content_type: str, body: bytes, headers: dict[str, str], *, cut: bool) -> None:
        """Send a reply; PDFs go out in chunks without a length, as arXiv sends them."""
        chunked = content_type == "application/pdf" and self.command == "GET"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut:
            body = body[: len(body) // 2]
            self.close_connection = True
        if not chunked:
            self.wfile.write(body)
            return
        for at in range(0, len(body), PIECE):
            piece = body[at : at + PIECE]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not cut:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent: the log is `requests`."""
