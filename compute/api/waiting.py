"""Hold an answer until its operation ends, without holding a thread.

A view that may wait answers 202 at once, with a private header naming the operation. This ASGI
layer takes the header out, waits in the event loop, and sends the outcome in the 202's place. The body
of a 202 that says nothing (``{}``) is made here, too, when the time is over and the operation is not.
Everything else passes through untouched, in both directions.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from django.db import close_old_connections

from compute.actor import Actor
from compute.api.exception_handler import HTTP_STATUS, error_body
from compute.bells import ends_bell
from compute.errors import ComputeError, RateLimited
from compute.jsontext import dumps
from compute.models import Operation
from compute.places import Places
from compute.selectors.instances import instance_made
from compute.selectors.operations import operation_dict, operation_full
from compute.selectors.prepared import Prepared
from compute.stages import stage
from compute.states import ACTIVE_OPERATION_STATES, OperationState

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

WAIT_HEADER = "X-LibGo-Wait"
_HEADER = WAIT_HEADER.lower().encode()
# A bell can be missed. All who wait together look no more often than so many times a second.
_LOOK_EVERY_S, _LOOKS_PER_S = 0.25, 50.0
_threads = ThreadPoolExecutor(4, thread_name_prefix="wait")
# Whoever waits for more is answered as if he did not wait: what he asked for was done.
_places = Places("waits", most=2000, share=500)
_OPERATION = Prepared(lambda key: Operation.objects.filter(pk=key).select_related("user"))
_shapes: dict[str, Callable[[Operation], dict[str, Any]]] = {}


class _Wanted(NamedTuple):
    """What a view left in the header."""

    operation_id: str
    seconds: float
    ends_as: str
    person: str


def shape_register(name: str, make: Callable[[Operation], dict[str, Any]]) -> None:
    """Announce another body for a good end: ``ends_as`` then is ``<status>+<name>``. For APIs whose
    answers know nothing of operations. ``make`` may raise ``ComputeError``."""
    _shapes[name] = make


def wait_for(actor: Actor, operation: Operation, seconds: float, ends_as: int | str) -> str:
    """The value of the private header; ``ends_as`` as in ``outcome_within``."""
    return f"{operation.pk} {seconds} {ends_as} {actor.user_id}"


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
        found = await _outcome_in_place(wanted)
        headers = [(name, value) for name, value in start["headers"] if name.lower() != _HEADER]
        if found is None and b"".join(body.get("body", b"") for body in bodies) != b"{}":
            await send({**start, "headers": headers})
            for body in bodies:
                await send(body)
            return
        if found is None:
            loop = asyncio.get_running_loop()
            found = start["status"], await loop.run_in_executor(_threads, _under_way, wanted.operation_id)
        status, data = found[0], dumps(found[1])
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        length = (b"content-length", str(len(data)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
        await send({"type": "http.response.body", "body": data})


def _wanted(start: Message) -> _Wanted | None:
    for name, value in start["headers"]:
        if name.lower() == _HEADER:
            operation_id, seconds, ends_as, person = value.decode().split(" ")
            return _Wanted(operation_id, float(seconds), ends_as, person)
    return None


async def _outcome_in_place(wanted: _Wanted) -> tuple[int, dict[str, Any]] | None:
    try:
        with _places.take(wanted.person):
            return await outcome_within(wanted.operation_id, wanted.seconds, wanted.ends_as)
    except RateLimited:
        return None


async def outcome_within(
    operation_id: str, seconds: float, ends_as: str
) -> tuple[int, dict[str, Any]] | None:
    """Status and body once the operation is over; None when the time is. ``ends_as`` is the status of
    a good end; with ``+result`` behind it the body is the operation's result, with the operation in
    it; with ``+`` and a registered shape, that; ``operation`` gives the bare operation however it ended,
    ``parent`` the usual body with its children."""
    loop, deadline = asyncio.get_running_loop(), time.monotonic() + seconds
    with ends_bell.watch(operation_id) as ended:
        while True:
            pause = max(_LOOK_EVERY_S, ends_bell.waiting / _LOOKS_PER_S)
            await ended.changed(min(pause, max(0.0, deadline - time.monotonic())))
            stage(operation_id, "woken")
            outcome = await loop.run_in_executor(_threads, _outcome, operation_id, ends_as)
            if outcome is not None or time.monotonic() >= deadline:
                return outcome


def _outcome(operation_id: str, ends_as: str) -> tuple[int, dict[str, Any]] | None:
    close_old_connections()
    operation = _OPERATION.first(uuid.UUID(operation_id))
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
    return int(status), body | _made(operation)


def _under_way(operation_id: str) -> dict[str, Any]:
    """What is told of one that goes on longer than the client waits, or was dropped meanwhile."""
    close_old_connections()
    operation = _OPERATION.first(uuid.UUID(operation_id))
    return {} if operation is None else {"operation": operation_full(operation), **_made(operation)}


def _made(operation: Operation) -> dict[str, Any]:
    instance = instance_made(operation)
    return {} if instance is None else {"instance": instance}


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
