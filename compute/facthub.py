"""Facts for all who look on: heard once in each event loop, whatever the number of sockets. Who may see one
is found by its audience; its text is made once for all of them.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Protocol

import orjson
import structlog
from redis.exceptions import RedisError

from compute.broadcast import messages_heard
from compute.errors import BackendUnavailable
from compute.events import EVERYTHING, FACTS

log = structlog.get_logger(__name__)

# How long somebody who joins waits for the broker, and how long the hub pauses before it asks it again.
_READY_MAX_S, _AGAIN_S = 2.0, 1.0
# What a message that is none of ours makes the hub stumble over: then nobody may be deaf without knowing.
_SENSELESS = (ValueError, TypeError, LookupError)


class Told:
    """A fact on its way to the screens."""

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        self.envelope = envelope
        self.type: str = envelope["type"]
        self.data: Mapping[str, Any] = envelope["data"]

    @cached_property
    def text(self) -> str:
        return orjson.dumps(self.envelope, default=str).decode()


class Listener(Protocol):
    """One who is told. Compared by identity."""

    def fact(self, told: Told) -> None:
        """In the event loop, at once: it queues what it wants and returns."""

    def facts_lost(self) -> None:
        """The same: the broker was lost, and what happens until it is back is not told."""


class _Hub:
    """The listeners of one event loop, and the task that hears for them while there are any."""

    def __init__(self) -> None:
        self._audiences: dict[Listener, frozenset[str]] = {}
        self._listeners: dict[str, set[Listener]] = {}
        self._ready = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ready(self) -> None:
        """Returns when nothing that is told from now on is missed. Raises ``BackendUnavailable``."""
        try:
            await asyncio.wait_for(self._ready.wait(), _READY_MAX_S)
        except asyncio.TimeoutError:
            raise BackendUnavailable("The broker does not answer, so no news come; connect again.") from None

    def put(self, listener: Listener, audiences: frozenset[str]) -> None:
        """What it sees from now on; nothing is the end."""
        before = self._audiences.get(listener, frozenset())
        for audience in before - audiences:
            self._listeners[audience].discard(listener)
            if not self._listeners[audience]:
                del self._listeners[audience]
        for audience in audiences - before:
            self._listeners.setdefault(audience, set()).add(listener)
        self._audiences[listener] = audiences

    def remove(self, listener: Listener) -> None:
        self.put(listener, frozenset())
        del self._audiences[listener]
        if not self._audiences:
            self._task.cancel()

    def __contains__(self, listener: Listener) -> bool:
        return listener in self._audiences

    @property
    def is_over(self) -> bool:
        return not self._audiences

    async def _run(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, *_SENSELESS) as error:
                log.warning("facts_not_heard", reason=repr(error))
            self._tell_lost()
            await asyncio.sleep(_AGAIN_S)

    async def _hear(self) -> None:
        async with messages_heard(FACTS) as messages:
            self._ready.set()
            async for message in messages:
                self._tell(message["audience"], Told(message["envelope"]))

    def _tell_lost(self) -> None:
        """Only once for each time: who waits to be heard for has lost nothing."""
        if not self._ready.is_set():
            return
        self._ready.clear()
        for listener in self._audiences:
            asyncio.get_running_loop().call_soon(listener.facts_lost)

    def _tell(self, audience: str, told: Told) -> None:
        """Nobody belongs both to those who see everything and to others. Each is called by the loop, so one
        that fails makes nobody else deaf."""
        call_soon = asyncio.get_running_loop().call_soon
        for which in {EVERYTHING, audience}:
            for listener in self._listeners.get(which, ()):
                call_soon(listener.fact, told)


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = weakref.WeakKeyDictionary()


async def join(listener: Listener, audiences: Collection[str]) -> None:
    """Tell it what these see (``compute.events``), and nothing else any more; end it with ``leave``.
    Raises ``BackendUnavailable`` while the broker is away."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None or hub.is_over:
        hub = _hubs[loop] = _Hub()
    is_new = listener not in hub
    hub.put(listener, frozenset(audiences))
    if is_new:
        await hub.ready()


def leave(listener: Listener) -> None:
    """It is told nothing more. One that never joined may leave, too."""
    hub = _hubs.get(asyncio.get_running_loop())
    if hub is not None and listener in hub:
        hub.remove(listener)
