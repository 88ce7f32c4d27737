"""Sockets that tell what happened."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute.errors import InvalidInput, NotFound
from compute.events import GROUP_ALL, GROUP_SITE, group_of_project
from compute.models import Operation
from compute.selectors.access import project_ids_visible
from compute.selectors.operations import operation_dict, operation_get
from compute.sockets import Socket
from compute.states import ACTIVE_OPERATION_STATES

_SUBSCRIPTIONS_MAX = 1000


class Facts(Socket):
    """Base of sockets that follow facts: joins the groups of what the actor sees now."""

    async def join(self) -> None:
        projects = await sync_to_async(project_ids_visible, thread_sensitive=False)(self.actor)
        wanted = {GROUP_ALL} if projects is None else {GROUP_SITE, *map(group_of_project, projects)}
        joined: set[str] = getattr(self, "_joined", set())
        for group in wanted - joined:
            await self.channel_layer.group_add(group, self.channel_name)
        for group in joined - wanted:
            await self.channel_layer.group_discard(group, self.channel_name)
        self._joined = wanted

    async def still_allowed(self) -> None:
        await self.join()

    async def finish(self) -> None:
        for group in getattr(self, "_joined", set()):
            await self.channel_layer.group_discard(group, self.channel_name)


class Events(Facts):
    """``/events``: everything one may see, or only what was subscribed to."""

    async def start(self) -> None:
        self._wanted: dict[str, set[str]] = {"instance": set(), "project": set(), "operation": set()}
        await self.join()

    async def fact(self, message: dict[str, Any]) -> None:
        """Called by the channel layer."""
        envelope = message["envelope"]
        if self._is_wanted(envelope["data"]):
            data = envelope["data"]
            key = ("progress", data.get("operation")) if envelope["type"] == "operation.progress" else None
            self.push_envelope(envelope, key=key)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """``{"type": "subscribe" | "unsubscribe", "data": {"instance" | "project" | "operation": id}}``."""
        try:
            message = orjson.loads(text_data or b"")
            kind, data = message["type"], message.get("data") or {}
            if kind not in ("subscribe", "unsubscribe") or not set(data) <= set(self._wanted):
                raise KeyError(kind)
            for noun, value in data.items():
                change = self._wanted[noun].add if kind == "subscribe" else self._wanted[noun].discard
                if len(self._wanted[noun]) < _SUBSCRIPTIONS_MAX:
                    change(str(value))
        except (ValueError, KeyError, TypeError, AttributeError):
            await self.fail(InvalidInput("Send {“type”: “subscribe”, “data”: {“instance”: id}}."))

    def _is_wanted(self, data: dict[str, Any]) -> bool:
        if not any(self._wanted.values()):
            return True
        return any(str(data.get(noun)) in ids for noun, ids in self._wanted.items())


class OperationSocket(Facts):
    """``/operations/:id``: its row at once, then whatever changes, until it is over."""

    async def start(self) -> None:
        self._id = str(self.scope["url_route"]["kwargs"]["operation_id"])
        await self.join()
        row = await sync_to_async(operation_get, thread_sensitive=False)(self.actor, self._id)
        await self._show(row)

    async def fact(self, message: dict[str, Any]) -> None:
        envelope = message["envelope"]
        if str(envelope["data"].get("operation")) != self._id:
            return
        if envelope["type"] == "operation.progress":
            self.push_envelope(envelope, key="progress")
            return
        await self._show(await sync_to_async(operation_get, thread_sensitive=False)(self.actor, self._id))

    async def _show(self, row: Operation) -> None:
        shown = await sync_to_async(operation_dict, thread_sensitive=False)(row)
        self.push("operation", shown, key="operation")
        if row.state not in ACTIVE_OPERATION_STATES:
            self.run(self._end_soon())

    async def _end_soon(self) -> None:
        await asyncio.sleep(0.2)
        await self.end(1000)


class Nowhere(Socket):
    """Any other path: 4404 instead of a bare refusal."""

    async def start(self) -> None:
        raise NotFound("There is no such socket.")
