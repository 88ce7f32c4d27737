"""End a worker that no longer takes work although work waits; the supervisor starts it again.

After some resets of the broker Celery's consumer stays connected, and deaf: the process lives, its
heartbeats go on, and nothing is carried out any more.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import redis
import structlog
from celery.signals import task_received, worker_ready, worker_shutting_down
from celery.worker import state
from django.conf import settings

log = structlog.get_logger(__name__)

# The sweep alone rings every five seconds, so a worker that is well is never silent for long.
_DEAF_AFTER_S = 15.0
_LOOK_EVERY_S = 3.0
# What it has begun may end; what has not ended by then is the reaper's.
_FINISH_WITHIN_S = 30.0


class Watchdog:
    """``wakes`` is told of every message that came; ``is_deaf`` is asked every few seconds."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._heard_at = time.monotonic()
        self._ended = threading.Event()
        self._redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2.0, socket_connect_timeout=1.0)

    def wakes(self, **kwargs: object) -> None:
        self._heard_at = time.monotonic()

    def ends(self, **kwargs: object) -> None:
        self._ended.set()

    def is_deaf(self) -> bool:
        """Whether messages wait, there are free hands, and for too long none was taken."""
        if len(state.reserved_requests) >= self._places or not self._waiting():
            self.wakes()
        return time.monotonic() - self._heard_at > _DEAF_AFTER_S

    def _waiting(self) -> bool:
        try:
            return bool(self._redis.llen(settings.CELERY_TASK_DEFAULT_QUEUE))
        except redis.RedisError:
            # Nobody can take anything from a broker that is away.
            return False

    def run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            if self.is_deaf():
                log.error("worker_deaf", waited_s=_DEAF_AFTER_S, at_work=len(state.active_requests))
                self._end()

    def _end(self) -> None:
        if state.active_requests:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_FINISH_WITHIN_S)
        os.kill(os.getpid(), signal.SIGKILL)


@worker_ready.connect
def watchdog_start(sender: object, **kwargs: object) -> None:
    """``sender`` is the worker's consumer."""
    dog = Watchdog(int(getattr(getattr(sender, "pool", None), "limit", 0) or 1))
    task_received.connect(dog.wakes, weak=False)
    worker_shutting_down.connect(dog.ends, weak=False)
    threading.Thread(target=dog.run, name="watchdog", daemon=True).start()
