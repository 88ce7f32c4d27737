"""Sockets that tell what happened."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute import facthub
from compute.errors import BackendUnavailable, ComputeError, InvalidInput, NotFound
from compute.events import audiences_of
from compute.facthub import Told
from compute.models import Operation
from compute.selectors.access import project_ids_visible
from compute.selectors.operations import operation_dict, operation_get
from compute.sockets import Socket, ask_once
from compute.states import ACTIVE_OPERATION_STATES

_SUBSCRIPTIONS_MAX = 1000


class Facts(Socket):
    """Base of sockets that follow facts: hears of what the actor sees now."""

    async def join(self) -> None:
        """From now on, and only of that."""
        projects = await self._projects()
        await facthub.join(self, audiences_of(projects))

    def fact(self, told: Told) -> None:
        """Called by the hub for each fact that the actor may see."""
        raise AssertionError("every socket of facts says what it does with one")

    def facts_lost(self) -> None:
        """A socket that goes on would look like one on which nothing happens: who connects again is told
        when the broker is back, and asks for what it missed."""
        text = "The broker was lost, so what happens is not told here; connect again."
        self.run(self.fail(BackendUnavailable(text)))

    async def still_allowed(self) -> None:
        key = ("projects", self.actor.user_id, self.actor.is_admin, self.actor.credential)
        projects = await ask_once(key, self._projects)
        if not self._closing:
            await facthub.join(self, audiences_of(projects))

    async def finish(self) -> None:
        facthub.leave(self)

    async def _projects(self) -> set[uuid.UUID] | None:
        return await sync_to_async(project_ids_visible, thread_sensitive=False)(self.actor)


class Events(Facts):
    """``/events``: everything one may see, or only what was subscribed to."""

    async def start(self) -> None:
        self._wanted: dict[str, set[str]] = {"instance": set(), "project": set(), "operation": set()}
        await self.join()

    def fact(self, told: Told) -> None:
        if self._is_wanted(told.data):
            is_progress = told.type == "operation.progress"
            self.push_text(told.text, key=("progress", told.data["operation"]) if is_progress else None)

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

    def _is_wanted(self, data: Mapping[str, Any]) -> bool:
        if not any(self._wanted.values()):
            return True
        return any(str(data.get(noun)) in ids for noun, ids in self._wanted.items())


class OperationSocket(Facts):
    """``/operations/:id``: its row at once, then whatever changes, until it is over."""

    async def start(self) -> None:
        self._id = str(self.scope["url_route"]["kwargs"]["operation_id"])
        self._news = asyncio.Event()
        await self.join()
        await self._show(await self._row())
        self.run(self._follow())

    def fact(self, told: Told) -> None:
        if told.data.get("operation") != self._id:
            return
        if told.type == "operation.progress":
            self.push_text(told.text, key="progress")
        else:
            self._news.set()

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._show(await self._row())
            except ComputeError as error:
                await self.fail(error)
                return

    async def _row(self) -> Operation:
        return await sync_to_async(operation_get, thread_sensitive=False)(self.actor, self._id)

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
