"""The names under which the broker passes on what is told.

Its pub/sub knows no databases: sites that share a Redis and differ in the number of their database would hear
each other. So the number is part of each name.
"""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings


def topic_name(topic: str) -> str:
    """What a topic of this site is called at its broker."""
    return f"libgo:{_database(settings.REDIS_URL)}:{topic}"


@lru_cache(maxsize=2)
def _database(url: str) -> int:
    return int(redis.ConnectionPool.from_url(url).connection_kwargs.get("db") or 0)
