"""Where the time of something goes: what each process computed while it was done, in the event loop of the
web process, in its threads, in the engine and in the bench itself."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Row, value
from tests.bench.wire import ENGINE_SOCKET
from tests.live import LiveConsole

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOP, _THREADS, _SELF = "web: its event loop", "web: its threads", "the bench itself"
Seconds = dict[str, float]


class Spent:
    """Of one stretch of time; ``rows`` once it is over."""

    def __init__(self) -> None:
        self.took_s = 0.0
        self.computed_s: Seconds = {}

    def rows(self, what: str, times: int) -> Iterator[Row]:
        """Of each of ``times`` that it was done, in milliseconds; what has hardly a share is left out."""
        for name, seconds in sorted(self.computed_s.items(), key=lambda item: -item[1]):
            if seconds > 0.01 * self.took_s:
                yield value(f"… {what}: processor of {name}", seconds / times * 1000, "ms")

    def shares(self, what: str) -> Iterator[Row]:
        """The same as shares of a core."""
        for name, seconds in sorted(self.computed_s.items(), key=lambda item: -item[1]):
            yield value(f"… {what}: processor of {name}", seconds / self.took_s * 100, "% of a core")


@contextmanager
def spent(console: LiveConsole, *processes: str, engine: bool = False) -> Iterator[Spent]:
    """While it lasts, by the web process, these others of the console, the engine, and this one."""
    pids = {name: console.pid(name) for name in processes}
    if engine:
        pids["the engine"] = _engine_pid()
    found, began, before = Spent(), time.perf_counter(), _computed(console, pids)
    yield found
    found.took_s = time.perf_counter() - began
    found.computed_s = {name: now - before[name] for name, now in _computed(console, pids).items()}


def _computed(console: LiveConsole, pids: Mapping[str, int]) -> Seconds:
    web = console.pid("web")
    loop = _seconds(Path(f"/proc/{web}/task/{web}/stat"))
    threads = _seconds(Path(f"/proc/{web}/stat")) - loop
    others = {name: _seconds(Path(f"/proc/{pid}/stat"), and_children=True) for name, pid in pids.items()}
    return {_LOOP: loop, _THREADS: threads, **others, _SELF: time.process_time()}


def _seconds(stat: Path, *, and_children: bool = False) -> float:
    """``and_children``: those that ended, too, as an engine has that unpacks in a process of its own."""
    words = stat.read_text(errors="replace").rpartition(")")[2].split()
    return sum(map(int, words[11 : 15 if and_children else 13])) / _TICKS


def _engine_pid() -> int:
    """Who listens at the engine's socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(ENGINE_SOCKET)
        told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[0])
