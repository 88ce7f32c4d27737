"""``/instances/:id/stats``, and ``/usage`` for many at once."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import aclosing
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute import statshub
from compute.consumers.instance import InstanceSocket
from compute.errors import InvalidInput
from compute.models import Instance
from compute.selectors.instances import instance_get, instances_by_ids
from compute.sockets import Socket, ask_once

_WATCHED_MAX = 500
_SHOWN = ("timestamp", "cpu_percent", "memory_bytes", "memory_limit_bytes")


class Stats(InstanceSocket):
    """The samples there are, then each new one; ``{"type": "mark"}`` where they stay away."""

    async def start(self) -> None:
        self.asked({})
        row: Instance = await sync_to_async(instance_get, thread_sensitive=False)(
            self.actor, self.instance_id
        )
        self._row_id = str(row.pk)
        self.run(self._follow())

    async def still_allowed(self) -> None:
        get = sync_to_async(instance_get, thread_sensitive=False)
        key = ("instance", self.actor.user_id, self.actor.credential, self.instance_id)
        await ask_once(key, lambda: get(self.actor, self.instance_id))

    async def _follow(self) -> None:
        async with aclosing(statshub.samples(self._row_id)) as found:
            async for sample in found:
                if sample is None:
                    self.push("mark", {"kind": "missing", "text": "No sample came for some seconds."})
                else:
                    self.push("stats", sample)


class UsageOfMany(Socket):
    """``/usage``: what a list shows of its rows. The client says which by ``{"type": "watch", "data":
    {"instances": [id, …]}}``, each time all of them; it is told ``{"type": "usage", "data": {id: {timestamp,
    cpu_percent, memory_bytes, memory_limit_bytes}, …}}`` of those with a new sample, null where they stay
    away. What one may not see is left out without a word."""

    async def start(self) -> None:
        self._board = statshub.Board()
        self._asked: frozenset[uuid.UUID] = frozenset()
        self.run(self._follow())

    async def still_allowed(self) -> None:
        await self._show()

    async def finish(self) -> None:
        board = getattr(self, "_board", None)
        if board is not None:
            board.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = orjson.loads(text_data or b"")
            ids = message["data"]["instances"]
            if message["type"] != "watch" or not isinstance(ids, list) or len(ids) > _WATCHED_MAX:
                raise KeyError("watch")
            self._asked = frozenset(uuid.UUID(each) for each in ids)
        except (ValueError, KeyError, TypeError, AttributeError):
            await self.fail(
                InvalidInput(
                    f"Send {{“type”: “watch”, “data”: {{“instances”: [at most {_WATCHED_MAX} ids]}}}}."
                )
            )
            return
        await self._show()

    async def _show(self) -> None:
        def visible(ids: Collection[uuid.UUID]) -> list[str]:
            return [str(pk) for pk in instances_by_ids(self.actor, ids)]

        asked = self._asked
        seen = await sync_to_async(visible, thread_sensitive=False)(asked) if asked else []
        # Whoever asked again meanwhile is answered by that question.
        if asked == self._asked and not self._closing:
            self._board.show(seen)

    async def _follow(self) -> None:
        while True:
            news = await self._board.news()
            self.push("usage", {key: _shown(sample) for key, sample in news.items()}, key="usage")


def _shown(sample: dict[str, Any]) -> dict[str, Any] | None:
    if sample["timestamp"] is None:
        return None
    return {name: sample.get(name) for name in _SHOWN}
