"""Samples of usage for all who look on: one question a second to Redis, whatever their number."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute.live import USAGE_SAMPLES_KEPT, usage_latest, usage_recent

_LOOK_EVERY_S = 1.0
# A sample is due every two seconds; what stays away for longer is told, and not drawn over.
_OVERDUE_S = 7.0


class Watch:
    """What one looker-on has not taken yet: the newest sample, or that there is none."""

    def __init__(self, wake: asyncio.Event | None = None) -> None:
        self._news: dict[str, Any] | None = None
        self._wake = wake or asyncio.Event()
        self.last = ""
        self.since = asyncio.get_running_loop().time()
        self.is_overdue = False

    def offer(self, sample: dict[str, Any] | None) -> None:
        """The newest sample that there is; called about once a second."""
        now = asyncio.get_running_loop().time()
        if sample is not None and sample["timestamp"] > self.last:
            self.last, self.since, self.is_overdue = sample["timestamp"], now, False
            self._put(sample)
        elif not self.is_overdue and now - self.since > _OVERDUE_S:
            self.is_overdue = True
            self._put({"timestamp": None})

    async def next(self) -> dict[str, Any]:
        while self._news is None:
            self._wake.clear()
            await self._wake.wait()
        return self.take() or {}

    def take(self) -> dict[str, Any] | None:
        """What came since the last time, without waiting."""
        news, self._news = self._news, None
        return news

    def _put(self, news: dict[str, Any]) -> None:
        self._news = news
        self._wake.set()


class _Poller:
    """The watches of one event loop, by instance."""

    def __init__(self) -> None:
        self.watches: dict[str, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, instance_id: str) -> Iterator[Watch]:
        watch = Watch()
        self.join(instance_id, watch)
        try:
            yield watch
        finally:
            self.leave(instance_id, watch)

    def join(self, instance_id: str, watch: Watch) -> None:
        self.watches.setdefault(instance_id, set()).add(watch)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, instance_id: str, watch: Watch) -> None:
        self.watches[instance_id].discard(watch)
        if not self.watches[instance_id]:
            del self.watches[instance_id]

    async def _run(self) -> None:
        look = sync_to_async(usage_latest, thread_sensitive=False)
        while self.watches:
            found = await look(list(self.watches))
            for instance_id, watches in self.watches.items():
                for watch in watches:
                    watch.offer(found.get(instance_id))
            await asyncio.sleep(_LOOK_EVERY_S)


_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Poller] = weakref.WeakKeyDictionary()


class Board:
    """The newest samples of many, which may become others while one looks on. Close it when done."""

    def __init__(self) -> None:
        self._poller = _pollers.setdefault(asyncio.get_running_loop(), _Poller())
        self._wake = asyncio.Event()
        self._watches: dict[str, Watch] = {}

    def show(self, instance_ids: Collection[str]) -> None:
        """These from now on. One that is new here is told as soon as there is a sample."""
        for gone in set(self._watches) - set(instance_ids):
            self._poller.leave(gone, self._watches.pop(gone))
        for new in set(instance_ids) - set(self._watches):
            self._watches[new] = Watch(self._wake)
            self._poller.join(new, self._watches[new])

    async def news(self) -> dict[str, dict[str, Any]]:
        """What is new of them by id, at least one; ``{"timestamp": None}`` where samples stay away."""
        while True:
            taken = {key: watch.take() for key, watch in self._watches.items()}
            found = {key: sample for key, sample in taken.items() if sample is not None}
            if found:
                return found
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        self.show(())


async def samples(
    instance_id: str, past: int = USAGE_SAMPLES_KEPT
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """The last samples there are, then each new one; None where they stay away. Close it when done."""
    poller, sent = _pollers.setdefault(asyncio.get_running_loop(), _Poller()), ""
    with poller.watch(instance_id) as watch:
        for sample in await sync_to_async(usage_recent, thread_sensitive=False)(instance_id, past):
            sent = sample["timestamp"]
            yield sample
        while True:
            news = await watch.next()
            if news["timestamp"] is None:
                yield None
            elif news["timestamp"] > sent:
                sent = news["timestamp"]
                yield news


async def sample_rows(instance_id: str) -> AsyncGenerator[bytes, None]:
    """One JSON object a line, from the newest sample on, until they stay away."""
    yield b""
    async with aclosing(samples(instance_id, past=1)) as found:
        async for sample in found:
            if sample is None:
                return
            yield orjson.dumps(sample) + b"\n"
