"""The kernel's own end of a process whose memory is full: a control group with a limit that it is above."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup/memory")
# Not even what a process needs to go on.
_LIMIT_BYTES = 4096


def out_of_memory(pid: int, poke: Callable[[], object] = lambda: None, within_s: float = 20) -> None:
    """Wait until the kernel has killed this process for want of memory; it tells so itself. A process that
    asks for none in that time fails the test: ``poke`` gives it something to do."""
    group = _GROUPS / f"libgo-t-{pid}-{os.urandom(2).hex()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "memory.limit_in_bytes").write_text(str(_LIMIT_BYTES))
        deadline = time.monotonic() + within_s
        while not _killed(group):
            assert time.monotonic() < deadline, f"{pid} asked for no memory"
            poke()
            time.sleep(0.02)
    finally:
        _remove(group)


def _killed(group: Path) -> int:
    told = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
    return int(told["oom_kill"])


def _remove(group: Path) -> None:
    """Whoever is still in it goes back to where all are."""
    (group / "memory.limit_in_bytes").write_text("-1")
    for _ in range(100):
        for pid in (group / "cgroup.procs").read_text().split():
            (_GROUPS / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
            return
        except OSError:
            # One that is ending is in it until it has ended.
            time.sleep(0.05)
    group.rmdir()
