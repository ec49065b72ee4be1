"""A stand-in of the Kubernetes API server, as far as Leases go: resource versions are real, and so are conflicts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PREFIX = "/apis/coordination.k8s.io/v1/namespaces/"


class LeaseServer:
    """Serve Leases on loopback while the `with` block lasts.

    `forbidden` answers 403 to everything. The first `meeting` readers are answered together, so that only one of them
    can write next and each other one meets a conflict.
    """

    def __init__(self, forbidden: bool = False, meeting: int = 0) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.conflicts = self._version = 0
        self.forbidden = forbidden
        self.lock = threading.Lock()
        self._meeting = threading.Barrier(meeting) if meeting else None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"leases": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def read(self, path: str) -> dict[str, Any] | None:
        """Return a lease; None where there is none."""
        held = self.leases.get(path)
        if meeting := self._meeting:
            meeting.wait(600)
            self._meeting = None
        return held

    def write(self, path: str, body: dict[str, Any], *, new: bool) -> tuple[int, dict[str, Any]]:
        """Create or replace a lease."""
        with self.lock:
            held = self.leases.get(path)
            told = body["metadata"].get("resourceVersion")
            if (held is not None) == new or (held and told and told != held["metadata"]["resourceVersion"]):
                self.conflicts += 1
                return 409, {"kind": "Status", "reason": "AlreadyExists" if new else "Conflict", "code": 409}
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
            self.leases[path] = body
            return 200, body


class _Handler(BaseHTTPRequestHandler):
    leases: LeaseServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        held = self.leases.read(self.path.removeprefix(PREFIX))
        self._send(*((200, held) if held else (404, {"kind": "Status", "code": 404})))

    def do_POST(self) -> None:
        body = self._body()
        self._send(*self.leases.write(f"{self.path.removeprefix(PREFIX)}/{body['metadata']['name']}", body, new=True))

    def do_PUT(self) -> None:
        self._send(*self.leases.write(self.path.removeprefix(PREFIX), self._body(), new=False))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _send(self, status: int, body: dict[str, Any]) -> None:
        if self.leases.forbidden:
            status, body = 403, {"kind": "Status", "code": 403}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent."""
