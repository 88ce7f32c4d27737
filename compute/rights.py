"""Who waits here to hear that somebody's rights changed: the open sockets and streams of this process.

One thread listens for all event loops, so that it belongs to none of them and outlives none. What is missed
(the broker was away) is caught by those who ask again every few seconds anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compute.live import rights_heard


class RightsWatch:
    """One who waits, in the event loop that made it. ``user_id`` None hears of everybody."""

    def __init__(self, user_id: Any = None) -> None:
        self._user = None if user_id is None else str(user_id)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def told(self, users: frozenset[str]) -> None:
        """From any thread."""
        if self._user is None or self._user in users:
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    def about(self, user_id: Any) -> None:
        """Whose rights matter from now on."""
        self._user = str(user_id)

    async def changed(self, within_s: float) -> None:
        """Returns when the rights changed, or after ``within_s`` seconds."""
        timer = self._loop.call_later(within_s, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
            self._news.clear()

    def take(self) -> bool:
        """Whether they changed since the last look."""
        is_news = self._news.is_set()
        self._news.clear()
        return is_news


class _Hub:
    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.Lock()
        self._watches: set[RightsWatch] = set()
        self._thread: threading.Thread | None = None

    def join(self, watch: RightsWatch) -> None:
        with self._lock:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="rights", daemon=True)
                self._thread.start()

    def leave(self, watch: RightsWatch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _listen(self) -> None:
        for users in rights_heard():
            with self._lock:
                self.generation += 1
                watches = list(self._watches)
            for watch in watches:
                watch.told(users)


_hub = _Hub()


def rights_generation() -> int:
    """Grows with every change that is heard of: an older answer is not worth anything."""
    return _hub.generation


def rights_join(user_id: Any = None) -> RightsWatch:
    """Begin to wait; end it with ``rights_leave``."""
    watch = RightsWatch(user_id)
    _hub.join(watch)
    return watch


def rights_leave(watch: RightsWatch) -> None:
    _hub.leave(watch)


@contextmanager
def rights_watch(user_id: Any = None) -> Iterator[RightsWatch]:
    """Wait for as long as the block runs."""
    watch = rights_join(user_id)
    try:
        yield watch
    finally:
        rights_leave(watch)
