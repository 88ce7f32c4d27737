"""Usage of domains: one bulk call for all that run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import libvirt

from compute.backends.host import HostReader
from compute.backends.types import Usage
from kvm.engine.connection import Connection
from kvm.engine.domains import active_require, lookup

_GROUPS = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_APART_S = 0.2


class UsageReader:
    """Remembers the last CPU time of each domain, for its share since then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._host = HostReader()
        self._last_host: tuple[float, int] | None = None

    def host(self) -> Usage | None:
        """Of this machine all that the kernel tells, of others what libvirt does; None of a test driver."""
        if self._connection.is_test_driver:
            return None
        if self._connection.is_local:
            return self._host.read()

        def method(conn: libvirt.virConnect) -> tuple[dict[str, int], dict[str, int]]:
            cpu = conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS, 0)
            return cpu, conn.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)

        cpu, memory = self._connection.call(method)
        now, busy_ns = time.monotonic(), int(cpu.get("kernel", 0)) + int(cpu.get("user", 0))
        with self._lock:
            before, self._last_host = self._last_host, (now, busy_ns)
        percent = None
        if before is not None and now - before[0] >= _APART_S / 2:
            percent = round(max(0.0, (busy_ns - before[1]) / 1e7 / (now - before[0])), 2)
        free = sum(int(memory.get(name, 0)) for name in ("free", "buffers", "cached"))
        return Usage(
            timestamp=datetime.now(timezone.utc),
            cpu_percent=percent,
            memory_bytes=max(0, int(memory["total"]) - free) * 1024,
            memory_limit_bytes=int(memory["total"]) * 1024,
        )

    def one(self, engine_id: str) -> Usage:
        """A fresh sample. Raises ``InvalidState`` when it does not run."""
        active_require(self._connection, engine_id)
        if engine_id not in self._last:
            self._usage(engine_id, self._stats(engine_id))
            time.sleep(_APART_S)
        return self._usage(engine_id, self._stats(engine_id))

    def all(self) -> dict[str, Usage]:
        def method(conn: libvirt.virConnect) -> list[tuple[str, dict[str, Any]]]:
            flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
            return [(domain.UUIDString(), stats) for domain, stats in conn.getAllDomainStats(_GROUPS, flags)]

        found = self._connection.call(method)
        with self._lock:
            for gone in set(self._last) - {engine_id for engine_id, _ in found}:
                del self._last[gone]
        return {engine_id: self._usage(engine_id, stats) for engine_id, stats in found}

    def _stats(self, engine_id: str) -> dict[str, Any]:
        def method(conn: libvirt.virConnect) -> dict[str, Any]:
            return dict(conn.domainListGetStats([lookup(conn, engine_id)], _GROUPS)[0][1])

        return self._connection.call(method)

    def _usage(self, engine_id: str, stats: Mapping[str, Any]) -> Usage:
        now, cpu_ns = time.monotonic(), int(stats.get("cpu.time", 0))
        with self._lock:
            before, self._last[engine_id] = self._last.get(engine_id), (now, cpu_ns)
        percent = None
        if before is not None and now - before[0] >= _APART_S / 2:
            percent = round(max(0.0, (cpu_ns - before[1]) / 1e7 / (now - before[0])), 2)
        return Usage(
            timestamp=datetime.now(timezone.utc),
            cpu_percent=percent,
            memory_bytes=_memory(stats),
            memory_limit_bytes=_times_1024(stats.get("balloon.maximum")),
            network_rx_bytes=_sum(stats, "net", "rx.bytes"),
            network_tx_bytes=_sum(stats, "net", "tx.bytes"),
            disk_read_bytes=_sum(stats, "block", "rd.bytes"),
            disk_write_bytes=_sum(stats, "block", "wr.bytes"),
        )


def _memory(stats: Mapping[str, Any]) -> int | None:
    """What the guest says it uses, else what its process holds on the host."""
    available, unused = stats.get("balloon.available"), stats.get("balloon.unused")
    if available is not None and unused is not None:
        return (int(available) - int(unused)) * 1024
    return _times_1024(stats.get("balloon.rss", stats.get("balloon.current")))


def _times_1024(value: Any) -> int | None:
    return None if value is None else int(value) * 1024


def _sum(stats: Mapping[str, Any], group: str, name: str) -> int:
    count = int(stats.get(f"{group}.count", 0))
    return sum(int(stats.get(f"{group}.{number}.{name}", 0)) for number in range(count))
