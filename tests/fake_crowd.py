"""A console whose nodes are fake engines with hundreds of instances each, which change when told to.

The fake engine lives in the process that uses it, so every process of the console fills its own with the
same instances; the watcher's is the one that changes. It is announced like any third party's backend, by
an entry point that stands on the console's ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

from compute.backends.fake import FakeBackend, FakeEngine
from compute.backends.types import (
    EngineEvent,
    InstanceInfo,
    NetworkInfo,
    NodeInfo,
    PortInfo,
    ResourceInfo,
    Usage,
)
from compute.states import InstanceState, InstanceType
from tests.live import LiveConsole, until

NODES = 4
_RATE = "LIBGO_CROWD_RATE_FILE"
_IMAGES = (
    "nginx:1.27",
    "postgres:16",
    "redis:7",
    "registry.example.test/shop/api:4.2",
    "debian-12",
    "ubuntu-24.04",
)
_ROLES = ("web", "db", "cache", "api", "build", "desk")
_TEAMS = ("shop", "data", "platform", "")
_MIB = 1024**2


class CrowdBackend(FakeBackend):
    """``url`` says how many: ``fake://250``."""

    name = "fake"
    title = "Fake"
    resource_kinds = frozenset({"network"})
    _fill_lock: ClassVar[threading.Lock] = threading.Lock()

    @property
    def engine(self) -> FakeEngine:
        engine = FakeEngine.of(self.node.id)
        with self._fill_lock:
            if not engine.instances:
                _fill(engine, self.node.name, int(self.node.url.rpartition("/")[2]))
        return engine

    def probe(self) -> NodeInfo:
        return replace(super().probe(), cpu_cores=256.0, memory_bytes=1024 * 1024 * _MIB)

    def resource_list(self, kind: str) -> list[ResourceInfo]:
        return [
            ResourceInfo(
                "network",
                f"{self.node.name}-{name}",
                name,
                data={"driver": "bridge", "ipam": [{"subnet": subnet}]},
            )
            for name, subnet in (("front", "10.1.0.0/16"), ("back", "10.2.0.0/16"), ("build", "10.3.0.0/16"))
        ]

    def usage_all(self) -> dict[str, Usage]:
        """Each wanders by its own clock."""
        now, found = datetime.now(timezone.utc), {}
        for info in list(self.engine.instances.values()):
            if info.state == InstanceState.RUNNING:
                chance = random.Random(f"{info.name}{int(now.timestamp()) // 2}")
                cores, memory = info.cpu_cores or 1.0, info.memory_bytes or _MIB
                found[info.engine_id] = Usage(
                    now, chance.uniform(0, 95) * cores, int(memory * chance.uniform(0.2, 0.9)), memory
                )
        return found

    def events(self, stop: threading.Event, ready: Callable[[], None]) -> Iterator[EngineEvent]:
        threading.Thread(target=_churn, args=(self.engine, stop), daemon=True).start()
        yield from super().events(stop, ready)


class CrowdConsole(LiveConsole):
    """``start`` returns when all are in the list; ``churn`` makes so many change their state each second."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self._rate = folder.parent / f"{folder.name}-rate"
        super().__init__(
            folder,
            PYTHONPATH=str(_announced(folder.parent / f"{folder.name}-path")),
            LIBGO_LIBVIRT_ENABLED="false",
            LIBGO_DOCKER_ENABLED="false",
            **{_RATE: str(self._rate)},
        )

    def start(self) -> LiveConsole:
        super().start()
        for number in range(NODES):
            body = {"name": f"rack-{number + 1}", "backend": "fake", "url": f"fake://{self.count // NODES}"}
            answer = self.api("POST", "/nodes", body)
            assert answer.status_code in (200, 201, 202), answer.text
        until(lambda: self.get("/compute/instances?page_size=1")["total"] == self.count, "all are seen", 120)
        return self

    def churn(self, per_second: float, spared: str = "") -> None:
        """The one called ``spared`` stays as it is."""
        self._rate.write_text(f"{per_second} {spared}")


def _announced(folder: Path) -> Path:
    """A folder that announces ``CrowdBackend`` to whoever has it on the path."""
    info = folder / "libgo_crowd-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: libgo-crowd\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[libgo.backends]\nfake = tests.fake_crowd:CrowdBackend\n")
    return folder


def _fill(engine: FakeEngine, node: str, count: int) -> None:
    chance = random.Random(node)
    for number in range(count):
        info = _instance(chance, node, number)
        engine.instances[info.engine_id] = info


def _instance(chance: random.Random, node: str, number: int) -> InstanceInfo:
    role, image, team = chance.choice(_ROLES), chance.choice(_IMAGES), chance.choice(_TEAMS)
    is_machine = ":" not in image
    state = chance.choices(
        [InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.PAUSED, InstanceState.ERROR],
        [80, 14, 4, 2],
    )[0]
    made = datetime.now(timezone.utc) - timedelta(hours=chance.randint(1, 9000))
    labels = {"team": team, "role": role} if team else {}
    if not is_machine and chance.random() < 0.6:
        labels["com.docker.compose.project"] = f"{team or 'misc'}-{chance.randint(1, 6)}"
    rack = node.rpartition("-")[2]
    networks = [NetworkInfo("front", "02:00:00:00:00:01", f"10.1.{rack}.{number % 250 + 2}")]
    if chance.random() < 0.3:
        networks.append(NetworkInfo("back", "02:00:00:00:00:02", f"10.2.{rack}.{number % 250 + 2}"))
    return InstanceInfo(
        engine_id=uuid.UUID(int=chance.getrandbits(128)).hex,
        name=f"{role}-{rack}-{number:03}",
        type=InstanceType.VM if is_machine else InstanceType.CONTAINER,
        state=state,
        status=str(state).capitalize(),
        health="unhealthy" if chance.random() < 0.02 else "",
        image=image,
        cpu_cores=float(chance.choice((1, 2, 4, 8))),
        memory_bytes=chance.choice((256, 512, 2048, 8192)) * _MIB,
        networks=tuple(networks),
        ports=(PortInfo("0.0.0.0", 8000 + number, 80, "tcp"),) if role == "web" else (),
        labels=labels,
        created_at=made,
        started_at=made,
    )


def _churn(engine: FakeEngine, stop: threading.Event) -> None:
    """This node's part of the changes, at even steps."""
    path = Path(os.environ[_RATE])
    swap = {InstanceState.RUNNING: InstanceState.STOPPED, InstanceState.STOPPED: InstanceState.RUNNING}
    while not stop.is_set():
        rate, spared = _asked(path)
        if not rate:
            time.sleep(0.2)
            continue
        info: Any = random.choice([each for each in engine.instances.values() if each.name != spared])
        state = swap.get(info.state, InstanceState.RUNNING)
        engine.put(replace(info, state=state, status=str(state).capitalize()))
        time.sleep(NODES / rate)


def _asked(path: Path) -> tuple[float, str]:
    """Changes a second of all nodes, and whom they spare."""
    try:
        rate, _, spared = path.read_text().partition(" ")
    except FileNotFoundError:
        return 0.0, ""
    return float(rate or 0), spared
