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
import concurrent.futures
import contextlib
import re
import secrets
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import structlog
from django.conf import settings
from django.db import close_old_connections

from compute.api.bodies import (
    IDLE_MAX_S,
    RECHECK_EVERY_S,
    Check,
    Chunks,
    Headers,
    Message,
    Receive,
    RequestBody,
    Send,
)
from compute.api.waiting import outcome_within
from compute.bells import rights_bell
from compute.errors import ComputeError, InvalidInput, RateLimited
from compute.execution.lease import heartbeat
from compute.execution.runner import operation_carry_out
from compute.models import Operation
from compute.places import Places
from compute.selectors.operations import operation_dict

log = structlog.get_logger(__name__)

TRANSFER_HEADER = "X-LibGo-Transfer"
# Tells a view that gets no body how long it was announced to be; a client's own is thrown away.
BODY_LENGTH_HEADER = "X-LibGo-Body-Length"
_HEADER, _BODY_LENGTH = TRANSFER_HEADER.lower().encode(), BODY_LENGTH_HEADER.lower().encode()
# Uploads that an operation works on hold a thread each.
_UPLOADS_AT_ONCE, _UPLOADS_SHARE = 32, 8
_TRANSFERS_AT_ONCE, _TRANSFERS_SHARE = 200, 50
_LEFT_MAX_S = 60.0

App = Callable[[Any, Any, Any], Awaitable[None]]
T = TypeVar("T")


@dataclass
class Told:
    """What is known of a download's answer once its first chunk is there. Chunks that add up to
    anything but ``length`` break the connection off."""

    status: int = 200
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """``open`` is called in the event loop; what it raises before its first chunk is answered as an
    error, later the connection breaks off, so a part is never taken for the whole. ``still_allowed``
    is asked every few seconds and raises when the right was taken away. ``told`` may be filled in
    until the first chunk. ``person`` is whose place it takes."""

    open: Callable[[], Chunks]
    still_allowed: Check | None = None
    told: Told = field(default_factory=Told)
    person: uuid.UUID | None = None


@dataclass(frozen=True)
class Upload:
    """``run`` gets the body and returns status and JSON body of the answer; it may raise
    ``ComputeError``. It is always called once the view let the request in: whatever is wrong with the
    body (also that it is larger than ``max_bytes``, or that ``still_allowed`` raised on the way) is
    raised where ``run`` reads it. ``person`` is whose place it takes."""

    run: Callable[[Chunks], Awaitable[tuple[int, dict[str, Any]]]]
    max_bytes: int = 2**44
    still_allowed: Check | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    person: uuid.UUID | None = None


_left: dict[str, tuple[float, Download | Upload]] = {}
_left_lock = threading.Lock()
_upload_routes: list[tuple[str, re.Pattern[str]]] = []
_threads = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")
_upload_places = Places("uploads that make something", _UPLOADS_AT_ONCE, _UPLOADS_SHARE)


def transfer_leave(transfer: Download | Upload) -> dict[str, str]:
    """The private header that makes the layer around the view take ``transfer`` up."""
    word, now = secrets.token_urlsafe(16), time.monotonic()
    with _left_lock:
        for old in [key for key, (since, _) in _left.items() if now - since > _LEFT_MAX_S]:
            del _left[old]
        _left[word] = (now, transfer)
    return {TRANSFER_HEADER: word}


def upload_route(method: str, pattern: str) -> None:
    """Announce that the bodies of these requests stream past the view. ``pattern`` is matched
    against the whole path below ``/api/v1/``."""
    _upload_routes.append((method, re.compile(f"/api/v1/{pattern}")))


def operation_upload(operation: Operation, wait_s: float, ends_as: int | str = 200) -> Upload:
    """Feed the body to an operation that this process carries out (``Intent.here``). Answers as soon
    as it is over, or with 202 once the body was read and ``wait_s`` more seconds have passed.
    ``ends_as`` as in ``outcome_within``."""

    async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
        loop, read = asyncio.get_running_loop(), asyncio.Event()
        # The lease is ours from birth; it must not run out while all threads are busy.
        heartbeat.hold(operation)
        place, threads = contextlib.ExitStack(), cast("ThreadPoolExecutor | None", _threads)
        refusal = _place_taken(place, _upload_places, operation.user_id)
        if refusal is not None:
            # The operation ends at once, by what its body says; none of the threads that last is needed.
            chunks, threads = _refused(refusal), None
        body = _BodyInThread(chunks, loop, read)
        done: asyncio.Future[Any] = loop.run_in_executor(threads, _carry_out, operation, body)
        done.add_done_callback(lambda _: place.close())
        ended: asyncio.Future[Any] = asyncio.ensure_future(read.wait())
        await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not done.done():
            await asyncio.wait({done}, timeout=wait_s)
        if done.done():
            done.result()
        if refusal is not None:
            raise refusal
        outcome = await outcome_within(str(operation.pk), 0, str(ends_as))
        return outcome or (202, await asyncio.to_thread(_accepted, operation))

    return Upload(run, headers={"Location": f"/api/v1/operations/{operation.pk}"})


def _carry_out(operation: Operation, body: _BodyInThread) -> None:
    close_old_connections()
    try:
        operation_carry_out(operation, body)
    finally:
        heartbeat.release(operation)
        body.stop()
        close_old_connections()


def _accepted(operation: Operation) -> dict[str, Any]:
    close_old_connections()
    row = Operation.objects.select_related("user").get(pk=operation.pk)
    return {"operation": operation_dict(row)}


class _BodyInThread:
    """The chunks of an event loop, iterated over in a thread; one is asked for at a time."""

    def __init__(self, chunks: Chunks, loop: asyncio.AbstractEventLoop, read: asyncio.Event) -> None:
        self._chunks, self._loop, self._read = chunks, loop, read

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._wait():
            yield chunk

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._read.set)

    def _wait(self) -> bytes:
        asked = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return asked.result(IDLE_MAX_S + 10)
        except concurrent.futures.TimeoutError as error:
            raise InvalidInput("The body of the request did not arrive in time.") from error

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
        self._places = Places("transfers", _TRANSFERS_AT_ONCE, _TRANSFERS_SHARE)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        body = RequestBody(scope, receive)
        if _is_upload(scope):
            await self._with_body_outside(scope, body, send)
            return
        try:
            small = await body.small(int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0))
        except ComputeError as error:
            if not body.is_client_gone:
                await body.answer_error(send, error)
            return
        held = _Held(send)
        await self._app(scope, _Replay(small, receive), held)
        if isinstance(held.transfer, Download):
            with contextlib.ExitStack() as place:
                refusal = _place_taken(place, self._places, held.transfer.person)
                pump = _Pump(held.transfer, held.start, body, receive, send)
                await pump.run(is_head=scope["method"] == "HEAD", refusal=refusal)

    async def _with_body_outside(self, scope: Any, body: RequestBody, send: Send) -> None:
        names = (b"content-length", b"transfer-encoding", b"expect", _BODY_LENGTH)
        headers = [(name, value) for name, value in scope["headers"] if name not in names]
        if body.declared is not None:
            headers.append((_BODY_LENGTH, str(body.declared).encode()))
        held = _Held(None)
        await self._app({**scope, "headers": headers}, _Replay(b"", _nothing_more), held)
        upload = held.transfer
        if not isinstance(upload, Upload):
            await body.answer(send, held.messages)
            return
        with contextlib.ExitStack() as place, rights_bell.watch() as rights:
            refusal, allowed = _place_taken(place, self._places, upload.person), upload.still_allowed
            chunks = _refused(refusal) if refusal else body.chunks(upload.max_bytes, allowed, rights.take)
            outcome = await _settled(upload.run(chunks))
        if isinstance(outcome, ComputeError):
            if not body.is_client_gone:
                await body.answer_error(send, outcome, held.headers())
            return
        await body.answer_json(send, *outcome, [*held.headers(), *_encoded(upload.headers)])


class _Held:
    """Passes an answer on, but keeps back one that leaves a transfer (or, with ``send`` None, every
    one)."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self.transfer: Download | Upload | None = None
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.transfer = _taken(message)
        if self._send is not None and self.transfer is None:
            await self._send(message)
        else:
            self.messages.append(message)

    @property
    def start(self) -> Message:
        return self.messages[0]

    def headers(self) -> Headers:
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


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _nothing_more() -> Message:
    """The body stays outside: a view that reads on finds the end."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _place_taken(place: contextlib.ExitStack, places: Places, person: uuid.UUID | None) -> RateLimited | None:
    """A place until ``place`` is closed, or why there is none."""
    try:
        place.enter_context(places.take(person))
    except RateLimited as error:
        return error
    return None


async def _refused(error: ComputeError) -> Chunks:
    raise error
    yield b""


class _Pump:
    """Sends the chunks of one download until they end, the client leaves or stands still, or the
    right is gone."""

    def __init__(
        self, download: Download, start: Message, body: RequestBody, receive: Receive, send: Send
    ) -> None:
        self._download, self._start, self._body = download, start, body
        self._receive, self._send = receive, send
        self._moved_at = time.monotonic()

    async def run(self, *, is_head: bool, refusal: ComputeError | None) -> None:
        chunks = _refused(refusal) if refusal else self._download.open()
        gone = asyncio.ensure_future(self._gone())
        try:
            first = asyncio.ensure_future(_settled(_first(chunks)))
            await _either({first}, until=gone)
            if first.done() and not first.cancelled():
                await self._answer(first.result(), chunks, gone, is_head)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            await _closed(chunks)

    async def _answer(
        self, first: bytes | ComputeError, chunks: Chunks, gone: asyncio.Future[None], is_head: bool
    ) -> None:
        if isinstance(first, ComputeError):
            await self._body.answer_error(self._send, first, self._kept(b"content-disposition"))
            return
        told = self._download.told
        headers = [*self._kept(), *_encoded(told.headers)]
        if told.length is not None:
            headers.append((b"content-length", str(told.length).encode()))
        await self._send({**self._start, "status": told.status, "headers": headers})
        if is_head:
            await self._send({"type": "http.response.body", "body": b""})
            return
        sending: asyncio.Future[Any] = asyncio.ensure_future(_settled(self._send_all(first, chunks)))
        watching: asyncio.Future[Any] = asyncio.ensure_future(_settled(self._watch()))
        await _either({sending, watching}, until=gone)
        for task in (sending, watching):
            outcome = task.result() if not task.cancelled() else None
            if isinstance(outcome, ComputeError):
                # Too late for an answer: without its last piece the body is seen to be broken off.
                log.warning("download_broken_off", reason=outcome.message)

    def _kept(self, *but: bytes) -> Headers:
        dropped = (_HEADER, b"content-length", *but)
        return [(name, value) for name, value in self._start["headers"] if name.lower() not in dropped]

    async def _send_all(self, first: bytes, chunks: Chunks) -> None:
        sent, length = 0, self._download.told.length
        chunk: bytes | None = first
        while chunk is not None:
            sent += len(chunk)
            if length is not None and sent > length:
                raise InvalidInput("There is more of it than was announced: it changed meanwhile.")
            if chunk:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._moved_at = time.monotonic()
            chunk = await anext(chunks, None)
        if length is not None and sent < length:
            raise InvalidInput("There is less of it than was announced: it changed meanwhile.")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue

    async def _watch(self) -> None:
        with rights_bell.watch() as rights:
            while True:
                await rights.changed(RECHECK_EVERY_S)
                if time.monotonic() - self._moved_at > IDLE_MAX_S:
                    raise InvalidInput("The download stood still for too long.")
                if self._download.still_allowed is not None:
                    await self._download.still_allowed()


async def _first(chunks: Chunks) -> bytes:
    return await anext(chunks, b"")


async def _either(tasks: set[asyncio.Future[Any]], until: asyncio.Future[Any]) -> None:
    """Returns when one of all is done; what is left of ``tasks`` is cancelled."""
    try:
        await asyncio.wait({*tasks, until}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _closed(chunks: Chunks) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


async def _settled(work: Awaitable[T]) -> T | ComputeError:
    """What it gives, or the error it ends with, which is then one that can be told."""
    (outcome,) = await asyncio.gather(work, return_exceptions=True)
    if not isinstance(outcome, BaseException):
        return outcome
    if isinstance(outcome, ComputeError):
        return outcome
    if isinstance(outcome, asyncio.CancelledError):
        raise outcome
    log.error("transfer_failed", exc_info=outcome)
    return ComputeError("Something went wrong inside LibGo. The log has the details.")


def _is_upload(scope: Any) -> bool:
    return any(
        method == scope["method"] and pattern.fullmatch(scope["path"]) for method, pattern in _upload_routes
    )


def _taken(start: Message) -> Download | Upload | None:
    for name, value in start["headers"]:
        if name.lower() == _HEADER:
            with _left_lock:
                return _left.pop(value.decode("latin-1"), (0.0, None))[1]
    return None
