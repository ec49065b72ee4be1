"""What stand-ins share: an HTTP server on loopback that lives as long as its `with` block."""

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from components.shared.errors import ConfigError


class LoopbackServer:
    """Serve on loopback while the `with` block lasts, each connection in a thread, at `url`.

    Port 0 is any free one; a port that cannot be used is a ConfigError.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        try:
            self._server = _Server(("127.0.0.1", port), handler)
        except (OSError, OverflowError) as error:
            problem = f"port {port} cannot be used: {error}"
            raise ConfigError(problem, "name another port, or 0") from None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="standin", daemon=True
        ).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class QuickHandler(BaseHTTPRequestHandler):
    """Answer at once, keep connections open, say nothing; break one off when asked to."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet: else each reply waits 40 ms for the client's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True

    def reset(self) -> None:
        """Break the connection off, so that the client sees a reset and no end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent: the stand-ins keep logs of their own, and headers hold keys."""
