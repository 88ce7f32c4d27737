"""What is true after the storm, asked of the engines themselves."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from kvm.backend import KvmBackend
from tests.load.place import Place

# Until the pools of threads and connections of a process are full.
WARM_S = 30.0
# Threads of all pools of one process together.
POOLS = 64
_LEAVES = {
    "instance.start": "running",
    "instance.restart": "running",
    "instance.unpause": "running",
    "instance.stop": "stopped",
    "instance.kill": "stopped",
    "instance.pause": "paused",
}


def engine_states(place: Place) -> dict[str, str]:
    """Name to state of all containers and machines, as the engines say."""
    backends = (
        DockerBackend(NodeConfig("look-d", "look-d", "docker", place.engine.url)),
        KvmBackend(NodeConfig("look-k", "look-k", "kvm", place.host.url, {"virt_type": "qemu"})),
    )
    found = {}
    for backend in backends:
        found.update({info.name: str(info.state) for info in backend.instance_list()})
        backend.close()
    return found


def engine_volumes(place: Place) -> set[str]:
    client = docker.DockerClient(base_url=place.engine.url)
    try:
        return {volume.name for volume in client.volumes.list()}
    finally:
        client.close()


def expected(operations: Sequence[dict[str, Any]]) -> dict[str, str]:
    """By id, each instance that operations made, and the state in which the last of them left it: ``made``
    where that says nothing of a state, ``?`` where a delete did not end well, so that it may be gone."""
    found: dict[str, str] = {}
    for row in operations:
        uid, word, is_well = row["instance"], row["action"], row["state"] == "succeeded"
        if is_well and word in ("instance.create", "instance.clone"):
            found[uid] = "made"
        elif uid not in found:
            continue
        elif word == "instance.delete":
            found[uid] = "gone" if is_well else "?"
        elif found[uid] not in ("gone", "?"):
            found[uid] = _LEAVES.get(word, found[uid]) if is_well else "made"
    return {uid: state for uid, state in found.items() if state != "gone"}


def differences(wanted: dict[str, str], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Where the list is not what the operations left; ``rows``: of the API."""
    # What never ran is as it was when it is stopped.
    states = {row["id"]: row["state"].replace("created", "stopped") for row in rows}
    found = [f"{row['name']} ({row['id']}): nobody made it" for row in rows if row["id"] not in wanted]
    for uid, state in wanted.items():
        if uid not in states and state != "?":
            found.append(f"{uid}: was made ({state}), and is not there")
        elif state not in ("?", "made", states.get(uid, "?")):
            found.append(f"{uid}: was left {state}, is {states[uid]}")
    return found


def growth(samples: Sequence[tuple[float, int, int]]) -> tuple[float, int, int]:
    """Of the process that lived longest: for how many seconds after its own warm-up, and its bytes at the
    beginning and at the end of these."""
    lives: dict[int, list[tuple[float, int]]] = {}
    for at_s, pid, size in samples:
        lives.setdefault(pid, []).append((at_s, size))
    longest = max(lives.values(), key=lambda life: life[-1][0] - life[0][0])
    warm = [row for row in longest if row[0] >= longest[0][0] + WARM_S] or longest[-1:]
    fifth = max(1, len(warm) // 5)
    first, last = ([size for _, size in part] for part in (warm[:fifth], warm[-fifth:]))
    return warm[-1][0] - warm[0][0], int(statistics.median(first)), int(statistics.median(last))


def leaks(before: dict[str, tuple[int, int]], now: dict[str, tuple[int, int]]) -> list[str]:
    """By process, what is open beyond what its threads may each keep (a connection to the broker), and
    threads beyond what its pools may have; ``before`` and ``now``: files and threads."""
    found = []
    for name, (files, threads) in now.items():
        if threads > POOLS or files > before[name][0] + max(threads, 16):
            found.append(f"{name}: {before[name]} files and threads before, {(files, threads)} now")
    return found


def opened(pid: int) -> list[str]:
    """What a process holds: files, and where its sockets lead."""
    unix, tcp = _sockets("-xpaH"), _sockets("-tpanH")
    ends = {row[5]: row[4] for row in unix}
    mark = f"pid={pid},"
    lines = [f"{row[0]} {row[1]} {row[4]} to {ends.get(row[7], row[6])}" for row in unix if mark in row[-1]]
    lines += [f"tcp {row[0]} {row[3]} to {row[4]}" for row in tcp if mark in row[-1]]
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if not (target := os.readlink(link)).startswith("socket:"):
                lines.append(target.partition(":[")[0])
    return [f"{n} × {line}" for line, n in Counter(lines).most_common()]


def _sockets(flags: str) -> list[list[str]]:
    """The columns of ``ss``, that of processes last where it has one."""
    told = subprocess.run(["ss", flags], capture_output=True, text=True, check=True).stdout
    return [row.split() for row in told.splitlines()]
