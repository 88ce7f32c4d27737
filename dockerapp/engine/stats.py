"""Usage of containers: from the kernel's own files where the engine is local (a few ms for all),
else from the engine's statistics (about a second each, so many at once)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from docker import APIClient

from compute.backends.types import Usage
from compute.errors import ComputeError, InvalidState
from dockerapp.engine.client import EngineClient, as_list

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
_AT_ONCE = 100
_ANSWER_WITHIN_S = 10.0
# Two looks at a counter nearer than this say nothing about its speed.
_APART_S = 0.2


@dataclass(frozen=True)
class _Sample:
    at: float
    cpu_s: float
    usage: Usage


class UsageReader:
    """Remembers the last sample of each container, for the CPU's share since then."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._last: dict[str, _Sample] = {}
        self._lock = threading.Lock()

    def one(self, engine_id: str) -> Usage:
        """A fresh sample. Raises ``InvalidState`` when the container does not run."""
        first = self._sample(engine_id)
        with self._lock:
            known = engine_id in self._last
        if not known:
            self._finished(engine_id, first)
            time.sleep(_APART_S)
            first = self._sample(engine_id)
        return self._finished(engine_id, first)

    def all(self, engine_ids: Iterable[str], wrote: Mapping[str, int]) -> dict[str, Usage]:
        """Samples of those that run; the others are left out. ``wrote``: the sizes of their own layers."""
        ids = list(engine_ids)
        with self._lock:
            for gone in set(self._last) - set(ids):
                del self._last[gone]
        # A folder of the kernel with that very id is the proof that the container runs here.
        here = [key for key in ids if self._client.is_local and _cgroup_of(key) is not None]
        samples = {engine_id: self._sample_or_none(engine_id) for engine_id in here}
        elsewhere = [engine_id for engine_id in ids if engine_id not in samples]
        if elsewhere:
            samples |= zip(elsewhere, asyncio.run(self._asked(elsewhere)), strict=True)
        return {
            engine_id: replace(self._finished(engine_id, sample), storage_used_bytes=wrote.get(engine_id))
            for engine_id, sample in samples.items()
            if sample is not None
        }

    async def _asked(self, engine_ids: list[str]) -> list[_Sample | None]:
        """Of each, in order. The engine lets every question wait for its next measurement, up to a
        second, so many are asked at once; they cost neither side a thread."""
        docker, room = self._client.stream_client(), asyncio.Semaphore(_AT_ONCE)

        async def one(engine_id: str) -> _Sample | None:
            path, params = f"containers/{engine_id}/stats", {"stream": "false", "one-shot": "true"}
            async with room:
                try:
                    answer = docker.object(path, params=params)
                    return _from_engine(await asyncio.wait_for(answer, _ANSWER_WITHIN_S))
                except (
                    ComputeError,
                    aiodocker.DockerError,
                    aiohttp.ClientError,
                    asyncio.TimeoutError,
                    OSError,
                    ValueError,
                ):
                    # It does not run (Podman then sends nothing at all), or the engine is lost.
                    return None

        try:
            return list(await asyncio.gather(*(one(engine_id) for engine_id in engine_ids)))
        finally:
            await docker.close()

    def _sample_or_none(self, engine_id: str) -> _Sample | None:
        try:
            return self._sample(engine_id)
        except ComputeError:
            return None

    def _sample(self, engine_id: str) -> _Sample:
        if self._client.is_local:
            files = _cgroup_of(engine_id)
            if files is not None:
                try:
                    return _from_kernel(files)
                except OSError as error:
                    # It ended between the look for its files and reading them.
                    raise InvalidState("The container does not run.", state="stopped") from error
        return _from_engine(self._client.call(lambda api: _statistics(api, engine_id)))

    def _finished(self, engine_id: str, sample: _Sample) -> Usage:
        with self._lock:
            before, self._last[engine_id] = self._last.get(engine_id), sample
        percent = None
        if before is not None and sample.at - before.at >= _APART_S / 2:
            percent = max(0.0, 100 * (sample.cpu_s - before.cpu_s) / (sample.at - before.at))
        return Usage(
            **{**sample.usage.__dict__, "cpu_percent": None if percent is None else round(percent, 2)}
        )


def _statistics(api: APIClient, engine_id: str) -> dict[str, Any]:
    """One answer of the engine; Podman sends nothing at all for what does not run."""
    params = {"stream": "false", "one-shot": "true"}
    response = api._get(api._url("/containers/{0}/stats", engine_id), params=params)
    api._raise_for_status(response)
    return dict(response.json()) if response.content.strip() else {}


def _cgroup_of(engine_id: str) -> dict[str, Path] | None:
    """Where the kernel counts for this container: one folder (v2) or one per controller (v1)."""
    for name in (f"docker/{engine_id}", f"system.slice/docker-{engine_id}.scope"):
        if (_CGROUP / name / "cpu.stat").exists() and (_CGROUP / name / "memory.current").exists():
            return {"unified": _CGROUP / name}
        parts = {part: _CGROUP / part / name for part in ("cpuacct", "memory", "blkio", "pids")}
        if parts["cpuacct"].is_dir() and parts["memory"].is_dir():
            return parts
    return None


def _from_kernel(files: Mapping[str, Path]) -> _Sample:
    unified = files.get("unified")
    if unified is not None:
        cpu_s = _field(unified / "cpu.stat", "usage_usec") / 1e6
        memory = _number(unified / "memory.current") - _field(unified / "memory.stat", "inactive_file")
        limit, pids_file, procs = _number(unified / "memory.max"), unified / "pids.current", unified
        read, written = _io_v2(unified / "io.stat")
    else:
        cpu_s = _number(files["cpuacct"] / "cpuacct.usage") / 1e9
        memory = _number(files["memory"] / "memory.usage_in_bytes") - _field(
            files["memory"] / "memory.stat", "total_inactive_file"
        )
        limit, procs = _number(files["memory"] / "memory.limit_in_bytes"), files["cpuacct"]
        pids_file = files["pids"] / "pids.current"
        read, written = _io_v1(files["blkio"] / "blkio.throttle.io_service_bytes")
    received, sent = _network(procs / "cgroup.procs")
    usage = Usage(
        timestamp=datetime.now(timezone.utc),
        cpu_percent=None,
        memory_bytes=max(0, memory),
        memory_limit_bytes=limit if 0 < limit < _UNLIMITED else None,
        network_rx_bytes=received,
        network_tx_bytes=sent,
        disk_read_bytes=read,
        disk_write_bytes=written,
        pids=_number(pids_file) if pids_file.exists() else None,
    )
    return _Sample(time.monotonic(), cpu_s, usage)


def _number(path: Path) -> int:
    text = path.read_text().strip()
    return int(text) if text.isdigit() else _UNLIMITED


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _io_v1(path: Path) -> tuple[int, int]:
    totals = {"Read": 0, "Write": 0}
    if path.exists():
        for line in path.read_text().splitlines():
            parts = line.split()
            if len(parts) == 3 and parts[1] in totals:
                totals[parts[1]] += int(parts[2])
    return totals["Read"], totals["Write"]


def _io_v2(path: Path) -> tuple[int, int]:
    totals = {"rbytes": 0, "wbytes": 0}
    if path.exists():
        for word in path.read_text().split():
            key, _, value = word.partition("=")
            if key in totals:
                totals[key] += int(value)
    return totals["rbytes"], totals["wbytes"]


def _network(procs: Path) -> tuple[int | None, int | None]:
    """Counters of the container's own network name space, without its loopback."""
    pids = procs.read_text().split()
    if not pids:
        return None, None
    try:
        lines = Path(f"/proc/{pids[0]}/net/dev").read_text().splitlines()[2:]
    except OSError:
        return None, None
    rows = [line.partition(":")[::2] for line in lines]
    fields = [values.split() for name, values in rows if name.strip() != "lo"]
    return sum(int(row[0]) for row in fields), sum(int(row[8]) for row in fields)


def _from_engine(doc: Mapping[str, Any]) -> _Sample:
    cpu = ((doc.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    memory = doc.get("memory_stats") or {}
    if not cpu or str(doc.get("read", "")).startswith("0001"):
        raise InvalidState("The container does not run.", state="stopped")
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    limit = int(memory.get("limit") or 0)
    networks = (doc.get("networks") or {}).values()
    entries = as_list((doc.get("blkio_stats") or {}).get("io_service_bytes_recursive"))
    usage = Usage(
        timestamp=datetime.now(timezone.utc),
        cpu_percent=None,
        memory_bytes=max(0, int(memory.get("usage") or 0) - int(cache)),
        memory_limit_bytes=limit if 0 < limit < _UNLIMITED else None,
        network_rx_bytes=sum(int(item.get("rx_bytes", 0)) for item in networks),
        network_tx_bytes=sum(int(item.get("tx_bytes", 0)) for item in networks),
        disk_read_bytes=sum(int(e["value"]) for e in entries if e.get("op", "").lower() == "read"),
        disk_write_bytes=sum(int(e["value"]) for e in entries if e.get("op", "").lower() == "write"),
        pids=(doc.get("pids_stats") or {}).get("current"),
    )
    return _Sample(time.monotonic(), int(cpu) / 1e9, usage)
