"""Bodies of requests and answers as ASGI has them: read once, within limits, answered to the end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from compute.api.exception_handler import HTTP_STATUS, error_body
from compute.errors import ComputeError, InvalidInput, PayloadTooLarge
from compute.jsontext import dumps
from compute.request_id import request_id_for

Message = MutableMapping[str, Any]
Chunks = AsyncIterator[bytes]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Check = Callable[[], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# How long a sender or a reader may stand still.
IDLE_MAX_S = 120.0
# How much a sender has to bring in such a time, unless its body ends before: a byte now and then would hold
# its place for ever.
PACE_MIN_BYTES = 64 * 1024
RECHECK_EVERY_S = 5.0
_SMALL_WITHIN_S = 60.0
# How much of a body that nobody wants is read away after its answer, so that its sender gets to see it.
_LINGER_BYTES, _LINGER_S = 64 * 1024**2, 10.0


class RequestBody:
    """What a client sends with one request."""

    def __init__(self, scope: Any, receive: Receive) -> None:
        self._receive = receive
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        self.declared = int(declared) if declared.isdigit() else None
        self._request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        # Nothing more will come, or nobody is there to send it.
        self.is_over = not self.declared and b"transfer-encoding" not in headers
        self.is_client_gone = False

    async def small(self, limit: int) -> bytes:
        """The whole of it, within ``limit`` bytes and a minute. Raises ``PayloadTooLarge``,
        ``InvalidInput``."""
        parts, size, deadline = [], 0, time.monotonic() + _SMALL_WITHIN_S
        if self.declared is not None and self.declared > limit:
            raise _too_large(limit)
        while not self.is_over:
            parts.append(await self._next(deadline - time.monotonic()))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)

    async def chunks(
        self, max_bytes: int, still_allowed: Check | None = None, is_news: Callable[[], bool] = lambda: False
    ) -> Chunks:
        """Piece by piece as it comes. Raises ``PayloadTooLarge``, ``InvalidInput`` when it stalls or
        breaks off, and what ``still_allowed`` raises, which is asked every few seconds
        and when there ``is_news`` of rights."""
        if self.declared is not None and self.declared > max_bytes:
            raise _too_large(max_bytes)
        size, asked_at, pace = 0, time.monotonic(), _Pace()
        while not self.is_over:
            began = time.monotonic()
            chunk = await self._next(IDLE_MAX_S)
            if not self.is_over:
                pace.keep(time.monotonic() - began, len(chunk))
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            is_due = is_news() or time.monotonic() - asked_at > RECHECK_EVERY_S
            if still_allowed is not None and is_due:
                await still_allowed()
                asked_at = time.monotonic()
            if chunk:
                yield chunk

    async def answer(self, send: Send, messages: Iterable[Message]) -> None:
        """Send an answer although the body may not have been read. What still comes is read away for
        a while after the answer, for a connection that is closed on a sender loses the answer too."""
        start, *rest = messages
        if self.is_over:
            for message in (start, *rest):
                await send(message)
            return
        await send({**start, "headers": [*start["headers"], (b"connection", b"close")]})
        for message in rest:
            await send({**message, "more_body": True})
        size, deadline = 0, time.monotonic() + _LINGER_S
        with contextlib.suppress(InvalidInput):
            while not self.is_over and size < _LINGER_BYTES:
                size += len(await self._next(deadline - time.monotonic()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer_error(self, send: Send, error: ComputeError, headers: Headers | None = None) -> None:
        """The envelope of an error. Without ``headers`` of a view, those that every answer has."""
        if headers is None:
            headers = [(b"x-request-id", request_id_for(self._request_id).encode())]
        if error.details.get("retry_after"):
            headers = [*headers, (b"retry-after", str(error.details["retry_after"]).encode())]
        body = error_body(error.code, error.message, error.details)
        await self.answer_json(send, HTTP_STATUS.get(error.code, 500), body, headers)

    async def answer_json(self, send: Send, status: int, body: Any, headers: Headers) -> None:
        raw = dumps(body)
        own: Headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(raw)).encode()),
            (b"cache-control", b"private, no-store"),
        ]
        names = {name for name, _ in own}
        kept = [(name, value) for name, value in headers if name.lower() not in names]
        start: Message = {"type": "http.response.start", "status": status, "headers": [*kept, *own]}
        await self.answer(send, (start, {"type": "http.response.body", "body": raw}))

    async def _next(self, within_s: float) -> bytes:
        try:
            message = await _within(self._receive(), max(0.0, within_s))
        except asyncio.TimeoutError as error:
            raise InvalidInput("The body of the request did not arrive in time.") from error
        if message["type"] == "http.disconnect":
            self.is_over = self.is_client_gone = True
            raise InvalidInput("The body of the request ended before it was complete.")
        self.is_over = not message.get("more_body", False)
        return bytes(message.get("body", b""))


if sys.version_info >= (3, 11):

    async def _within(work: Awaitable[Message], seconds: float) -> Message:
        """``wait_for`` without a task of its own for each piece of a body."""
        async with asyncio.timeout(seconds):
            return await work

else:
    _within = asyncio.wait_for


class _Pace:
    """How fast a sender is, by the time that we waited for it; what others take does not count."""

    def __init__(self) -> None:
        self._waited_s, self._came = 0.0, 0

    def keep(self, waited_s: float, came: int) -> None:
        """Raises ``InvalidInput`` when it is too slow."""
        self._waited_s += waited_s
        self._came += came
        if self._came >= PACE_MIN_BYTES:
            self._waited_s, self._came = 0.0, 0
        if self._waited_s > IDLE_MAX_S:
            raise InvalidInput(
                f"The body came too slowly: less than {PACE_MIN_BYTES} bytes in {IDLE_MAX_S:.0f} s."
            )


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than the {limit} bytes that are taken here.", limit=limit)
