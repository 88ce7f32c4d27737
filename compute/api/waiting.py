"""Hold an answer until its operation ends, without holding a thread.

A view that may wait answers 202 at once, with a private header naming the operation. This ASGI
layer takes the header out, waits in the event loop, and sends the outcome in the 202's place.
Everything else passes through untouched, in both directions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.db import close_old_connections

from compute.api.base import WAIT_HEADER
from compute.api.exception_handler import HTTP_STATUS, error_body
from compute.errors import InstanceNotFound
from compute.models import Instance, Operation
from compute.selectors.instances import instance_dict
from compute.selectors.operations import operation_dict
from compute.states import ACTIVE_OPERATION_STATES, OperationState

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

_HEADER = WAIT_HEADER.lower().encode()
_FIRST_LOOK_S, _SLOWEST_LOOK_S = 0.04, 0.25
_threads = ThreadPoolExecutor(4, thread_name_prefix="wait")


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
        outcome = await _outcome_within(*wanted)
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


async def _outcome_within(operation_id: str, seconds: float, ends_as: str) -> tuple[int, bytes] | None:
    """Status and body once the operation is over; None when the time is."""
    loop, deadline, pause = asyncio.get_running_loop(), time.monotonic() + seconds, _FIRST_LOOK_S
    while True:
        outcome = await loop.run_in_executor(_threads, _outcome, operation_id, ends_as)
        if outcome is not None or time.monotonic() >= deadline:
            return outcome
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _SLOWEST_LOOK_S)


def _outcome(operation_id: str, ends_as: str) -> tuple[int, bytes] | None:
    close_old_connections()
    operation = Operation.objects.select_related("user").filter(pk=operation_id).first()
    if operation is None or operation.state in ACTIVE_OPERATION_STATES:
        return None
    if ends_as == "operation":
        return 200, orjson.dumps(operation_dict(operation), default=str)
    if operation.state != OperationState.SUCCEEDED:
        return _bad_end(operation)
    body: dict[str, Any] = {"operation": operation_dict(operation)}
    row = Instance.objects.filter(pk=operation.instance_uid).first()
    if row is not None:
        try:
            body["instance"] = instance_dict(row)
        except InstanceNotFound:
            body.pop("instance", None)
    return int(ends_as), orjson.dumps(body, default=str)


def _bad_end(operation: Operation) -> tuple[int, bytes]:
    code = operation.error_code or "INTERNAL"
    details = {**operation.error_details, "operation": str(operation.pk)}
    return HTTP_STATUS.get(code, 500), orjson.dumps(error_body(code, operation.error_message, details))
