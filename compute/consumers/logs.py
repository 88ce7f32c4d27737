"""``/instances/:id/logs``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from compute import streams
from compute.api.base import Parse, boolean
from compute.api.log_query import tail_of, time_of
from compute.consumers.instance import InstanceSocket
from compute.errors import ComputeError
from compute.loghub import Batch, Piece, Shown, Wanted

_QUERY: dict[str, Parse] = {
    "tail": tail_of,
    "since": time_of,
    "timestamps": boolean,
    "stdout": boolean,
    "stderr": boolean,
}
# More than a page can show in a second waits in the viewer's queue, which lets the oldest go.
_LINES_PER_S = 4000


class Logs(InstanceSocket):
    """Lines in small batches, ``{"type": "logs"}``, and between them ``{"type": "mark"}``."""

    action = "instance.logs"

    async def start(self) -> None:
        asked = self.asked(_QUERY)
        self._wanted = Wanted(tail=asked.pop("tail", 200), since=asked.pop("since", None))
        self._shown = Shown(**asked)
        await streams.content_allowed(self.actor, self.instance_id, self.action)
        self.run(self._follow())

    async def still_allowed(self) -> None:
        await self.content_allowed()

    async def _follow(self) -> None:
        try:
            async with aclosing(streams.logs_follow(self.actor, self.instance_id, self._wanted)) as pieces:
                async for piece in pieces:
                    await self._show(piece)
        except ComputeError as error:
            await self.fail(error)
        await self.end(1000, "The instance is gone, so its log has ended.")

    async def _show(self, piece: Piece) -> None:
        text = piece.envelope(self._shown)
        if text:
            await self.deliver(text)
        if isinstance(piece, Batch) and len(piece.lines) > _LINES_PER_S / 40:
            await asyncio.sleep(len(piece.lines) / _LINES_PER_S)
