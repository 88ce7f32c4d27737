"""The short way of an operation to a worker: a list of the broker at which each worker waits.

It is a bell like Celery's, and may be lost like one: the row of the operation is the truth, and what nobody
heard the sweeper rings again, through Celery. Celery takes a message through its own protocol, queue and
pool, which costs as much as a short operation itself does; a list costs one call on each side. So short
operations come here, as many at once as the lane has places; the others, and what finds it full, go to
Celery.

While a site is upgraded, workers of two versions wait at the list. One that hears what only a newer one can
read passes it on, by the list of that version: there a newer one finds it, also one that has yet to start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import cast

import redis
import structlog
from django.conf import settings
from django.db import close_old_connections

from compute.models.operation import PAYLOAD_VERSION

log = structlog.get_logger(__name__)

# Some may wait for a worker that starts; more would only be heard too late.
_LIST, _LIST_MAX = "libgo:lane", 1000
# A broker that hangs holds who asks no longer than this, and is not asked again for a while.
_PUSH_S, _SHUT_S = 0.25, 5.0
_POP_S, _AGAIN_S = 2, 1.0
_PLACES = 8

Work = Callable[[str], None]


class _Gate:
    """Whether the broker took the last one; who comes to a shut gate goes another way at once."""

    def __init__(self) -> None:
        self._shut_until = 0.0

    def push(self, operation_id: str, name: str) -> bool:
        if time.monotonic() < self._shut_until:
            return False
        try:
            pipe = _near().pipeline(transaction=False)
            pipe.lpush(name, operation_id)
            pipe.ltrim(name, 0, _LIST_MAX - 1)
            pipe.execute()
        except redis.RedisError as error:
            self._shut_until = time.monotonic() + _SHUT_S
            log.warning("lane_shut", operation=operation_id, reason=str(error))
            return False
        return True


_gate = _Gate()


def lane_push(operation_id: str) -> bool:
    """Hand it to the next worker that is free; False when the broker does not take it now."""
    return _gate.push(operation_id, _LIST)


def lane_pass(operation_id: str, version: int) -> None:
    """Hand it to the next worker that can read what ``version`` of LibGo's payloads writes."""
    _gate.push(operation_id, _list_of(version))


def _list_of(version: int) -> str:
    return f"{_LIST}:{version}"


@lru_cache(maxsize=1)
def _near() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_PUSH_S, socket_connect_timeout=_PUSH_S, health_check_interval=30
    )


class Lane:
    """The worker's end. ``run`` carries one out, in a thread; ``overflow`` sends on what finds no place."""

    def __init__(self, run: Work, overflow: Work) -> None:
        self._run, self._overflow = run, overflow
        self._pool = ThreadPoolExecutor(_PLACES, thread_name_prefix="lane")
        self._free = threading.BoundedSemaphore(_PLACES)
        self._is_over = threading.Event()
        self._lists = [_LIST, *map(_list_of, range(2, PAYLOAD_VERSION + 1))]
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_POP_S + 3.0, socket_connect_timeout=1.0
        )

    def start(self) -> None:
        threading.Thread(target=self._listen, name="lane", daemon=True).start()

    def end(self) -> None:
        """Nothing more is taken; what was begun comes to its end before the process does."""
        self._is_over.set()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                found = cast("tuple[bytes, bytes] | None", self._redis.brpop(self._lists, timeout=_POP_S))
            except (redis.RedisError, OSError):
                self._is_over.wait(_AGAIN_S)
                continue
            if found is not None:
                self._take(found[1].decode(errors="replace"))

    def _take(self, operation_id: str) -> None:
        if self._is_over.is_set() or not self._free.acquire(blocking=False):
            self._overflow(operation_id)
            return
        self._pool.submit(self._carry_out, operation_id).add_done_callback(self._ended)

    def _carry_out(self, operation_id: str) -> None:
        close_old_connections()
        try:
            self._run(operation_id)
        finally:
            close_old_connections()

    def _ended(self, done: Future[None]) -> None:
        """One that fails costs no other: the sweeper rings again for what is still there."""
        self._free.release()
        if (error := done.exception()) is not None:
            log.error("lane_failed", exc_info=error)
