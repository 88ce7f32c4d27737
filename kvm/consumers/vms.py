"""``/ws/vms/:name`` and ``/ws/vms/:name/console``: the JSON messages of the API from before Docker.

Each is ``{type, timestamp, data}``. From us: connection, status, metrics, response, console, heartbeat,
error. To us: command ``{action, requestId}``, console_input ``{content}``, heartbeat.
"""

from __future__ import annotations

import asyncio
import codecs
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.utils import timezone

from compute import statshub
from compute.api.waiting import outcome_within
from compute.attachhub import Attached
from compute.consumers.facts import Facts
from compute.consumers.instance import InstanceSocket
from compute.consumers.terminals import Console
from compute.errors import ComputeError, InvalidInput
from compute.facthub import Told
from compute.models import Instance, Operation
from compute.selectors.page import time_text
from compute.sockets import ask_once
from compute.states import Action
from kvm.selectors.vms import metrics_shape, vm_row, vm_status
from kvm.services.vms import vm_act

_EVERY_S = 5.0
# As the older server had it.
_FRAME_MAX = 8192
_COMMANDS_AT_ONCE = 4
_COMMAND_WITHIN_S = 300.0
_ID_MAX = 200
_ACTIONS = {word.value: word for word in (Action.START, Action.STOP, Action.RESTART)}


class _Older(InstanceSocket):
    """What both sockets understand."""

    _row_id = ""

    @property
    def instance_id(self) -> str:
        """Found once, by name: renaming the machine does not lead the socket to another one."""
        return self._row_id or str(self.scope["url_route"]["kwargs"]["name"])

    async def greet(self) -> None:
        """Raises ``InstanceNotFound``."""
        row: Instance = await sync_to_async(vm_row, thread_sensitive=False)(self.actor, self.instance_id)
        self._row_id, self._commands = str(row.pk), 0
        said = {"status": "connected", "vmName": row.name, "message": f"Connected to {row.name} WebSocket"}
        self.push("connection", said)

    async def hear(self, text_data: str | None) -> None:
        """One message from the client; what is not understood is told, and the socket goes on."""
        if text_data is None or len(text_data) > _FRAME_MAX:
            await self.fail(InvalidInput(f"Send JSON texts of at most {_FRAME_MAX} characters."))
            return
        try:
            message = orjson.loads(text_data)
            kind, data = str(message["type"]), message.get("data") or {}
            if not isinstance(data, dict):
                raise TypeError("data")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._wrong("INVALID_MESSAGE", "Failed to parse message")
            return
        if kind == "heartbeat":
            self.push("heartbeat", {"timestamp": time_text(timezone.now())}, key="heartbeat")
        elif kind == "command":
            self._command(data)
        elif kind == "console_input":
            await self.console_input(data)
        else:
            self._wrong("UNKNOWN_MESSAGE_TYPE", "Unknown message type")

    async def console_input(self, data: Mapping[str, Any]) -> None:
        self._wrong("INVALID_MESSAGE_TYPE", "Console input not allowed on this connection")

    def take_over(self) -> bool:
        """Become the one who writes, where there is something to write to."""
        return False

    def _command(self, data: Mapping[str, Any]) -> None:
        action, given = data.get("action"), data.get("requestId")
        number = given[:_ID_MAX] if isinstance(given, str) and given else f"cmd-{uuid.uuid4().hex[:12]}"
        if action == "take_over" and self.take_over():
            self._respond(number, True, "You write now")
        elif action not in _ACTIONS:
            self._wrong("INVALID_COMMAND", f"Missing or invalid action; one of {', '.join(_ACTIONS)}")
        elif self._commands >= _COMMANDS_AT_ONCE:
            self._respond(number, False, "Earlier commands are still being carried out; wait for them.")
        else:
            self._commands += 1
            self.run(self._carry_out(number, _ACTIONS[action], data))

    async def _carry_out(self, number: str, action: Action, data: Mapping[str, Any]) -> None:
        """Done by the same service as everywhere; what was begun goes on when the client leaves."""
        options = {key: data[key] for key in ("force", "timeout") if key in data}
        try:
            act = sync_to_async(vm_act, thread_sensitive=False)
            operation: Operation | None = await act(self.actor, self._row_id, action, options)
            if operation is None:
                self._respond(number, True, f"Command '{action}': it is so already")
                return
            outcome = await outcome_within(str(operation.pk), _COMMAND_WITHIN_S, "200+vm_done")
            if outcome is None:
                self._respond(number, False, f"Command '{action}' goes on as operation {operation.pk}")
            elif outcome[0] == 200:
                self._respond(number, True, f"Command '{action}' completed")
            else:
                self._respond(number, False, str(outcome[1]["error"]["message"]))
        except ComputeError as error:
            self._respond(number, False, error.message)
        finally:
            self._commands -= 1

    def _respond(self, number: str, success: bool, message: str) -> None:
        self.push("response", {"requestId": number, "success": success, "message": message})

    def _wrong(self, code: str, message: str) -> None:
        self.push("error", {"code": code, "message": message}, key="error")


class VmMonitor(_Older, Facts):
    """Status every few seconds and whenever it changes, metrics while it runs, commands."""

    async def start(self) -> None:
        self.asked({})
        await self.greet()
        await self.join()
        self._changed = asyncio.Event()
        self._sample: dict[str, Any] | None = None
        self.run(self._samples())
        self.run(self._tell())

    async def still_allowed(self) -> None:
        await Facts.still_allowed(self)
        row = sync_to_async(vm_row, thread_sensitive=False)
        await ask_once(("vm", self.actor.user_id, self._row_id), lambda: row(self.actor, self._row_id))

    def fact(self, told: Told) -> None:
        if told.data.get("instance") == self._row_id:
            self._changed.set()

    def facts_lost(self) -> None:
        """It looks every few seconds anyway."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.hear(text_data)

    async def _samples(self) -> None:
        async with aclosing(statshub.samples(self._row_id, past=1)) as found:
            async for sample in found:
                self._sample = sample

    async def _tell(self) -> None:
        last = ""
        while True:
            # Fresh before the status is read: what happens meanwhile is not missed.
            was_told, self._changed = self._changed.is_set(), asyncio.Event()
            try:
                status = await sync_to_async(vm_status, thread_sensitive=False)(self.actor, self._row_id)
            except ComputeError as error:
                await self.fail(error)
                return
            if not was_told or status["status"] != last:
                self.push("status", status, key="status")
            last = status["status"]
            sample, self._sample = self._sample, None
            if sample is not None and last == "running":
                self.push("metrics", metrics_shape(sample), key="metrics")
            await self._next()

    async def _next(self) -> None:
        """Until something happened to the machine, or the time is over."""
        waiting = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({waiting}, timeout=_EVERY_S)
        finally:
            waiting.cancel()


class VmConsole(_Older, Console):
    """The serial line as ``{"content", "eof"}``; all who look share it, one writes."""

    async def start(self) -> None:
        await self.greet()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        await Console.start(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self._active_at = time.monotonic()
        await self._not_too_fast()
        await self.hear(text_data)

    async def console_input(self, data: Mapping[str, Any]) -> None:
        content = data.get("content")
        if not isinstance(content, str):
            self._wrong("INVALID_CONSOLE_INPUT", "Missing or invalid content")
            return
        try:
            await self.put_in(content.encode("utf-8", "replace"))
        except ComputeError as error:
            self._wrong(error.code, error.message)

    def take_over(self) -> bool:
        if self._attached is not None:
            self._attached.take()
        return True

    async def show(self, channel: int, data: bytes, *, tty: bool) -> None:
        self._active_at = time.monotonic()
        content = self._decoder.decode(data)
        if content:
            await self._console(content, eof=False)

    async def _console(self, content: str, *, eof: bool) -> None:
        data = {"content": content, "eof": eof}
        envelope = {"type": "console", "timestamp": time_text(timezone.now()), "data": data}
        await self.deliver(orjson.dumps(envelope).decode())

    async def _tell_writer(self, attached: Attached) -> None:
        """These clients know no such news; who may not write is told when they try."""

    async def _read_out(self, attached: Attached) -> None:
        while True:
            channel, data = await attached.read_from()
            if not data:
                break
            await self.show(channel, data, tty=True)
        await self._console(self._decoder.decode(b"", final=True), eof=True)
        if attached.problem is not None:
            await self.fail(attached.problem)
        else:
            await self.end(1000, self.over)
