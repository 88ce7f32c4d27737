"""ASGI to WSGI with one hop a request: what was asked goes to a thread whole, the answer comes back whole.

Bodies that are large or last never pass here: ``compute.api.transfers`` streams them in the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from compute.backends.turnstile import answering

Message = MutableMapping[str, Any]
Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass
class _Answer:
    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class WsgiBridge:
    """The ASGI application that runs ``app`` on ``workers`` threads of its own."""

    def __init__(self, app: App, workers: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="WSGI")

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        asked = _environ(scope, await _whole(receive))
        work = contextvars.copy_context().run
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, work, self._answer, asked)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, asked: Environ) -> _Answer:
        with answering():
            return self._answered(asked)

    def _answered(self, asked: Environ) -> _Answer:
        answer, written = _Answer(), io.BytesIO()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answer.status = int(status.partition(" ")[0])
            answer.headers = [
                (name.strip().lower().encode("latin-1"), value.strip().encode("latin-1"))
                for name, value in headers
            ]
            return written.write

        chunks = self._app(asked, start_response)
        try:
            written.writelines(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        answer.body = written.getvalue()
        return answer


async def _whole(receive: Callable[[], Awaitable[Message]]) -> bytes:
    """The body; one whose sender left has ended where it was left."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _environ(scope: MutableMapping[str, Any], body: bytes) -> Environ:
    """As PEP 3333 has it."""
    root = scope.get("root_path", "").encode().decode("latin-1")
    address, port = scope.get("server") or ("localhost", 80)
    found: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": scope["path"].encode().decode("latin-1").removeprefix(root),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": address,
        "SERVER_PORT": str(port or 0),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        found["REMOTE_ADDR"], found["REMOTE_PORT"] = scope["client"][0], str(scope["client"][1])
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
        found[key] = f"{found[key]},{value}" if key in found else value
    return found
