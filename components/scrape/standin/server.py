"""The stand-in's server: routes, and a log of requests that tests judge politeness by."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from components.scrape import clock
from components.scrape.standin import api, lists, oai, pages, question
from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.faults import Fault, Faults, Reply
from components.scrape.standin.words import BadQueryError
from components.shared.loopback import LoopbackServer, QuickHandler

ROBOTS = "# {notice}\nUser-agent: *\nAllow: /\n"
LIST = re.compile(r"/list/([^/]+)/([^/]+)")
PAPER = re.compile(r"/(abs|pdf)/(.+?)(?:v(\d+))?(\.pdf)?")
RANGE = re.compile(r"bytes=(\d+)-")
PIECE = 16_384  # bytes a chunk


@dataclass
class Request:
    """One line of the log; times are Unix seconds, status 0 means none was sent yet, or none
    ever."""

    time: float  # when it came
    method: str
    path: str
    status: int = 0
    sent: int = 0  # bytes of the body
    ended: float = 0.0  # when the last byte of the answer was handed to the network


class StandIn(LoopbackServer):
    """Serve a corpus on loopback while the `with` block lasts.

    `faults` maps the start of a path to behaviours that the next requests of such a path meet,
    one each: see `faults.py`. `arrivals` are papers that appear after so many requests.
    `result_limit` is how many results the search pages and the API show of one question."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        faults: Mapping[str, Sequence[str]] | None = None,
        arrivals: Sequence[tuple[int, Entry]] = (),
        robots: str = ROBOTS,
        result_limit: int = question.MAX_RESULTS,
        oai_page: int = oai.PAGE,
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        self.corpus, self.robots, self._log = corpus, robots.replace("{notice}", corpus.notice), log
        self.faults, self.arrivals = Faults(faults or {}), list(arrivals)
        self.result_limit = result_limit
        self.requests: list[Request] = []
        self.oai_page = oai_page
        self._lock = threading.Lock()
        super().__init__(type("Handler", (_Handler,), {"site": self}), port)
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)

    def asked(self, prefix: str) -> list[str]:
        """Return the paths asked for that begin so, in order."""
        return [request.path for request in self.requests if request.path.startswith(prefix)]

    def publish(self, *entries: Entry) -> None:
        """Add papers, or new versions of papers."""
        added = sorted(
            (*self.corpus.entries, *entries), key=lambda entry: (entry.arxiv_id, entry.version)
        )
        self.corpus = Corpus(tuple(added), self.corpus.notice)

    def begin(self, request: Request) -> None:
        """Log a request that came in; papers may arrive with it."""
        with self._lock:
            self.requests.append(request)
            due = [entry for number, entry in self.arrivals if number <= len(self.requests)]
            self.arrivals = self.arrivals[len(due) :]
            self.publish(*due)

    def end(self, request: Request) -> None:
        """Complete the log of a request."""
        request.ended = clock.now()
        if self._log:
            with self._lock, self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(request)) + "\n")

    def reply(self, target: str) -> Reply:
        """Return what the site answers to a path with its query."""
        parts = urlsplit(target)
        if parts.path == "/robots.txt":
            return 200, "text/plain", self.robots.encode(), {}
        if parts.path in ("/search/advanced", "/search/advanced/"):
            return self._search(dict(parse_qsl(parts.query, keep_blank_values=True)))
        if parts.path == "/api/query":
            return self._api(dict(parse_qsl(parts.query)))
        if parts.path == "/oai":
            asked = dict(parse_qsl(parts.query))
            return self._xml(200, oai.answer(self.corpus, asked, self.url, self.oai_page))
        if match := LIST.fullmatch(parts.path):
            return self._list(match[1], match[2], dict(parse_qsl(parts.query)))
        if match := PAPER.fullmatch(parts.path):
            if match[4]:
                return 301, "text/html", b"", {"Location": parts.path.removesuffix(".pdf")}
            return self._paper(match[1], match[2], int(match[3] or 0))
        if parts.path == "/":
            return self.page(200, pages.form("", self.corpus.notice))
        return self.failure(404)

    def page(self, status: int, html: str) -> Reply:
        """Return an HTML reply."""
        return status, "text/html; charset=utf-8", html.encode(), {}

    def failure(self, status: int, text: str = "") -> Reply:
        """Return an error page."""
        return self.page(
            status, pages.error(status, HTTPStatus(status).phrase, text, self.corpus.notice)
        )

    def _search(self, parameters: dict[str, str]) -> Reply:
        notice = self.corpus.notice
        if "advanced" not in parameters:
            return self.page(200, pages.form("", notice))
        try:
            asked = question.parse(parameters, self.result_limit)
        except question.BadRequest as problem:
            return self.failure(int(str(problem)))
        except question.BadForm as problem:
            return self.page(200, pages.form(str(problem), notice))
        return self.page(
            200, pages.results(question.answer(self.corpus, asked), asked, self.url, notice)
        )

    def _list(self, category: str, period: str, parameters: dict[str, str]) -> Reply:
        try:
            return self.page(200, lists.answer(self.corpus, category, period, parameters))
        except question.BadRequest as problem:
            return self.failure(int(str(problem)))

    def _api(self, parameters: dict[str, str]) -> Reply:
        if (
            int(parameters.get("start", "0") or 0) >= self.result_limit
            or parameters.get("max_results") == "0"
        ):
            return self.failure(500)
        try:
            return self._xml(200, api.feed(self.corpus, parameters, self.url))
        except BadQueryError as problem:
            return self._xml(
                400, api.atom(api.error_entry(str(problem)), self.corpus.notice, 1, 0, 1)
            )

    def _xml(self, status: int, text: str) -> Reply:
        return status, "application/xml; charset=utf-8", text.encode(), {}

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
        return (
            200,
            "application/pdf",
            body,
            {
                "ETag": tag,
                "Accept-Ranges": "bytes",
                "Content-Disposition": f'inline; filename="{name}"',
            },
        )

    def _entry(self, arxiv_id: str, version: int) -> Entry | None:
        """Return the paper; an older version that the corpus lacks is served as the oldest one
        it has."""
        held = [entry for entry in self.corpus.entries if entry.arxiv_id == arxiv_id]
        if not held or version > held[-1].version:
            return None
        return next((entry for entry in held if version and entry.version >= version), held[-1])


class _Handler(QuickHandler):
    site: StandIn
    server_version = "arxtune-standin"

    def do_GET(self) -> None:  # noqa: N802  # the name that the base class looks for
        request = Request(clock.now(), self.command, self.path)
        self.site.begin(request)
        fault = self.site.faults.next(self.path)
        try:
            with contextlib.suppress(ConnectionError):  # the client may have gone
                self._answer(request, fault)
        finally:
            self.site.end(request)

    def _answer(self, request: Request, fault: Fault) -> None:
        fault.delay()
        if fault.kind == "reset":
            self.reset()
            return
        reply = fault.reply(self.site.corpus.notice) or self._part_of(self.site.reply(self.path))
        status, content_type, body, headers = fault.spoil(reply)
        request.status = status
        self._send_head(status, content_type, len(body), headers)
        if fault.kind == "cut":  # the connection ends within the body
            body, self.close_connection = body[: len(body) // 2], True
        self._send_body(body, content_type, request, fault)

    def _part_of(self, reply: Reply) -> Reply:
        """Return the part of a PDF that a Range asks for, when what it continues is still the
        same."""
        status, content_type, body, headers = reply
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if (
            status != 200
            or not asked
            or self.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag")
        ):
            return reply
        first = int(asked[1])
        if first >= len(body):
            return 416, content_type, b"", headers | {"Content-Range": f"bytes */{len(body)}"}
        told = f"bytes {first}-{len(body) - 1}/{len(body)}"
        return 206, content_type, body[first:], headers | {"Content-Range": told}

    def _send_head(
        self, status: int, content_type: str, length: int, headers: dict[str, str]
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        if self._chunked(content_type):
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _chunked(self, content_type: str) -> bool:
        """PDFs go out in chunks without a length, as arXiv sends them."""
        return content_type == "application/pdf"

    def _send_body(self, body: bytes, content_type: str, request: Request, fault: Fault) -> None:
        chunked = self._chunked(content_type)
        for at in range(0, len(body), PIECE):
            piece = body[at : at + PIECE]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            request.sent += len(piece)
            if fault.kind == "drip":
                self.wfile.flush()
                fault.drip()
        if chunked and fault.kind != "cut":
            self.wfile.write(b"0\r\n\r\n")
