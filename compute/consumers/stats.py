"""``/instances/:id/stats``."""

from __future__ import annotations

from contextlib import aclosing

from asgiref.sync import sync_to_async

from compute import statshub
from compute.consumers.instance import InstanceSocket
from compute.models import Instance
from compute.selectors.instances import instance_get
from compute.sockets import ask_once


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
