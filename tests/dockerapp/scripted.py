"""An engine that does what a test tells it, for what a real one does only when it is ill."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

VERSION = {"ApiVersion": "1.41", "Version": "20.10.24"}
Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; ``server`` is the :class:`ScriptedEngine`."""

    protocol_version = "HTTP/1.1"
    server: ScriptedEngine

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *args: Any) -> None:
        return None

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, event: dict[str, Any]) -> None:
        data = json.dumps(event).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def hang(self) -> None:
        """Until the test is over or the client goes away."""
        self.connection.settimeout(0.05)
        while not self.server.over.is_set():
            try:
                if not self.connection.recv(1):
                    self.server.gone.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.server.gone.set()
                return

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        place = self.path.partition("?")[0]
        if place.startswith("/v1."):
            place = "/" + place.split("/", 2)[2]
        self.server.asked.append(f"{self.command} {place}")
        if place == "/version":
            self.answer(200, VERSION)
            return
        script = self.server.script.get(f"{self.command} {place}")
        if script is None:
            self.answer(404, {"message": f"No such container: {place}"})
        else:
            script(self)

    do_GET = do_POST = do_DELETE = _serve


class ScriptedEngine(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """``script`` maps ``METHOD /path`` to what to do; ``gone`` is set when a client left a hang.

    On a Unix socket at ``path``, or with ``tls`` on a port of the loopback.
    """

    daemon_threads = True

    def __init__(self, path: Path | None, tls: ssl.SSLContext | None = None) -> None:
        self.script: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.over, self.gone = threading.Event(), threading.Event()
        self._tls = tls
        self.address_family = socket.AF_UNIX if path else socket.AF_INET
        super().__init__(str(path) if path else ("127.0.0.1", 0), Request)  # type: ignore[arg-type]
        self.url = f"unix://{path}" if path else f"tcp://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake belongs to the thread of the request, so a bad one delays nobody."""
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is what these tests are about."""
        return None

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join(5)
