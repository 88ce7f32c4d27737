"""The log of one instance, read once for all who look at it."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from asgiref.sync import sync_to_async

from compute.backends.base import Backend
from compute.backends.registry import backend_for
from compute.backends.types import LogLine, LogQuery, nanos_time
from compute.errors import BackendError, BackendTimeout, BackendUnavailable, ComputeError, InstanceNotFound
from compute.loghub.pieces import Batch, Mark, Piece, Seen
from compute.loghub.viewer import Viewer
from compute.models import Instance
from compute.selectors.nodes import node_config
from compute.states import InstanceState

log = structlog.get_logger(__name__)

RING_LINES = 2000
_RING_CHARS = 1024 * 1024
_GATHER_S = 0.05
_BATCH_LINES = 500
# What one source may cost: lines a second, and how many may come at once.
_LINES_PER_S, _BURST = 10_000, 100_000
# A line of this many characters costs as much as two short ones.
_LINE_CHARS = 200
# Faster than that for so long, and the rest is left out up to the newest lines.
_HELD_MAX_S = 2.0
_TAIL_AFTER_FLOOD = 1000
_TAIL_AGAIN = 5000
_OVERLAP = timedelta(seconds=0.5)
_LOOK_EVERY_S = 1.0
_ANEW_S = 2.0
_AGAIN_FIRST_S, _AGAIN_MAX_S = 0.3, 5.0
_ALIVE = (InstanceState.RUNNING, InstanceState.PAUSED)


@dataclass(frozen=True)
class _Look:
    """What is so now, asked of the engine."""

    engine_id: str
    is_alive: bool
    status: str
    started_at: datetime | None


class Source:
    """Follows over restarts of the instance and of the engine, until the instance is gone."""

    def __init__(self, instance: Instance, backend: Backend, tail: int) -> None:
        self._pk: uuid.UUID = instance.pk
        self._backend, self._engine_id = backend, instance.engine_id
        self.began_with = tail
        self.ring: deque[LogLine] = deque()
        self.viewers: set[Viewer] = set()
        self.users = 0
        # Set once the engine has sent something, or has nothing to send.
        self.settled = asyncio.Event()
        self._ring_chars, self._evicted = 0, False
        self._pending: list[LogLine] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._tokens, self._tokens_at, self._held_s = float(_BURST), 0.0, 0.0
        self._started_at = instance.started_at
        self.was_open = False
        self._stopped: Mark | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._done)

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def close(self) -> None:
        self._task.cancel()

    def covers(self, tail: int | None, since: datetime | None) -> bool:
        """Whether the lines kept here are all that is asked for."""
        if not self._backend.logs_have_times:
            return True
        if since is not None:
            first = self.ring[0].timestamp if self.ring else None
            return first is not None and first < since
        if tail is None:
            return False
        return tail <= len(self.ring) or (not self._evicted and tail <= self.began_with)

    def attach(self, viewer: Viewer, lines: Sequence[LogLine]) -> None:
        """From now on it gets everything, after ``lines``, which must be from the ring."""
        if lines:
            viewer.put(Batch(lines))
        self.viewers.add(viewer)
        if self._stopped is not None:
            viewer.put(self._stopped)
        if self.is_over or (self._stopped is not None and not viewer.goes_on):
            viewer.end()

    async def history(self, query: LogQuery) -> AsyncGenerator[Sequence[LogLine], None]:
        """What the engine still has of earlier lines, by a reading of its own that ends."""
        batches: Any = self._backend.logs_follow(
            self._engine_id, replace(query, follow=False, timestamps=True)
        )
        async with aclosing(batches):
            async for lines in batches:
                yield lines

    # -- the reading -------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._follow()
        except ComputeError as error:
            self._flush()
            for viewer in self.viewers:
                viewer.end(error)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._flush()
        self.settled.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("log_source_failed", instance=str(self._pk), reason=repr(error))
        for viewer in self.viewers:
            viewer.end(BackendError("Reading the log failed unexpectedly.") if error else None)

    async def _follow(self) -> None:
        query, pause_s = LogQuery(tail=self.began_with), _AGAIN_FIRST_S
        while True:
            is_lost, is_flooded = False, False
            try:
                is_flooded = await self._read(query)
                if not is_flooded:
                    await self._stood(await self._look())
            except InstanceNotFound:
                if not self.was_open:
                    raise
                await self._stood(await self._look())
            except (BackendUnavailable, BackendTimeout) as error:
                if not self.was_open:
                    raise
                is_lost = True
                if pause_s == _AGAIN_FIRST_S:
                    self._say(Mark("lost", f"{error.message} Trying again …"))
            self.was_open = True
            pause_s = min(pause_s * 2, _AGAIN_MAX_S) if is_lost else _AGAIN_FIRST_S
            await asyncio.sleep(pause_s)
            query = self._again(_TAIL_AFTER_FLOOD if is_flooded else _TAIL_AGAIN)

    async def _read(self, query: LogQuery) -> bool:
        """One stream to its end. True when it was left because it writes more than can be shown."""
        seen = Seen(self.ring)
        batches: Any = self._backend.logs_follow(self._engine_id, query)
        try:
            async with aclosing(batches):
                async for given in batches:
                    self.was_open = True
                    lines = seen.fresh(given)
                    if lines and not seen.met:
                        seen.met = True
                        self._say(Mark("skipped", "… lines are missing here …"))
                    self._put(lines)
                    if await self._is_flood(lines):
                        return True
        finally:
            self._flush()
        self.settled.set()
        return False

    def _again(self, tail: int) -> LogQuery:
        """How to read on from the last line."""
        if not self.ring:
            return LogQuery(tail=tail)
        last = self.ring[-1]
        if last.nanos is None:
            return LogQuery(tail=tail, after=last.place)
        newest = max(line.nanos or 0 for line in self.ring)
        return LogQuery(tail=tail, since=nanos_time(newest) - _OVERLAP)

    async def _is_flood(self, lines: Sequence[LogLine]) -> bool:
        """Hold the engine back when it sends more than a source may cost."""
        now = asyncio.get_running_loop().time()
        cost = len(lines) + sum(len(line.text) for line in lines) / _LINE_CHARS
        self._tokens = min(_BURST, self._tokens + (now - self._tokens_at) * _LINES_PER_S) - cost
        self._tokens_at = now
        if self._tokens > 0:
            self._held_s = 0.0
            return False
        wait_s = min(-self._tokens / _LINES_PER_S, _HELD_MAX_S) + 0.01
        self._held_s += wait_s
        await asyncio.sleep(wait_s)
        return self._held_s > _HELD_MAX_S

    # -- handing out -------------------------------------------------------------------------

    def _put(self, lines: Sequence[LogLine]) -> None:
        """Slow logs at once, fast ones a few times a second."""
        self._pending += lines
        loop = asyncio.get_running_loop()
        wait_s = self._flushed_at + _GATHER_S - loop.time()
        if len(self._pending) >= _BATCH_LINES or wait_s <= 0:
            self._flush()
        elif self._timer is None and self._pending:
            self._timer = loop.call_later(wait_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._pending = self._pending, []
        if not lines:
            return
        self._flushed_at = asyncio.get_running_loop().time()
        self.settled.set()
        batch = Batch(lines)
        self.ring.extend(lines)
        self._ring_chars += batch.chars
        while len(self.ring) > RING_LINES or (self._ring_chars > _RING_CHARS and len(self.ring) > 1):
            self._ring_chars -= len(self.ring.popleft().text)
            self._evicted = True
        self._give(batch)

    def _say(self, mark: Mark) -> None:
        self._flush()
        self._give(mark)

    def _give(self, piece: Piece) -> None:
        for viewer in self.viewers:
            viewer.put(piece)

    # -- the end of a stream is not the end of the instance ------------------------------------

    async def _look(self) -> _Look:
        """Raises ``InstanceNotFound`` when there is nothing any more."""
        looked = sync_to_async(self._looked, thread_sensitive=False)
        try:
            return await looked()
        except InstanceNotFound:
            # One that is being made anew is away for a moment.
            await asyncio.sleep(_ANEW_S)
            return await looked()

    def _looked(self) -> _Look:
        row = Instance.objects.select_related("node").filter(pk=self._pk).first()
        if row is None:
            raise InstanceNotFound("The instance is gone, so its log has ended.")
        self._backend = backend_for(node_config(row.node))
        info = self._backend.instance_get(row.engine_id)
        return _Look(row.engine_id, info.state in _ALIVE, info.status, info.started_at)

    async def _stood(self, look: _Look) -> None:
        """Say what happened to the instance; returns when it runs (again)."""
        if not look.is_alive:
            self._stopped = Mark("stopped", f"It does not run: {look.status}. The log goes on with it.")
            self._say(self._stopped)
            for viewer in [viewer for viewer in self.viewers if not viewer.goes_on]:
                viewer.end()
            look = await self._started(look)
            self._stopped = None
            self._say(Mark("started", "It was started again."))
        elif look.started_at != self._started_at and self._started_at is not None:
            self._say(Mark("started", "It was restarted."))
        if look.engine_id != self._engine_id:
            self._engine_id = look.engine_id
            self.ring.clear()
            self._ring_chars = 0
        self._started_at = look.started_at

    async def _started(self, before: _Look) -> _Look:
        """Wait for it in the mirror, which costs the engine nothing."""
        rows = Instance.objects.filter(pk=self._pk)
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            row = await rows.values_list("engine_id", "state", "started_at").afirst()
            if row is None:
                raise InstanceNotFound("The instance is gone, so its log has ended.")
            engine_id, state, started_at = row
            if state in _ALIVE or engine_id != before.engine_id or started_at != before.started_at:
                return replace(before, engine_id=engine_id, is_alive=True, started_at=started_at)
