"""libvirt's events, as hints which domain or which kind of thing to read again."""

from __future__ import annotations

import contextlib
import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import libvirt

from compute.backends.types import EngineEvent
from compute.errors import BackendUnavailable, ComputeError
from kvm.engine.connection import Connection

_KINDS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
)
_ACTIONS = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: "define",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "undefine",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "start",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspend",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resume",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stop",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crash",
}
_POOL_KINDS = (libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH)
# What storage is mirrored; libvirt tells of pools alone, and who uses a volume is told by domains.
_STORAGE = ("pool", "volume", "image")
_CHANGE_USERS = ("define", "undefine", "start", "stop", "change")
# What events should have told is looked at so often: a few calls, however many domains there are.
_COMPARE_EVERY_S = 5.0
# No event tells that a guest got an address, so a started one is looked at again after these; some boot for
# minutes.
_LOOK_AGAIN_S = (5.0, 10.0, 15.0, 25.0, 45.0, 70.0, 100.0, 150.0, 240.0, 400.0, 600.0)


def events_follow(
    connection: Connection, stop: threading.Event, ready: Callable[[], None]
) -> Iterator[EngineEvent]:
    """Until ``stop`` or the loss of the daemon, which raises ``BackendUnavailable``."""
    inbox: queue.Queue[EngineEvent] = queue.Queue()
    later: list[tuple[float, str]] = []
    conn = connection.open()

    def heard(conn: Any, domain: Any, *details: Any) -> None:
        action = _action(details)
        inbox.put(EngineEvent(domain.UUIDString(), action))
        if action in _CHANGE_USERS:
            storage_changed()

    def storage_changed(*details: Any) -> None:
        for kind in _STORAGE:
            inbox.put(EngineEvent("", "change", kind=kind))

    def network_changed(*details: Any) -> None:
        inbox.put(EngineEvent("", "change", kind="network"))

    ids = connection.call(lambda c: [c.domainEventRegisterAny(None, kind, heard, None) for kind in _KINDS])
    pool_ids = connection.call(
        lambda c: [c.storagePoolEventRegisterAny(None, kind, storage_changed, None) for kind in _POOL_KINDS]
    )
    network_id = connection.call(
        lambda c: c.networkEventRegisterAny(
            None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, network_changed, None
        )
    )
    try:
        compared = _Compared(connection)
        ready()
        while not stop.is_set():
            if not conn.isAlive():
                raise BackendUnavailable(
                    f"libvirt on {connection.node.name} was lost: the daemon stopped or hangs."
                )
            yield from _next(inbox, later)
            yield from compared.due()
    finally:
        for number in ids:
            with contextlib.suppress(libvirt.libvirtError):
                conn.domainEventDeregisterAny(number)
        for number in pool_ids:
            with contextlib.suppress(libvirt.libvirtError):
                conn.storagePoolEventDeregisterAny(number)
        with contextlib.suppress(libvirt.libvirtError):
            conn.networkEventDeregisterAny(network_id)


@dataclass(frozen=True)
class _Stamp:
    """What a host has, as few calls tell it however much that is: each domain with its state, and what
    there is of networks and pools. Events should tell whatever differs; that they do is not left to faith."""

    domains: dict[str, tuple[Any, ...]]
    networks: tuple[list[str], list[str]]
    pools: tuple[list[str], list[str]]


class _Compared:
    """Looks at the stamp now and then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stamp, self._at = self._look(), time.monotonic()

    def due(self) -> Iterator[EngineEvent]:
        """What differs, when it is time to look."""
        if time.monotonic() - self._at < _COMPARE_EVERY_S:
            return
        before, self._stamp, self._at = self._stamp, self._look(), time.monotonic()
        if before is not None and self._stamp is not None:
            yield from _different(before, self._stamp)

    def _look(self) -> _Stamp | None:
        """None when the host does not tell. Whether it answers at all is looked after by the watcher."""
        with contextlib.suppress(ComputeError):
            return self._connection.call(_stamp)
        return None


def _stamp(conn: libvirt.virConnect) -> _Stamp:
    told = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    return _Stamp(
        {domain.UUIDString(): (domain.name(), *sorted(stats.items())) for domain, stats in told},
        (sorted(conn.listNetworks()), sorted(conn.listDefinedNetworks())),
        (sorted(conn.listStoragePools()), sorted(conn.listDefinedStoragePools())),
    )


def _different(before: _Stamp, now: _Stamp) -> Iterator[EngineEvent]:
    """To be looked at again: mostly what an event told already, which costs a look."""
    for uuid in {uuid for uuid, _ in before.domains.items() ^ now.domains.items()}:
        yield EngineEvent(uuid, "compare")
    if before.networks != now.networks:
        yield EngineEvent("", "compare", kind="network")
    if before.pools != now.pools:
        for kind in _STORAGE:
            yield EngineEvent("", "compare", kind=kind)


def _action(details: tuple[Any, ...]) -> str:
    """Callbacks of each kind of event get something else, with what was registered at the end."""
    if len(details) == 3:
        return _ACTIONS.get(details[0], "")
    # The guest gave memory back, or took some: nobody uses other storage for that.
    return "balloon" if len(details) == 2 and isinstance(details[0], int) else "change"


def _next(inbox: queue.Queue[EngineEvent], later: list[tuple[float, str]]) -> Iterator[EngineEvent]:
    now = time.monotonic()
    while later and later[0][0] <= now:
        yield EngineEvent(heapq.heappop(later)[1], "look again")
    try:
        event = inbox.get(timeout=0.3)
    except queue.Empty:
        return
    if event.action == "start":
        for seconds in _LOOK_AGAIN_S:
            heapq.heappush(later, (now + seconds, event.engine_id))
    yield event
