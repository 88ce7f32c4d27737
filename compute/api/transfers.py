"""Bodies that never wait in memory: from an engine to a client, from a client to an engine.

Views run on a few threads, so none of them may hold one while a client sends or reads slowly. This
ASGI layer stands around them:

* A body of an ordinary request is read here first, within ``settings.DATA_UPLOAD_MAX_MEMORY_SIZE``
  and a deadline; only then does the request take a thread.
* A route announced with :func:`upload_route` gets its request without the body. Its view says yes or
  no, and leaves an :class:`Upload`; the body then streams through it, with back-pressure.
* Any view may leave a :class:`Download`; its chunks stream in the place of the answer's body.

What a view leaves stays in this process, under a random word in a private header.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import close_old_connections

from compute.api.exception_handler import HTTP_STATUS, error_body
from compute.api.renderers import dumps
from compute.api.waiting import outcome_within
from compute.errors import ComputeError, InvalidInput, PayloadTooLarge
from compute.execution.runner import operation_carry_out
from compute.models import Operation

log = structlog.get_logger(__name__)

TRANSFER_HEADER = "X-LibGo-Transfer"
_HEADER = TRANSFER_HEADER.lower().encode()
_BODY_WITHIN_S = 60.0
_IDLE_MAX_S = 120.0
_RECHECK_EVERY_S = 5.0
# How much of a refused upload is read away, so that its sender gets to see the answer.
_DRAIN_BYTES, _DRAIN_S = 8 * 1024**2, 2.0
# Uploads that an operation works on hold a thread each.
_UPLOADS_AT_ONCE = 16

Message = MutableMapping[str, Any]
Chunks = AsyncIterator[bytes]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Download:
    """``open`` is called in the event loop; what it raises before its first chunk is answered as an
    error, later the connection breaks off, so a part is never taken for the whole. ``still_allowed``
    is asked every few seconds and raises when the right was taken away."""

    open: Callable[[], Chunks]
    still_allowed: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Upload:
    """``run`` gets the body and returns status and JSON body of the answer; it may raise
    ``ComputeError``. A body larger than ``max_bytes`` ends as PAYLOAD_TOO_LARGE."""

    run: Callable[[Chunks], Awaitable[tuple[int, dict[str, Any]]]]
    max_bytes: int = 2**44


_left: dict[str, Download | Upload] = {}
_left_lock = threading.Lock()
_upload_routes: list[tuple[str, re.Pattern[str]]] = []
_threads = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")


def transfer_leave(transfer: Download | Upload) -> dict[str, str]:
    """The private header that makes the layer around the view take ``transfer`` up."""
    word = secrets.token_urlsafe(16)
    with _left_lock:
        _left[word] = transfer
    return {TRANSFER_HEADER: word}


def upload_route(method: str, pattern: str) -> None:
    """Announce that the bodies of these requests stream past the view. ``pattern`` is matched
    against the whole path below ``/api/v1/``."""
    _upload_routes.append((method, re.compile(f"/api/v1/{pattern}")))


def operation_upload(operation: Operation, wait_s: float, ends_as: int = 200) -> Upload:
    """Feed the body to an operation that this process carries out (``Intent.here``). Answers as soon
    as it is over, or with 202 once the body was read and ``wait_s`` more seconds have passed."""

    async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
        loop, read = asyncio.get_running_loop(), asyncio.Event()
        body = _BodyInThread(chunks, loop, read)
        done: asyncio.Future[Any] = loop.run_in_executor(_threads, _carry_out, operation, body)
        ended: asyncio.Future[Any] = asyncio.ensure_future(read.wait())
        await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        outcome = await outcome_within(str(operation.pk), wait_s if not done.done() else 1.0, str(ends_as))
        return outcome if outcome is not None else (202, {"operation": {"id": str(operation.pk)}})

    return Upload(run)


def _carry_out(operation: Operation, body: _BodyInThread) -> None:
    close_old_connections()
    try:
        operation_carry_out(operation, body)
    finally:
        body.stop()
        close_old_connections()


class _BodyInThread:
    """The chunks of an event loop, iterated over in a thread; one is asked for at a time."""

    def __init__(self, chunks: Chunks, loop: asyncio.AbstractEventLoop, read: asyncio.Event) -> None:
        self._chunks, self._loop, self._read = chunks, loop, read

    def __iter__(self) -> Iterator[bytes]:
        while chunk := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result(_IDLE_MAX_S + 10):
            yield chunk

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._read.set)

    async def _next(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._read.set()
            return b""


class TransferMiddleware:
    """ASGI middleware around the HTTP application."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if _is_upload(scope):
            await self._with_body_outside(scope, receive, send)
            return
        try:
            body = await _small_body(receive)
        except ComputeError as error:
            await _answer_error(send, error)
            return
        if body is None:
            return
        held = _Held(send)
        await self._app(scope, _Replay(body, receive), held)
        if isinstance(held.transfer, Download):
            await _pump(held.transfer, held.start, receive, send)

    async def _with_body_outside(self, scope: Any, receive: Receive, send: Send) -> None:
        declared = _content_length(scope)
        names = (b"content-length", b"transfer-encoding", b"expect")
        headers = [(name, value) for name, value in scope["headers"] if name not in names]
        held = _Held(None)
        await self._app({**scope, "headers": headers}, _Replay(b"", receive), held)
        if not isinstance(held.transfer, Upload):
            await _drain(receive)
            await held.release(send)
            return
        try:
            if declared is not None and declared > held.transfer.max_bytes:
                raise PayloadTooLarge(f"At most {held.transfer.max_bytes} bytes are taken here.")
            status, answer = await held.transfer.run(_body_chunks(receive, held.transfer.max_bytes))
        except ComputeError as error:
            await _drain(receive)
            await _answer_error(send, error)
            return
        await _answer_json(send, status, answer, held.headers())


class _Held:
    """Passes an answer on, but keeps back one that leaves a transfer (or, with ``send`` None, every
    one)."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self.transfer: Download | Upload | None = None
        self.start: Message = {}
        self._bodies: list[Message] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.transfer = _taken(message)
            self.start = message
            if self._send is not None and self.transfer is None:
                await self._send(message)
        elif self.transfer is None and self._send is not None:
            await self._send(message)
        else:
            self._bodies.append(message)

    async def release(self, send: Send) -> None:
        for message in (self.start, *self._bodies):
            await send(message)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those of the view's answer that still hold for another body."""
        dropped = (_HEADER, b"content-length", b"content-type")
        return [(name, value) for name, value in self.start["headers"] if name.lower() not in dropped]


class _Replay:
    """Gives the application the body that was read for it, then whatever comes after (a disconnect)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def _is_upload(scope: Any) -> bool:
    return any(
        method == scope["method"] and pattern.fullmatch(scope["path"]) for method, pattern in _upload_routes
    )


def _taken(start: Message) -> Download | Upload | None:
    for name, value in start["headers"]:
        if name.lower() == _HEADER:
            with _left_lock:
                return _left.pop(value.decode("latin-1"), None)
    return None


def _content_length(scope: Any) -> int | None:
    text = dict(scope["headers"]).get(b"content-length", b"")
    return int(text) if text.isdigit() else None


async def _small_body(receive: Receive) -> bytes | None:
    """The whole body; None when the client left. Raises ``PayloadTooLarge``, ``InvalidInput``."""
    limit, parts, size = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0), [], 0
    deadline = time.monotonic() + _BODY_WITHIN_S
    while True:
        try:
            message = await asyncio.wait_for(receive(), max(0.1, deadline - time.monotonic()))
        except asyncio.TimeoutError as error:
            raise InvalidInput(f"The body did not arrive within {_BODY_WITHIN_S:g} seconds.") from error
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            await _drain(receive)
            raise PayloadTooLarge(f"The body is larger than the {limit} bytes that LibGo takes here.")
        if not message.get("more_body", False):
            return b"".join(parts)


async def _body_chunks(receive: Receive, max_bytes: int) -> Chunks:
    size = 0
    while True:
        try:
            message = await asyncio.wait_for(receive(), _IDLE_MAX_S)
        except asyncio.TimeoutError as error:
            raise InvalidInput("The upload stalled.") from error
        if message["type"] == "http.disconnect":
            raise InvalidInput("The upload ended before it was complete.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"At most {max_bytes} bytes are taken here.")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def _drain(receive: Receive) -> None:
    size, deadline = 0, time.monotonic() + _DRAIN_S
    with contextlib.suppress(asyncio.TimeoutError):
        while size < _DRAIN_BYTES and time.monotonic() < deadline:
            message = await asyncio.wait_for(receive(), max(0.05, deadline - time.monotonic()))
            size += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return


async def _pump(download: Download, start: Message, receive: Receive, send: Send) -> None:
    """Send the chunks until they end, the client leaves, or the right is gone."""
    chunks = download.open()
    try:
        first = await anext(chunks, b"")
    except ComputeError as error:
        await _answer_error(send, error)
        return
    headers = [(name, value) for name, value in start["headers"] if name.lower() != _HEADER]
    if not any(name.lower() == b"x-libgo-length" for name, _ in headers):
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    await send({**start, "headers": headers})
    sending = asyncio.ensure_future(_send_all(first, chunks, send))
    watching = {asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(_recheck(download))}
    try:
        await asyncio.wait({sending, *watching}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, *watching):
            task.cancel()
        await asyncio.gather(sending, *watching, return_exceptions=True)
        with contextlib.suppress(RuntimeError):
            await chunks.aclose()  # type: ignore[attr-defined]


async def _send_all(first: bytes, chunks: Chunks, send: Send) -> None:
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _recheck(download: Download) -> None:
    while True:
        await asyncio.sleep(_RECHECK_EVERY_S)
        if download.still_allowed is not None:
            await download.still_allowed()


async def _answer_error(send: Send, error: ComputeError) -> None:
    status = HTTP_STATUS.get(error.code, 500)
    await _answer_json(send, status, error_body(error.code, error.message, error.details), [])


async def _answer_json(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]]) -> None:
    raw = dumps(body)
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *own]})
    await send({"type": "http.response.body", "body": raw})
