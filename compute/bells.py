"""Bells: who waits here to hear that something happened to one of many things.

One thread a bell listens for all event loops, so that it belongs to none of them and outlives none. What is
missed (the broker was away) must be caught by looking: whoever waits gives a time for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from compute.live import ENDS, RIGHTS, bell_heard


class BellWatch:
    """One who waits, in the event loop that made it. ``about`` None hears of everything."""

    def __init__(self, about: Any = None) -> None:
        self._about = None if about is None else str(about)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def told(self, ids: frozenset[str]) -> None:
        """From any thread."""
        if self._about is None or self._about in ids:
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    def about(self, what: Any) -> None:
        """What matters from now on."""
        self._about = str(what)

    async def changed(self, within_s: float) -> None:
        """Returns when it rang, or after ``within_s`` seconds."""
        timer = self._loop.call_later(within_s, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
            self._news.clear()

    def take(self) -> bool:
        """Whether it rang since the last look."""
        is_news = self._news.is_set()
        self._news.clear()
        return is_news


class Bell:
    """Of one topic, in this process. ``remembers``: of so many things it tells also who begins to wait only
    after it rang for them."""

    def __init__(self, topic: str, remembers: int = 0) -> None:
        self.rung = 0
        self._topic = topic
        self._lately: deque[str] = deque(maxlen=remembers)
        self._lock = threading.Lock()
        self._watches: set[BellWatch] = set()
        self._thread: threading.Thread | None = None

    def join(self, about: Any = None) -> BellWatch:
        """Begin to wait; end it with ``leave``."""
        watch = BellWatch(about)
        with self._lock:
            self._watches.add(watch)
            if str(about) in self._lately:
                watch.told(frozenset([str(about)]))
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name=f"bell-{self._topic}", daemon=True)
                self._thread.start()
        return watch

    def leave(self, watch: BellWatch) -> None:
        with self._lock:
            self._watches.discard(watch)

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return len(self._watches)

    @contextlib.contextmanager
    def watch(self, about: Any = None) -> Iterator[BellWatch]:
        """Wait for as long as the block runs."""
        watch = self.join(about)
        try:
            yield watch
        finally:
            self.leave(watch)

    def _listen(self) -> None:
        for ids in bell_heard(self._topic):
            with self._lock:
                self.rung += 1
                self._lately.extend(ids)
                watches = list(self._watches)
            for watch in watches:
                watch.told(ids)


rights_bell = Bell(RIGHTS)
# What is short may be over before the answer to who asked for it has come so far that it waits.
ends_bell = Bell(ENDS, remembers=200)
