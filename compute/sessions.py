"""Sessions and commands inside instances: how many one person may have, and the record of each."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError

from compute.actor import Actor
from compute.errors import RateLimited
from compute.execution.sessions import BEAT_S, session_begin, session_end, sessions_seen
from compute.models import Instance

log = structlog.get_logger(__name__)

_open: Counter[Any] = Counter()
_recorded: dict[uuid.UUID, Record] = {}
_seen_at = 0.0


class Record:
    """What somebody does inside an instance, with its program and never what went in or came out, nor the
    arguments, which may hold secrets. Whatever becomes of this process, the audit tells of it."""

    def __init__(self, actor: Actor, action: str) -> None:
        self._actor, self._action = actor, action
        self._id: uuid.UUID | None = None
        self._instance_uid: uuid.UUID | None = None
        # Its end was told by somebody else, who took this process for lost.
        self.is_told = False

    async def begin(self, instance: Instance, **details: Any) -> None:
        """It is about to happen, or was opened."""
        write = sync_to_async(session_begin, thread_sensitive=False)
        self._id = await write(self._actor, self._action, instance, details)
        self._instance_uid = instance.pk
        _recorded[self._id] = self

    async def instance_exists(self) -> bool:
        """Whether what it is in is still there."""
        rows = Instance.objects.filter(pk=self._instance_uid)
        return await sync_to_async(rows.exists, thread_sensitive=False)()

    async def end(self, result: str) -> None:
        """The first result counts."""
        if self._id is None or _recorded.pop(self._id, None) is None:
            return
        try:
            await sync_to_async(session_end, thread_sensitive=False)(self._id, result)
        except DatabaseError as error:
            # Nobody says any more that it is open, so the sweeper tells of its end.
            log.warning("session_end_not_written", session=str(self._id), reason=str(error))


class Session(Record):
    """A place for an interactive one, and its record. Raises ``RateLimited`` when the person has no more."""

    def __init__(self, actor: Actor, action: str) -> None:
        most = settings.LIBGO["compute"]["sessions_per_user"]
        if most and _open[actor.user_id] >= most:
            raise RateLimited(f"You have {most} sessions open, which is the most; close one.", retry_after=5)
        _open[actor.user_id] += 1
        super().__init__(actor, action)
        self._over = False

    async def end(self, result: str) -> None:
        """Gives the place back; the first result counts."""
        if not self._over:
            self._over = True
            _open[self._actor.user_id] -= 1
            await super().end(result)


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Meanwhile it is said that the records of this process are open."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await sessions_beat()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


async def sessions_beat() -> None:
    """Say, when it is time, that all sessions of this process are open; any of them may ask for it."""
    global _seen_at
    now = time.monotonic()
    if now - _seen_at < BEAT_S or not _recorded:
        return
    _seen_at = now
    asked = dict(_recorded)
    try:
        there = await sync_to_async(sessions_seen, thread_sensitive=False)(asked)
    except DatabaseError as error:
        log.warning("sessions_not_seen", count=len(asked), reason=str(error))
        return
    for session_id, session in asked.items():
        session.is_told = session_id not in there and session_id in _recorded
