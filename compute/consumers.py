"""The sockets under ``/ws/v1``."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute import streams
from compute.backends.types import ByteStream, LogQuery
from compute.errors import BackendUnavailable, ComputeError, InvalidInput, NotFound
from compute.events import GROUP_ALL, GROUP_SITE, group_of_project
from compute.live import usage_recent
from compute.models import Instance, Operation
from compute.selectors.access import project_ids_visible
from compute.selectors.instances import instance_get
from compute.selectors.operations import operation_dict, operation_get
from compute.sockets import Socket
from compute.states import ACTIVE_OPERATION_STATES

_LINES_AT_ONCE = 200
_TAIL_MAX = 10_000
_SAMPLE_LOOK_S = 1.0
_ROWS, _COLS = 24, 80
_SIZE_MAX = 1000


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
                if len(self._wanted[noun]) < _SIZE_MAX:
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


class InstanceSocket(Socket):
    """Base of sockets about one instance."""

    @property
    def instance_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["instance_id"])


class Stats(InstanceSocket):
    """``/instances/:id/stats``: the samples there are, then each new one."""

    async def start(self) -> None:
        row: Instance = await sync_to_async(instance_get, thread_sensitive=False)(
            self.actor, self.instance_id
        )
        self._row_id = str(row.pk)
        self.run(self._follow())

    async def still_allowed(self) -> None:
        await sync_to_async(instance_get, thread_sensitive=False)(self.actor, self.instance_id)

    async def _follow(self) -> None:
        last, count = "", 180
        while True:
            samples = await sync_to_async(usage_recent, thread_sensitive=False)(self._row_id, count)
            for sample in samples:
                if sample["timestamp"] > last:
                    last = sample["timestamp"]
                    self.push("stats", sample)
            count = 5
            await asyncio.sleep(_SAMPLE_LOOK_S)


class Logs(InstanceSocket):
    """``/instances/:id/logs?tail=&timestamps=``: lines in small batches."""

    async def start(self) -> None:
        tail = self.query("tail") or "200"
        if not tail.isdigit() or int(tail) > _TAIL_MAX:
            raise InvalidInput.field("tail", f"must be a whole number up to {_TAIL_MAX}.")
        await streams.content_allowed(self.actor, self.instance_id)
        self.run(self._follow(LogQuery(tail=int(tail), timestamps=self.query("timestamps") == "true")))

    async def still_allowed(self) -> None:
        await streams.content_allowed(self.actor, self.instance_id)

    async def _follow(self, query: LogQuery) -> None:
        batch: list[dict[str, Any]] = []
        flusher: asyncio.Task[None] | None = None

        def flush() -> None:
            if batch:
                self.push("logs", {"lines": list(batch)})
                batch.clear()

        async def flush_soon() -> None:
            await asyncio.sleep(0.05)
            flush()

        try:
            async for line in streams.logs_open(self.actor, self.instance_id, query):
                shown: dict[str, Any] = {"text": line.text, "stream": line.stream}
                if query.timestamps:
                    shown["timestamp"] = line.timestamp
                batch.append(shown)
                if len(batch) >= _LINES_AT_ONCE:
                    flush()
                    await asyncio.sleep(0)
                elif flusher is None or flusher.done():
                    flusher = asyncio.create_task(flush_soon())
            flush()
            await asyncio.sleep(0.2)
            await self.end(1000, "The instance stopped, so its log has ended.")
        except ComputeError as error:
            await self.fail(error)


class Terminal(InstanceSocket):
    """Base of two-way byte streams: binary frames are data, text frames are commands."""

    _stream: ByteStream | None = None

    async def open(self) -> ByteStream:
        raise AssertionError("every terminal says what it opens")

    async def start(self) -> None:
        self._stream = await self.open()
        self.run(self._read_out())

    async def still_allowed(self) -> None:
        await streams.content_allowed(self.actor, self.instance_id)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._stream is None:
            return
        try:
            if bytes_data:
                await self._stream.write(bytes_data)
            elif text_data:
                await self._command(orjson.loads(text_data))
        except BackendUnavailable as error:
            await self.fail(error)
        except (ValueError, KeyError, TypeError):
            await self.fail(InvalidInput("Send bytes, or {“type”: “resize”, “rows”: 24, “cols”: 80}."))

    async def finish(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _command(self, message: dict[str, Any]) -> None:
        if message["type"] != "resize" or self._stream is None:
            raise KeyError("type")
        rows, cols = int(message["rows"]), int(message["cols"])
        if not (0 < rows <= _SIZE_MAX and 0 < cols <= _SIZE_MAX):
            raise ValueError("size")
        await self._stream.resize(rows, cols)

    async def _read_out(self) -> None:
        assert self._stream is not None
        stream = self._stream
        while data := await stream.read():
            self.push_bytes(data)
        await asyncio.sleep(0.1)
        await self.end(1000, "The session has ended.")


class Exec(Terminal):
    """``/instances/:id/exec``: a shell in a container."""

    async def open(self) -> ByteStream:
        return await streams.exec_open(self.actor, self.instance_id, rows=_ROWS, cols=_COLS)


class Console(Terminal):
    """``/instances/:id/console``: the serial line of a VM."""

    async def open(self) -> ByteStream:
        return await streams.console_open(self.actor, self.instance_id)


class Nowhere(Socket):
    """Any other path: 4404 instead of a bare refusal."""

    async def start(self) -> None:
        raise NotFound("There is no such socket.")
