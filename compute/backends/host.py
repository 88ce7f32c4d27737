"""What this machine uses, from the kernel's own files: for nodes whose engine runs here."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from compute.backends.types import Usage

# Ends of what runs here, and bridges between them: their bytes were or will be counted elsewhere.
_INNER = re.compile(r"lo$|veth|docker|br-|virbr|vnet|tap|tun|cni|flannel|podman|ifb|dummy")
_DISK = re.compile(r"(?:[hsv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$")
_SECTOR_BYTES = 512
_PROC = Path("/proc")


class HostReader:
    """Remembers the last look at the CPU, for its share since then."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._last: tuple[float, float] | None = None

    def read(self) -> Usage:
        """Raises ``OSError`` where the files are not there."""
        now, busy_s = time.monotonic(), self._busy_s()
        with self._lock:
            before, self._last = self._last, (now, busy_s)
        percent = None
        if before is not None and now - before[0] > 0.1:
            percent = round(max(0.0, 100 * (busy_s - before[1]) / (now - before[0])), 2)
        memory = self._memory()
        received, sent = self._network()
        read, written = self._disks()
        return Usage(
            timestamp=datetime.now(timezone.utc),
            cpu_percent=percent,
            memory_bytes=memory["MemTotal"] - memory.get("MemAvailable", memory.get("MemFree", 0)),
            memory_limit_bytes=memory["MemTotal"],
            network_rx_bytes=received,
            network_tx_bytes=sent,
            disk_read_bytes=read,
            disk_write_bytes=written,
        )

    def _busy_s(self) -> float:
        """Seconds of all cores that were neither idle nor waiting for a disk."""
        words = (self._proc / "stat").read_text().splitlines()[0].split()[1:9]
        ticks = [int(word) for word in words]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> dict[str, int]:
        lines = (line.split() for line in (self._proc / "meminfo").read_text().splitlines())
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}

    def _network(self) -> tuple[int, int]:
        received = sent = 0
        for line in (self._proc / "net" / "dev").read_text().splitlines()[2:]:
            name, _, values = line.partition(":")
            if not _INNER.match(name.strip()):
                fields = values.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
        return received, sent

    def _disks(self) -> tuple[int, int]:
        read = written = 0
        for line in (self._proc / "diskstats").read_text().splitlines():
            fields = line.split()
            if _DISK.match(fields[2]):
                read, written = read + int(fields[5]), written + int(fields[9])
        return read * _SECTOR_BYTES, written * _SECTOR_BYTES
