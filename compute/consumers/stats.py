"""``/instances/:id/stats``."""

from __future__ import annotations

import asyncio

from asgiref.sync import sync_to_async

from compute.consumers.instance import InstanceSocket
from compute.live import usage_recent
from compute.models import Instance
from compute.selectors.instances import instance_get

_SAMPLE_LOOK_S = 1.0


class Stats(InstanceSocket):
    """``/instances/:id/stats``: the samples there are, then each new one."""

    async def start(self) -> None:
        row: Instance = await sync_to_async(instance_get, thread_sensitive=False)(
            self.actor, self.instance_id
        )
        self._row_id = str(row.pk)
        self.run(self._follow())

    async def still_allowed(self) -> None:
        await sync_to_async(instance_get, thread_sensitive=False)(self.actor, self.instance_id)

    async def _follow(self) -> None:
        last, count = "", 180
        while True:
            samples = await sync_to_async(usage_recent, thread_sensitive=False)(self._row_id, count)
            for sample in samples:
                if sample["timestamp"] > last:
                    last = sample["timestamp"]
                    self.push("stats", sample)
            count = 5
            await asyncio.sleep(_SAMPLE_LOOK_S)
