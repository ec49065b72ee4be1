"""A stand-in of the Kubernetes API server, as far as Leases go: resource versions are real, and
so are conflicts."""

import json
import threading
from typing import Any

from components.shared.loopback import LoopbackServer, QuickHandler

PREFIX = "/apis/coordination.k8s.io/v1/namespaces/"


class LeaseServer(LoopbackServer):
    """Serve Leases on loopback while the `with` block lasts.

    `forbidden` answers 403 to everything. The first `meeting` readers are answered together, so
    that only one of them can write next and each other one meets a conflict."""

    def __init__(self, forbidden: bool = False, meeting: int = 0) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.conflicts = self._version = 0
        self.forbidden = forbidden
        self.lock = threading.Lock()
        self._meeting = threading.Barrier(meeting) if meeting else None
        super().__init__(type("Handler", (_Handler,), {"leases": self}))

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
            if (held is not None) == new or (
                held and told and told != held["metadata"]["resourceVersion"]
            ):
                self.conflicts += 1
                return 409, {
                    "kind": "Status",
                    "reason": "AlreadyExists" if new else "Conflict",
                    "code": 409,
                }
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
            self.leases[path] = body
            return 200, body


class _Handler(QuickHandler):
    leases: LeaseServer

    def do_GET(self) -> None:  # noqa: N802
        held = self.leases.read(self.path.removeprefix(PREFIX))
        self._send(*((200, held) if held else (404, {"kind": "Status", "code": 404})))

    def do_POST(self) -> None:  # noqa: N802
        body = self._body()
        self._send(
            *self.leases.write(
                f"{self.path.removeprefix(PREFIX)}/{body['metadata']['name']}", body, new=True
            )
        )

    def do_PUT(self) -> None:  # noqa: N802
        self._send(*self.leases.write(self.path.removeprefix(PREFIX), self._body(), new=False))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _send(self, status: int, body: dict[str, Any]) -> None:
        if self.leases.forbidden:
            status, body = (
                403,
                {
                    "kind": "Status",
                    "code": 403,
                    "message": 'User "pod" cannot get resource "leases"',
                },
            )
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
