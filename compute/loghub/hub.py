"""Who reads what: one source per instance and event loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from compute.backends.base import Backend
from compute.backends.types import LogLine, LogQuery, nanos_time
from compute.errors import InstanceNotFound, OperationNotSupported
from compute.loghub.pieces import Batch, Mark, Piece, Seen
from compute.loghub.source import RING_LINES, Source
from compute.loghub.viewer import Viewer
from compute.models import Instance

# Reopening a tab must not open a stream again.
_GRACE_S = 5.0
_SETTLE_S = 1.0
# Readings of earlier lines at once, in the whole process.
_HISTORIES = 4
_JOIN_TRIES = 5
# How many of the last lines are compared where two readings meet.
_COMPARED = 2000
_FIRST_TAIL = 50
_OVERLAP = timedelta(seconds=0.5)


@dataclass(frozen=True)
class Wanted:
    """``tail`` None is the whole log. A viewer that ``goes_on`` stays when the instance stops, and
    sees what it says when it is started again."""

    tail: int | None = 200
    since: datetime | None = None
    goes_on: bool = True


class _Hub:
    """The sources of one event loop."""

    def __init__(self) -> None:
        self.sources: dict[Any, Source] = {}
        self.histories = asyncio.Semaphore(_HISTORIES)

    def take(self, instance: Instance, backend: Backend, wanted: Wanted) -> Source:
        source = self.sources.get(instance.pk)
        if source is None or source.is_over:
            # Who asks first for the last lines gets them from the stream itself.
            tail = wanted.tail if wanted.since is None and wanted.tail is not None else _FIRST_TAIL
            source = self.sources[instance.pk] = Source(instance, backend, min(tail, RING_LINES))
        source.users += 1
        return source

    def give_back(self, key: Any, source: Source) -> None:
        source.users -= 1
        if source.users == 0:
            asyncio.get_running_loop().call_later(_GRACE_S, self._close_unused, key, source)

    def _close_unused(self, key: Any, source: Source) -> None:
        if source.users == 0:
            source.close()
            if self.sources.get(key) is source:
                del self.sources[key]


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = weakref.WeakKeyDictionary()


def _hub() -> _Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), _Hub())


def sources_open() -> int:
    """How many logs are being read in this event loop."""
    return sum(not source.is_over for source in _hub().sources.values())


async def follow(instance: Instance, backend: Backend, wanted: Wanted) -> AsyncGenerator[Piece, None]:
    """The asked-for lines of before, then what comes; close it when done (``aclosing``).

    Ends when the instance is gone, and, unless ``wanted.goes_on``, when it stops. Raises
    ``ComputeError`` when the log cannot be read.
    """
    if wanted.since is not None and not backend.logs_have_times:
        raise OperationNotSupported(
            "A serial console has no times to select by; use tail.", capability="logs"
        )
    hub = _hub()
    source = hub.take(instance, backend, wanted)
    viewer: Viewer | None = None
    try:
        if source.covers(wanted.tail, wanted.since):
            viewer = Viewer(goes_on=wanted.goes_on)
            source.attach(viewer, _kept(source, wanted))
        else:
            async with hub.histories:
                got: list[LogLine] = []
                async with aclosing(_earlier(source, wanted, got)) as earlier:
                    async for batch in earlier:
                        yield batch
            viewer = Viewer(goes_on=wanted.goes_on, seen=Seen(got))
            if not _meets(source, got):
                yield Mark("skipped", "… lines are missing here …")
            source.attach(viewer, _kept(source, replace(wanted, tail=None)))
        while (piece := await _next(source, viewer)) is not None:
            yield piece
        if source.is_over:
            yield Mark("gone", "It was removed, so its log has ended.")
    finally:
        if viewer is not None:
            source.viewers.discard(viewer)
        hub.give_back(instance.pk, source)


async def _next(source: Source, viewer: Viewer) -> Piece | None:
    try:
        return await viewer.get()
    except InstanceNotFound:
        if source.was_open:
            return None
        raise


def _kept(source: Source, wanted: Wanted) -> Sequence[LogLine]:
    lines: Sequence[LogLine] = list(source.ring)
    if wanted.since is not None:
        since = wanted.since
        lines = [line for line in lines if line.timestamp is None or line.timestamp >= since]
    if wanted.tail is None:
        return lines
    return lines[-wanted.tail :] if wanted.tail else []


async def _earlier(source: Source, wanted: Wanted, got: list[LogLine]) -> AsyncGenerator[Batch, None]:
    """Read up to where the source's own lines begin; the last ones read are left in ``got``."""
    query = LogQuery(tail=wanted.tail, since=wanted.since)
    for _ in range(_JOIN_TRIES):
        seen = Seen(got)
        async with aclosing(source.history(query)) as batches:
            async for lines in batches:
                fresh = seen.fresh(lines)
                got += fresh
                del got[:-_COMPARED]
                if fresh:
                    yield Batch(fresh)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(source.settled.wait(), _SETTLE_S)
        if _meets(source, got):
            return
        newest = max(line.nanos or 0 for line in got)
        query = LogQuery(tail=None, since=nanos_time(newest) - _OVERLAP)


def _meets(source: Source, got: list[LogLine]) -> bool:
    """Whether nothing can lie between what was read and what the source keeps."""
    if not source.ring or not got:
        return True
    newest = max(line.nanos or 0 for line in got)
    return (source.ring[0].nanos or 0) <= newest
