"""``/stacks/:node/:name/logs``: the logs of all instances of a stack as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.utils import timezone

from compute import streams
from compute.api.base import Parse, text
from compute.api.log_query import tail_of
from compute.backends.types import LogLine
from compute.consumers.instance import InstanceSocket
from compute.errors import ComputeError
from compute.loghub import Batch, Mark, Wanted
from compute.selectors.access import action_require
from compute.selectors.page import time_text
from dockerapp.selectors.stacks import Found, stack_get

_QUERY: dict[str, Parse] = {"tail": tail_of, "service": text}
_LOOK_EVERY_S = 2.0
_FLUSH_EVERY_S = 0.1
# What the instances said before is put into the order of time once all of them had their turn.
_GATHER_S = 0.6
_WAITING_MAX = 2000
_LINES_AT_ONCE = 500
_INSTANCES_MAX = 100


class StackLogs(InstanceSocket):
    """``{"type": "logs", "data": {"lines": [{service, name, instance, stream, text, timestamp}]}}`` by
    time, and ``{"type": "mark"}`` where an instance's log has a gap or an end. Instances that appear
    later join by themselves."""

    async def start(self) -> None:
        asked = self.asked(_QUERY)
        self._service = asked.get("service", "")
        self._tail = asked.get("tail", 200)
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        self._room = asyncio.Event()
        self._room.set()
        self._followed: set[str] = set()
        await self._join()
        self.run(self._look())
        self.run(self._flush())

    async def still_allowed(self) -> None:
        await sync_to_async(self._found, thread_sensitive=False)()

    def _found(self) -> Found:
        """Raises ``NotFound``, ``PermissionDenied``: a log's content needs the permission ``console``."""
        words = self.scope["url_route"]["kwargs"]
        found = stack_get(self.actor, str(words["name"]), str(words["node"]))
        action_require(self.actor, "stack.logs", found.project.pk)
        return found

    async def _join(self) -> None:
        """Follow what is not followed yet."""
        found = await sync_to_async(self._found, thread_sensitive=False)()
        for instance in found.of_service(self._service)[:_INSTANCES_MAX]:
            key = str(instance.pk)
            if key not in self._followed and instance.engine_id:
                self._followed.add(key)
                whose = {"service": found.service_of(instance), "name": instance.name, "instance": key}
                self.run(self._follow(key, whose))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._join()
            except ComputeError as error:
                await self.fail(error)
                return

    async def _follow(self, key: str, whose: Mapping[str, str]) -> None:
        try:
            async with aclosing(streams.logs_follow(self.actor, key, Wanted(tail=self._tail))) as pieces:
                async for piece in pieces:
                    await self._room.wait()
                    if isinstance(piece, Batch):
                        self._waiting += [(line.nanos or 0, _line(line, whose)) for line in piece.lines]
                    elif isinstance(piece, Mark):
                        self.push(
                            "mark", {**whose, "kind": piece.kind, "text": piece.text, "lines": piece.lines}
                        )
                    if len(self._waiting) > _WAITING_MAX:
                        self._room.clear()
        except ComputeError as error:
            self._mark(whose, "lost", error.message)

    def _mark(self, whose: Mapping[str, str], kind: str, text: str, lines: int = 0) -> None:
        self.push("mark", {**whose, "kind": kind, "text": text, "lines": lines})

    async def _flush(self) -> None:
        await asyncio.sleep(_GATHER_S)
        while True:
            batch, self._waiting = self._waiting, []
            self._room.set()
            # Lines without a time of their own stay where they came.
            batch.sort(key=lambda item: item[0])
            for start in range(0, len(batch), _LINES_AT_ONCE):
                lines = [line for _, line in batch[start : start + _LINES_AT_ONCE]]
                envelope = {"type": "logs", "timestamp": time_text(timezone.now()), "data": {"lines": lines}}
                await self.deliver(orjson.dumps(envelope, default=str).decode())
            await asyncio.sleep(_FLUSH_EVERY_S)


def _line(line: LogLine, whose: Mapping[str, str]) -> dict[str, Any]:
    return {**whose, "stream": line.stream, "text": line.text, "timestamp": time_text(line.timestamp)}
