"""Interactive sessions: how many one person may have, and the record of each."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from compute.actor import Actor
from compute.audit import audit
from compute.errors import RateLimited
from compute.models import Instance

_open: Counter[Any] = Counter()


class Session:
    """A place for one session, and its record, which names the program and never what went in or came
    out, nor the arguments, which may hold secrets. Raises ``RateLimited`` when the person has no more."""

    def __init__(self, actor: Actor, action: str) -> None:
        most = settings.LIBGO["compute"]["sessions_per_user"]
        if most and _open[actor.user_id] >= most:
            raise RateLimited(f"You have {most} sessions open, which is the most; close one.", retry_after=5)
        _open[actor.user_id] += 1
        self._actor, self._action = actor, action
        self._instance: Instance | None = None
        self._details: dict[str, Any] = {}
        self._began, self._over = time.monotonic(), False

    async def begin(self, instance: Instance, **details: Any) -> None:
        """It was opened."""
        self._instance, self._details = instance, details
        await self._record(self._action, "ok", {})

    async def end(self, result: str) -> None:
        """Gives the place back; the first result counts."""
        if self._over:
            return
        self._over = True
        _open[self._actor.user_id] -= 1
        if self._instance is not None:
            seconds = round(time.monotonic() - self._began, 1)
            await self._record(f"{self._action}.end", result, {"duration_s": seconds})

    async def _record(self, action: str, result: str, more: dict[str, Any]) -> None:
        assert self._instance is not None
        await sync_to_async(audit, thread_sensitive=False)(
            self._actor,
            action,
            self._instance.name,
            target_uid=self._instance.pk,
            result=result,
            details={**self._details, **more},
        )
