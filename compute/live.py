"""What is true only for moments and lives in Redis: usage samples, socket tickets, rate limits.

Losing all of it loses nothing that matters. Every function survives a missing broker: reads find
nothing, writes are dropped, and only tickets and rate limits say so.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

import orjson
import redis
from django.conf import settings

from compute.backends.types import Usage
from compute.errors import BackendUnavailable
from compute.selectors.page import time_text
from compute.topics import topic_name

_PREFIX = "libgo:"
_OWN_COUNTS_MAX = 10_000
USAGE_SAMPLES_KEPT = 180
# How long a sample stands for what is used now.
USAGE_FRESH_S = 15
_USAGE_TTL_S = 600
TICKET_TTL_S = 30
_BELL_WAIT_S = 1.0
# What is rung for: accounts whose rights changed; operations that ended.
RIGHTS, ENDS = "rights", "ends"


class _OwnCounts:
    """What this process counts while the broker is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def hit(self, name: str, window_s: int) -> tuple[int, float]:
        """How many there were in the window, and how many seconds of it are left."""
        now = time.monotonic()
        with self._lock:
            if len(self._counts) >= _OWN_COUNTS_MAX:
                self._counts = {key: value for key, value in self._counts.items() if value[1] > now}
            count, ends = self._counts.get(name, (0, 0.0))
            count, ends = (count + 1, ends) if ends > now else (1, now + window_s)
            if len(self._counts) < _OWN_COUNTS_MAX or name in self._counts:
                self._counts[name] = (count, ends)
        return count, ends - now

    def clear(self, name: str) -> None:
        with self._lock:
            self._counts.pop(name, None)


_own_counts = _OwnCounts()


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2.0, socket_connect_timeout=1.0, health_check_interval=30
    )


def usage_dict(usage: Usage) -> dict[str, Any]:
    """A sample as it is kept, streamed and answered."""
    return {**asdict(usage), "timestamp": time_text(usage.timestamp)}


def usage_write(samples: Mapping[str, Mapping[str, Any]]) -> None:
    """Append one sample per instance id; keeps the newest ``USAGE_SAMPLES_KEPT``."""
    if not samples:
        return
    try:
        pipe = _redis().pipeline(transaction=False)
        for instance_id, sample in samples.items():
            key = f"{_PREFIX}usage:{instance_id}"
            pipe.lpush(key, orjson.dumps(dict(sample)))
            pipe.ltrim(key, 0, USAGE_SAMPLES_KEPT - 1)
            pipe.expire(key, _USAGE_TTL_S)
        pipe.execute()
    except redis.RedisError:
        return


def usage_recent(instance_id: str, count: int = USAGE_SAMPLES_KEPT) -> list[dict[str, Any]]:
    """The newest ``count`` samples, oldest first."""
    try:
        raw = cast("list[bytes]", _redis().lrange(f"{_PREFIX}usage:{instance_id}", 0, count - 1))
    except redis.RedisError:
        return []
    return [orjson.loads(item) for item in reversed(raw)]


def usage_recent_many(
    subjects: Iterable[str], count: int = USAGE_SAMPLES_KEPT
) -> dict[str, list[dict[str, Any]]]:
    """``usage_recent`` of many in one round trip; those without samples are left out."""
    ids = list(subjects)
    if not ids:
        return {}
    try:
        pipe = _redis().pipeline(transaction=False)
        for subject in ids:
            pipe.lrange(f"{_PREFIX}usage:{subject}", 0, count - 1)
        found = pipe.execute()
    except redis.RedisError:
        return {}
    return {
        key: [orjson.loads(item) for item in reversed(raw)]
        for key, raw in zip(ids, found, strict=True)
        if raw
    }


def usage_latest(instance_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The newest sample of each instance that has one, in one round trip."""
    ids = list(instance_ids)
    if not ids:
        return {}
    try:
        pipe = _redis().pipeline(transaction=False)
        for instance_id in ids:
            pipe.lindex(f"{_PREFIX}usage:{instance_id}", 0)
        found = pipe.execute()
    except redis.RedisError:
        return {}
    return {key: orjson.loads(raw) for key, raw in zip(ids, found, strict=True) if raw}


def ticket_issue(data: Mapping[str, Any]) -> str:
    """A random word that stands for ``data`` once, within ``TICKET_TTL_S``."""
    ticket = secrets.token_urlsafe(32)
    try:
        _redis().set(f"{_PREFIX}ticket:{ticket}", orjson.dumps(dict(data)), ex=TICKET_TTL_S)
    except redis.RedisError as error:
        raise BackendUnavailable(
            "The broker does not answer, so no ticket can be made. Try again."
        ) from error
    return ticket


def ticket_spend(ticket: str) -> dict[str, Any] | None:
    """What the ticket stood for; None if it is unknown, spent or too old."""
    try:
        raw = cast("bytes | None", _redis().getdel(f"{_PREFIX}ticket:{ticket}"))
    except redis.RedisError:
        return None
    return orjson.loads(raw) if raw else None


def rate_limit_hit(name: str, limit: int, window_s: int) -> int:
    """Count one more of ``name``; 0 while at most ``limit`` fell in the window, else the seconds
    until it ends. Without a broker each process counts for itself."""
    key = f"{_PREFIX}rate:{name}"
    try:
        pipe = _redis().pipeline(transaction=True)
        pipe.incr(key)
        pipe.expire(key, window_s, nx=True)
        pipe.ttl(key)
        count, _, ttl = pipe.execute()
    except redis.RedisError:
        count, ttl = _own_counts.hit(name, window_s)
    return 0 if count <= limit else max(1, int(ttl))


def rate_limit_back(name: str, window_s: int) -> None:
    """Take one back that turned out not to count."""
    key = f"{_PREFIX}rate:{name}"
    try:
        pipe = _redis().pipeline(transaction=True)
        pipe.decr(key)
        pipe.expire(key, window_s, nx=True)
        pipe.execute()
    except redis.RedisError:
        return


def rate_limit_clear(name: str) -> None:
    """Forget what was counted for ``name`` (a login that went well)."""
    _own_counts.clear(name)
    try:
        _redis().delete(f"{_PREFIX}rate:{name}")
    except redis.RedisError:
        return


def broker_answers() -> bool:
    """Whether the broker answers a ping within its time-out."""
    try:
        return bool(_redis().ping())
    except redis.RedisError:
        return False


def bell_ring(topic: str, ids: Iterable[str]) -> None:
    """Tell every process that something happened to these; a broker that is away hears nothing."""
    with contextlib.suppress(redis.RedisError):
        _redis().publish(topic_name(topic), orjson.dumps(list(ids)))


def bell_heard(topic: str) -> Iterator[frozenset[str]]:
    """What is rung, as it is told, for ever; over every absence of the broker."""
    while True:
        try:
            with _redis().pubsub(ignore_subscribe_messages=True) as heard:  # type: ignore[no-untyped-call]
                heard.subscribe(topic_name(topic))
                while True:
                    message = heard.get_message(timeout=_BELL_WAIT_S)
                    if message is not None:
                        yield frozenset(orjson.loads(message["data"]))
        except (redis.RedisError, OSError):
            time.sleep(1.0)
