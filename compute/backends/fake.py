"""An engine in memory, for the unified layer's own tests; never proof that a real one works.

Every node id is its own engine. Tests reach it by ``FakeEngine.of(node_id)`` to make changes from
outside, to make it slow, and to make it fail.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, ClassVar

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.types import (
    ByteStream,
    EngineEvent,
    ExecResult,
    ExecSpec,
    Grants,
    HostNetwork,
    ImageInfo,
    InstanceInfo,
    InstanceSpec,
    LogLine,
    LogQuery,
    NetworkInfo,
    NetworkJoin,
    NodeAccess,
    NodeInfo,
    Reporter,
    Resources,
    SessionSpec,
    SnapshotInfo,
    SnapshotSpec,
    UndoStep,
    Usage,
)
from compute.errors import (
    BackendUnavailable,
    ImageNotFound,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    PolicyDenied,
    SnapshotNotFound,
)
from compute.states import InstanceState, InstanceType

_CONFIG_KEYS = {"image", "env", "command", "privileged", "networks"}


@dataclass
class FakeEngine:
    """The state behind one node. ``fail_with`` is raised by the next calls until it is cleared."""

    instances: dict[str, InstanceInfo] = field(default_factory=dict)
    snapshots: dict[str, dict[str, tuple[InstanceInfo, str]]] = field(default_factory=dict)
    fail_with: Exception | None = None
    before_create_ends: Callable[[Reporter], None] | None = None
    subscribers: list[queue.Queue[EngineEvent]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    # What instances have said by engine id; streams that are open; raised to end all of them.
    logs: dict[str, list[LogLine]] = field(default_factory=dict)
    log_streams: int = 0
    log_readings: int = 0
    log_cuts: int = 0
    sessions: list[SessionSpec] = field(default_factory=list)
    attachments: int = 0
    # What instances hold, in pieces, by engine id.
    content: dict[str, list[bytes]] = field(default_factory=dict)

    _engines: ClassVar[dict[str, FakeEngine]] = {}

    @classmethod
    def of(cls, node_id: str) -> FakeEngine:
        return cls._engines.setdefault(node_id, cls())

    @classmethod
    def forget_all(cls) -> None:
        cls._engines.clear()

    def put(self, info: InstanceInfo) -> InstanceInfo:
        """Write one instance and tell the subscribers."""
        with self.lock:
            self.instances[info.engine_id] = info
        self.tell(info.engine_id)
        return info

    def remove(self, engine_id: str) -> None:
        with self.lock:
            self.instances.pop(engine_id, None)
        self.tell(engine_id)

    def say(self, engine_id: str, *texts: str, stream: str = "stdout") -> None:
        """The instance writes to its log."""
        written = self.logs.setdefault(engine_id, [])
        for text in texts:
            written.append(LogLine(text, stream, time.time_ns()))

    def tell(self, engine_id: str) -> None:
        for subscriber in list(self.subscribers):
            subscriber.put(EngineEvent(engine_id))


def _seen_now(info: InstanceInfo) -> InstanceInfo:
    return replace(info, observed_at=datetime.now(timezone.utc))


class FakeBackend(Backend):
    name = "fake"
    title = "Fake"
    supported_types = frozenset({InstanceType.CONTAINER, InstanceType.VM})
    capabilities = frozenset(
        {
            Capability.PAUSE,
            Capability.KILL,
            Capability.RESET,
            Capability.RESIZE,
            Capability.RENAME,
            Capability.RECONFIGURE,
            Capability.SNAPSHOT,
            Capability.CLONE,
            Capability.BACKUP,
            Capability.EXEC,
            Capability.TERMINAL,
            Capability.ATTACH,
            Capability.CONSOLE,
            Capability.LOGS,
            Capability.STATS,
            Capability.EVENTS,
            Capability.IMAGE,
            Capability.NETWORK,
            Capability.NETWORK_ATTACH,
        }
    )

    @property
    def engine(self) -> FakeEngine:
        engine = FakeEngine.of(self.node.id)
        if engine.fail_with is not None:
            raise engine.fail_with
        return engine

    @classmethod
    def node_check(cls, access: NodeAccess) -> NodeAccess:
        """Takes every address and all credentials."""
        return access

    @classmethod
    def config_validate(cls, config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
        for key in config:
            if key not in _CONFIG_KEYS:
                raise InvalidInput.field(f"config.{key}", "is not known.")
        if not isinstance(config.get("image"), str) or not config["image"]:
            raise InvalidInput.field("config.image", "is required.")
        if config.get("privileged") and not allow_root_equivalent:
            raise PolicyDenied("Privileged instances are for administrators.", rule="privileged")
        return dict(config)

    def probe(self) -> NodeInfo:
        assert self.engine is not None
        return NodeInfo("1.0", "1", "fake-host", self.capabilities, 8.0, 16 * 1024**3, 100 * 1024**3, 0)

    def instance_list(self) -> list[InstanceInfo]:
        with self.engine.lock:
            return [_seen_now(info) for info in self.engine.instances.values()]

    def instance_get(self, engine_id: str) -> InstanceInfo:
        found = self.engine.instances.get(engine_id)
        if found is None:
            raise InstanceNotFound("The fake engine has no such instance.")
        return _seen_now(found)

    def instance_create(self, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
        engine = self.engine
        if spec.config["image"] == "absent":
            raise ImageNotFound("There is no image “absent”.", image="absent")
        report.progress(10, "Making it")
        if any(info.name == spec.name for info in engine.instances.values()):
            raise NameConflict(f"The fake engine has a “{spec.name}” already.", name=spec.name)
        engine_id = uuid.uuid4().hex
        report.undo(UndoStep("instance", {"engine_id": engine_id}))
        now = datetime.now(timezone.utc)
        info = InstanceInfo(
            engine_id=engine_id,
            name=spec.name,
            type=spec.type,
            state=InstanceState.RUNNING if spec.auto_start else InstanceState.CREATED,
            status="Up" if spec.auto_start else "Created",
            image=spec.config["image"],
            instance_id=spec.instance_id,
            operation_id=spec.operation_id,
            project_id=spec.project_id,
            config=spec.config,
            cpu_cores=spec.resources.cpu_cores or 1.0,
            memory_bytes=spec.resources.memory_bytes or 64 * 1024**2,
            networks=(NetworkInfo("fake", "02:00:00:00:00:01", "192.0.2.7"),),
            labels=dict(spec.labels),
            created_at=now,
            started_at=now if spec.auto_start else None,
        )
        engine.put(info)
        engine.say(engine_id, *[f"{info.name} line {n}" for n in range(1, 6)])
        if engine.before_create_ends is not None:
            engine.before_create_ends(report)
        report.progress(90, "Made")
        return info

    def instance_update(self, engine_id: str, resources: Resources, report: Reporter) -> InstanceInfo:
        info = self.instance_get(engine_id)
        changed = replace(
            info,
            cpu_cores=resources.cpu_cores or info.cpu_cores,
            memory_bytes=resources.memory_bytes or info.memory_bytes,
        )
        return self.engine.put(changed)

    def instance_resize(self, engine_id: str, resources: Resources) -> frozenset[str]:
        return frozenset()

    def instance_delete(self, engine_id: str, *, keep_storage: bool, report: Reporter) -> None:
        self.engine.remove(engine_id)

    def instance_start(self, engine_id: str, report: Reporter) -> None:
        self._state(engine_id, InstanceState.RUNNING)

    def instance_stop(self, engine_id: str, *, timeout_s: float, force: bool, report: Reporter) -> None:
        self._state(engine_id, InstanceState.STOPPED)

    def instance_restart(self, engine_id: str, *, timeout_s: float, report: Reporter) -> None:
        self._state(engine_id, InstanceState.RUNNING)

    def instance_pause(self, engine_id: str, report: Reporter) -> None:
        self._state(engine_id, InstanceState.PAUSED)

    def instance_unpause(self, engine_id: str, report: Reporter) -> None:
        self._state(engine_id, InstanceState.RUNNING)

    def instance_kill(self, engine_id: str, signal: str, report: Reporter) -> None:
        self._state(engine_id, InstanceState.STOPPED)

    def instance_reset(self, engine_id: str, report: Reporter) -> None:
        self._state(engine_id, InstanceState.RUNNING)

    def instance_rename(self, engine_id: str, name: str, report: Reporter) -> None:
        info = self.instance_get(engine_id)
        if any(other.name == name and other != info for other in self.engine.instances.values()):
            raise NameConflict(f"The fake engine has a “{name}” already.", name=name)
        self.engine.put(replace(info, name=name))

    @classmethod
    def reconfigure_validate(
        cls, changes: Mapping[str, Any], *, allow_root_equivalent: bool
    ) -> dict[str, Any]:
        for key in changes:
            if key != "restart_policy":
                raise InvalidInput.field(f"config.{key}", "cannot be changed.")
        return dict(changes)

    def instance_reconfigure(self, engine_id: str, changes: Mapping[str, Any], report: Reporter) -> None:
        info = self.instance_get(engine_id)
        self.engine.put(replace(info, config={**info.config, **changes}))

    def snapshot_list(self, engine_id: str, instance_id: str) -> list[SnapshotInfo]:
        kept = self.engine.snapshots.get(instance_id, {})
        return [SnapshotInfo(name, info.created_at, 1024, words) for name, (info, words) in kept.items()]

    def snapshot_create(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> SnapshotInfo:
        kept = self.engine.snapshots.setdefault(wanted.instance_id, {})
        if wanted.name in kept:
            raise NameConflict(f"There is already a snapshot “{wanted.name}”.", name=wanted.name)
        kept[wanted.name] = (self.instance_get(engine_id), wanted.description)
        return self.snapshot_list(engine_id, wanted.instance_id)[-1]

    def snapshot_delete(self, engine_id: str, instance_id: str, name: str, report: Reporter) -> None:
        self.engine.snapshots.get(instance_id, {}).pop(name, None)

    def snapshot_restore(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> InstanceInfo:
        kept = self.engine.snapshots.get(wanted.instance_id, {})
        if wanted.name not in kept:
            raise SnapshotNotFound(f"There is no snapshot “{wanted.name}”.", snapshot=wanted.name)
        return self.engine.put(replace(kept[wanted.name][0], engine_id=engine_id))

    def clone_config(self, config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return dict(config)

    def instance_backup(
        self, engine_id: str, wanted: BackupSpec, sink: BackupSink, report: Reporter
    ) -> dict[str, Any]:
        info = self.instance_get(engine_id)
        report.progress(20, "Copying it")
        sink.part("disk.img", self.engine.content.get(engine_id, [b"fake"]))
        return {"config": dict(info.config)}

    @staticmethod
    def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
        return dict(definition["config"])

    def instance_restore(self, spec: InstanceSpec, source: BackupSource, report: Reporter) -> InstanceInfo:
        content = list(source.part("disk.img"))
        info = self.instance_create(spec, report)
        self.engine.content[info.engine_id] = content
        return info

    def usage(self, engine_id: str) -> Usage:
        if self.instance_get(engine_id).state != InstanceState.RUNNING:
            raise InvalidState("It does not run.", state=str(self.instance_get(engine_id).state))
        return Usage(datetime.now(timezone.utc), 12.5, 32 * 1024**2, 64 * 1024**2)

    def usage_all(self) -> dict[str, Usage]:
        running = [i for i in self.instance_list() if i.state == InstanceState.RUNNING]
        return {info.engine_id: self.usage(info.engine_id) for info in running}

    def undo(self, step: UndoStep) -> None:
        self.engine.remove(step.ref["engine_id"])

    def events(self, stop: threading.Event, ready: Callable[[], None]) -> Iterator[EngineEvent]:
        engine = FakeEngine.of(self.node.id)
        inbox: queue.Queue[EngineEvent] = queue.Queue()
        engine.subscribers.append(inbox)
        try:
            ready()
            while not stop.is_set():
                if engine.fail_with is not None:
                    raise BackendUnavailable("The fake engine went away.")
                try:
                    yield inbox.get(timeout=0.1)
                except queue.Empty:
                    continue
        finally:
            engine.subscribers.remove(inbox)

    def logs_read(self, engine_id: str, query: LogQuery) -> list[LogLine]:
        self.instance_get(engine_id)
        self.engine.log_readings += 1
        return self._log_tail(engine_id, query)

    async def logs_follow(self, engine_id: str, query: LogQuery) -> AsyncIterator[list[LogLine]]:
        engine = self.engine
        self.instance_get(engine_id)
        engine.log_readings += not query.follow
        engine.log_streams += query.follow
        cuts, written = engine.log_cuts, engine.logs.setdefault(engine_id, [])
        position, lines = len(written), self._log_tail(engine_id, query)
        try:
            while True:
                for start in range(0, len(lines), 100):
                    yield lines[start : start + 100]
                if not query.follow or engine.log_cuts != cuts:
                    return
                lines, position = written[position:], len(written)
                if not lines:
                    if self.instance_get(engine_id).state != InstanceState.RUNNING:
                        return
                    await asyncio.sleep(0.005)
        finally:
            engine.log_streams -= query.follow

    def _log_tail(self, engine_id: str, query: LogQuery) -> list[LogLine]:
        """As Docker does: first the tail, then what of it is in the time."""
        lines = FakeEngine.of(self.node.id).logs.get(engine_id, [])
        if query.tail is not None:
            lines = lines[-query.tail :] if query.tail else []
        return [
            line
            for line in lines
            if line.timestamp is None
            or (
                (query.since is None or line.timestamp >= query.since)
                and (query.until is None or line.timestamp <= query.until)
            )
        ]

    async def exec_open(self, engine_id: str, wanted: SessionSpec) -> ByteStream:
        self.instance_get(engine_id)
        self.engine.sessions.append(wanted)
        return EchoStream(tty=wanted.tty)

    async def attach_open(self, engine_id: str) -> ByteStream:
        self.instance_get(engine_id)
        self.engine.attachments += 1
        return EchoStream()

    async def exec_run(self, engine_id: str, wanted: ExecSpec) -> ExecResult:
        """Says its command; ``false`` fails, ``sleep`` outlasts its time."""
        self.instance_get(engine_id)
        program = wanted.command[0]
        if program == "sleep":
            return ExecResult(None, "", "", True, False, int(wanted.timeout_s * 1000))
        return ExecResult(int(program == "false"), " ".join(wanted.command) + "\n", "", False, False, 1)

    async def console_open(self, engine_id: str, *, force: bool) -> ByteStream:
        self.instance_get(engine_id)
        return EchoStream()

    def image_list(self) -> list[ImageInfo]:
        return [ImageInfo("demo", 1024)]

    def demo_image_make(self, report: Reporter, *, renew: bool = False) -> str:
        return "demo"

    def network_list(self) -> list[HostNetwork]:
        return [HostNetwork("fake", "bridge", True, "192.0.2.0/24")]

    def network_attach(self, engine_id: str, join: NetworkJoin, grants: Grants, project_id: str) -> None:
        info = self.instance_get(engine_id)
        others = tuple(item for item in info.networks if item.network != join.network)
        joined = NetworkInfo(join.network, ip_address=join.ip_address, ipv6_address=join.ipv6_address)
        self.engine.put(replace(info, networks=(*others, joined)))

    def network_detach(self, engine_id: str, network: str, *, force: bool) -> None:
        info = self.instance_get(engine_id)
        left = tuple(item for item in info.networks if item.network != network)
        self.engine.put(replace(info, networks=left))

    def _state(self, engine_id: str, state: InstanceState) -> None:
        info = self.instance_get(engine_id)
        if info.state != state:
            self.engine.put(replace(info, state=state, status=str(state).capitalize()))


class EchoStream(ByteStream):
    """Says back what it is told, from its stderr what begins with “!”; ends by “exit”."""

    def __init__(self, *, tty: bool = True) -> None:
        self.tty = tty
        self._pending: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self._pending.get()

    async def read_from(self) -> tuple[int, bytes]:
        data = await self.read()
        return (2 if data.startswith(b"!") else 1), data

    async def write(self, data: bytes) -> None:
        await self._pending.put(b"" if data == b"exit" else data)

    async def exit_code(self) -> int | None:
        return 7

    async def close(self) -> None:
        await self._pending.put(b"")
