"""Hold an answer until its operation ends, without holding a thread.

A view that may wait answers 202 at once, with a private header naming the operation. This ASGI
layer takes the header out, waits in the event loop, and sends the outcome in the 202's place.
Everything else passes through untouched, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.layers import get_channel_layer
from django.db import close_old_connections
from redis.exceptions import RedisError

from compute.api.exception_handler import HTTP_STATUS, error_body
from compute.errors import ComputeError, InstanceNotFound
from compute.events import GROUP_ENDS
from compute.jsontext import dumps
from compute.models import Instance, Operation
from compute.selectors.instances import instance_dict
from compute.selectors.operations import operation_dict, operation_full
from compute.states import ACTIVE_OPERATION_STATES, OperationState

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

WAIT_HEADER = "X-LibGo-Wait"
_HEADER = WAIT_HEADER.lower().encode()
_LOOK_EVERY_S = 0.25
_threads = ThreadPoolExecutor(4, thread_name_prefix="wait")
_shapes: dict[str, Callable[[Operation], dict[str, Any]]] = {}


def shape_register(name: str, make: Callable[[Operation], dict[str, Any]]) -> None:
    """Announce another body for a good end: ``ends_as`` then is ``<status>+<name>``. For APIs whose
    answers know nothing of operations. ``make`` may raise ``ComputeError``."""
    _shapes[name] = make


class WaitMiddleware:
    """ASGI middleware around the HTTP application."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        held: list[Message] = []

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start" and _wanted(message) is not None:
                held.append(message)
                return
            if not held:
                await send(message)
                return
            held.append(message)
            if not message.get("more_body", False):
                await self._finish(held, send)

        await self._app(scope, receive, look)

    async def _finish(self, held: list[Message], send: Callable[[Message], Awaitable[None]]) -> None:
        start, bodies = held[0], held[1:]
        wanted = _wanted(start)
        assert wanted is not None
        found = await outcome_within(*wanted)
        outcome = None if found is None else (found[0], dumps(found[1]))
        headers = [(name, value) for name, value in start["headers"] if name.lower() != _HEADER]
        if outcome is None:
            await send({**start, "headers": headers})
            for body in bodies:
                await send(body)
            return
        status, data = outcome
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        length = (b"content-length", str(len(data)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
        await send({"type": "http.response.body", "body": data})


def _wanted(start: Message) -> tuple[str, float, str] | None:
    for name, value in start["headers"]:
        if name.lower() == _HEADER:
            operation_id, seconds, ends_as = value.decode().split(" ")
            return operation_id, float(seconds), ends_as
    return None


async def outcome_within(
    operation_id: str, seconds: float, ends_as: str
) -> tuple[int, dict[str, Any]] | None:
    """Status and body once the operation is over; None when the time is. ``ends_as`` is the status of
    a good end; with ``+result`` behind it the body is the operation's result, with the operation in
    it; with ``+`` and a registered shape, that; ``operation`` gives the bare operation however it ended,
    ``parent`` the usual body with its children."""
    loop, deadline = asyncio.get_running_loop(), time.monotonic() + seconds
    with _ends.of(operation_id) as ended:
        while True:
            outcome = await loop.run_in_executor(_threads, _outcome, operation_id, ends_as)
            if outcome is not None or time.monotonic() >= deadline:
                return outcome
            await _told(ended, min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))


async def _told(ended: asyncio.Event, within_s: float) -> None:
    """Until it is told, or it is time to look: a message can be lost."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(ended.wait(), within_s)
    ended.clear()


class _Ends:
    """One subscription of the process to the ends of operations, for all that wait."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def of(self, operation_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when this operation ends."""
        self._listen()
        ended = asyncio.Event()
        self._waiting.setdefault(operation_id, set()).add(ended)
        try:
            yield ended
        finally:
            others = self._waiting[operation_id]
            others.discard(ended)
            if not others:
                del self._waiting[operation_id]

    def _listen(self) -> None:
        task = self._listening
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._listening = asyncio.ensure_future(self._hear())

    async def _hear(self) -> None:
        layer = get_channel_layer()
        while layer is not None:
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP_ENDS, channel)
                while True:
                    message = await layer.receive(channel)
                    for ended in self._waiting.get(message["operation"], ()):
                        ended.set()
            except (RedisError, OSError):
                await asyncio.sleep(_LOOK_EVERY_S)


_ends = _Ends()


def _outcome(operation_id: str, ends_as: str) -> tuple[int, dict[str, Any]] | None:
    close_old_connections()
    operation = Operation.objects.select_related("user").filter(pk=operation_id).first()
    if operation is None or operation.state in ACTIVE_OPERATION_STATES:
        return None
    if ends_as == "operation":
        return 200, operation_full(operation)
    if ends_as == "parent":
        return 200, {"operation": operation_full(operation)}
    if operation.state != OperationState.SUCCEEDED:
        return _bad_end(operation)
    status, _, shape = ends_as.partition("+")
    if shape in _shapes:
        return _shaped(operation, int(status), _shapes[shape])
    body: dict[str, Any] = {"operation": operation_dict(operation)}
    if shape == "result":
        return int(status), {**operation.result, **body}
    row = Instance.objects.filter(pk=operation.instance_uid).first()
    if row is not None:
        try:
            body["instance"] = instance_dict(row)
        except InstanceNotFound:
            body.pop("instance", None)
    return int(status), body


def _shaped(
    operation: Operation, status: int, make: Callable[[Operation], dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    try:
        return status, make(operation)
    except ComputeError as error:
        return HTTP_STATUS.get(error.code, 500), error_body(error.code, error.message, error.details)


def _bad_end(operation: Operation) -> tuple[int, dict[str, Any]]:
    code = operation.error_code or "INTERNAL"
    details = {**operation.error_details, "operation": str(operation.pk)}
    return HTTP_STATUS.get(code, 500), error_body(code, operation.error_message, details)
