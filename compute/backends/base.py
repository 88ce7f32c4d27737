"""The contract of a backend: what every engine must do, and what it may do besides.

Rules for every method:

* any thread may call it, at any time, on one shared object;
* it raises only :class:`compute.errors.ComputeError`;
* it has a deadline: ``NodeConfig.request_timeout_s`` unless the method says otherwise;
* nothing an engine says is trusted: values are typed, bounded and escaped by whoever shows them.

A class declares ``capabilities``; ``__init_subclass__`` compares them with the methods it really
overrides and refuses both a promise without a method and a method without a promise.
``probe`` tells which of them hold on this node and engine version.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.capabilities import CAPABILITY_METHODS, Capability
from compute.backends.types import (
    ByteStream,
    EngineEvent,
    ExecResult,
    ExecSpec,
    ExportInfo,
    ExportSpec,
    FileEntry,
    FileListing,
    FileWrite,
    Grants,
    HostNetwork,
    ImageInfo,
    ImportFile,
    InstanceInfo,
    InstanceSpec,
    LogLine,
    LogQuery,
    MigrateOutcome,
    MigratePlan,
    MigrateSpec,
    NetworkJoin,
    NodeAccess,
    NodeConfig,
    NodeInfo,
    Reporter,
    ResourceInfo,
    Resources,
    SessionSpec,
    SnapshotInfo,
    SnapshotSpec,
    StorageJoin,
    UndoStep,
    Usage,
)
from compute.errors import InvalidInput, OperationNotSupported
from compute.states import InstanceType


class Backend(ABC):
    """One engine on one node. Objects are pooled per node and process and shared by threads."""

    name: ClassVar[str]
    title: ClassVar[str]
    supported_types: ClassVar[frozenset[InstanceType]]
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    # What else the engine has that is mirrored; ``resource_list`` answers for each of them.
    resource_kinds: ClassVar[frozenset[str]] = frozenset()
    # Whether ``instance_stop`` ends what does not stop in time; without, that is an error that offers force.
    stop_forces: ClassVar[bool] = True
    # Whether lines of logs carry their times; without, one cannot select by them.
    logs_have_times: ClassVar[bool] = True
    # Whether a clone can share the unchanged part of its storage.
    clone_linked: ClassVar[bool] = False
    # What a snapshot can be asked for besides its name: ``include_memory``, ``quiesce``.
    snapshot_options: ClassVar[frozenset[str]] = frozenset()
    # The ways to its engines that the form for a node offers: ``socket``, ``tls``, ``ssh``, ``uri``.
    address_kinds: ClassVar[tuple[str, ...]] = ("uri",)
    # How the words of that form become an address: for ``tls``, ``plain`` (the same without TLS) and
    # ``ssh``, with ``login`` (``user@`` or nothing), ``host``, ``port`` and ``socket``; and usual ports.
    address_forms: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "tls": "tcp://{host}:{port}",
            "plain": "tcp://{host}:{port}",
            "ssh": "ssh://{login}{host}:{port}{socket}",
        }
    )
    address_ports: ClassVar[Mapping[str, int]] = MappingProxyType({"tls": 2376, "plain": 2376, "ssh": 22})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for capability, methods in CAPABILITY_METHODS.items():
            overridden = {m for m in methods if getattr(cls, m) is not getattr(Backend, m)}
            if capability in cls.capabilities and overridden != set(methods):
                missing = ", ".join(sorted(set(methods) - overridden))
                raise TypeError(f"{cls.__name__} declares {capability} without {missing}")
            if capability not in cls.capabilities and overridden:
                extra = ", ".join(sorted(overridden))
                raise TypeError(f"{cls.__name__} has {extra} but does not declare {capability}")
        for capability in cls.capabilities - CAPABILITY_METHODS.keys():
            raise TypeError(f"{cls.__name__} declares {capability}, which has no method yet")

    def __init__(self, node: NodeConfig) -> None:
        self.node = node

    def close(self) -> None:
        """Give back sockets and threads. The object is not used afterwards."""
        return None

    # -- core ---------------------------------------------------------------------------------

    @classmethod
    def node_check(cls, access: NodeAccess) -> NodeAccess:
        """The address and credentials of a node, perhaps normalised; pure, no engine call. Raises
        ``InvalidInput`` keyed ``url``, ``tls.<key>`` or ``ssh.<key>``, and ``PolicyDenied`` for a way
        that anyone on the network could use, unless ``options["insecure"]`` allows it."""
        for part in ("tls", "ssh"):
            if any(key.startswith(part) for key in (*access.options, *access.secrets)):
                raise InvalidInput.field(part, f"is not used by {cls.title}; its address says it all.")
        return access

    @classmethod
    @abstractmethod
    def config_validate(cls, config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
        """The ``config`` of a create body, typed and with defaults; pure, no engine call.

        Built from an allow-list: an unknown key or a bad value raises ``InvalidInput`` with
        ``details["fields"]`` keyed ``config.<key>``. A key that is as good as root on the host
        raises ``PolicyDenied`` (``details["rule"]``) unless ``allow_root_equivalent``.
        """

    @abstractmethod
    def probe(self) -> NodeInfo:
        """Ask the engine what it is, within ``connect_timeout_s`` + 2 s.

        Raises ``BackendUnavailable`` with the reason when it cannot be reached.
        """

    @abstractmethod
    def instance_list(self) -> list[InstanceInfo]:
        """Every instance of the engine, complete, or an error; never a part of the list.

        One engine call where the engine can; ``details`` only ``instance_get`` knows may be
        missing (config, storage sizes).
        """

    @abstractmethod
    def instance_get(self, engine_id: str) -> InstanceInfo:
        """One instance in full. Raises ``InstanceNotFound``."""

    @abstractmethod
    def instance_create(self, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
        """Make it, and start it if ``spec.auto_start``; returns what the engine then shows.

        Everything made carries ``spec.instance_id`` and ``spec.operation_id`` from birth, and its
        ``UndoStep`` is reported before it is made; the caller undoes on any error, so a failed
        create leaves nothing behind. Raises ``NameConflict``, ``ImageNotFound``, ...
        """

    @abstractmethod
    def instance_update(self, engine_id: str, resources: Resources, report: Reporter) -> InstanceInfo:
        """Change limits, live where the engine can, else for the next start."""

    @abstractmethod
    def instance_delete(self, engine_id: str, *, keep_storage: bool, report: Reporter) -> None:
        """Remove it, running or not; deleting what is absent succeeds.

        Without ``keep_storage`` also the storage that was made for it alone.
        """

    @abstractmethod
    def instance_start(self, engine_id: str, report: Reporter) -> None:
        """Running afterwards. Starting what runs is a no-op."""

    @abstractmethod
    def instance_stop(self, engine_id: str, *, timeout_s: float, force: bool, report: Reporter) -> None:
        """Stopped afterwards: asked politely for ``timeout_s`` (killed at once if ``force``). What has not
        stopped then is killed where ``stop_forces``; else it runs on and ``InvalidState`` with
        ``details["offer"] == "force"`` says so. Stopping what is stopped is a no-op."""

    @abstractmethod
    def instance_restart(self, engine_id: str, *, timeout_s: float, report: Reporter) -> None:
        """Stopped as by ``instance_stop``, then running."""

    @abstractmethod
    def usage(self, engine_id: str) -> Usage:
        """A fresh sample. Raises ``InvalidState`` when it does not run."""

    @abstractmethod
    def undo(self, step: UndoStep) -> None:
        """Take back one recorded step. Idempotent; succeeds when there is nothing to take back;
        removes only what carries LibGo's mark of that operation."""

    # -- optional groups: see CAPABILITY_METHODS ----------------------------------------------

    def instance_pause(self, engine_id: str, report: Reporter) -> None:
        """Paused afterwards; pausing what is paused is a no-op."""
        raise self._unsupported(Capability.PAUSE)

    def instance_unpause(self, engine_id: str, report: Reporter) -> None:
        """Running afterwards; a no-op when it runs."""
        raise self._unsupported(Capability.PAUSE)

    def instance_kill(self, engine_id: str, signal: str, report: Reporter) -> None:
        """Send ``signal`` (``SIGKILL`` ...) to the first process."""
        raise self._unsupported(Capability.KILL)

    def instance_reset(self, engine_id: str, report: Reporter) -> None:
        """The reset button: running afterwards, nothing saved."""
        raise self._unsupported(Capability.RESET)

    def instance_save(self, engine_id: str, report: Reporter) -> None:
        """Off afterwards, its memory kept: the next start goes on where it was. What is off is left alone."""
        raise self._unsupported(Capability.SAVE)

    def instance_save_discard(self, engine_id: str) -> None:
        """Its kept memory thrown away; without any a no-op."""
        raise self._unsupported(Capability.SAVE)

    def instance_resize(self, engine_id: str, resources: Resources) -> frozenset[str]:
        """Which of ``cpu_cores`` and ``memory_bytes`` cannot be applied live and wait for the
        next start. Changes nothing."""
        raise self._unsupported(Capability.RESIZE)

    def instance_rename(self, engine_id: str, name: str, report: Reporter) -> None:
        """Called ``name`` afterwards. Raises ``NameConflict``; ``InvalidState`` where it must be off."""
        raise self._unsupported(Capability.RENAME)

    @classmethod
    def reconfigure_validate(
        cls, changes: Mapping[str, Any], *, allow_root_equivalent: bool
    ) -> dict[str, Any]:
        """Keys of ``config`` that can be changed on an instance that exists, checked as by
        ``config_validate``. Raises ``InvalidInput`` for every other key."""
        raise OperationNotSupported(f"The {cls.title} backend changes no configuration.")

    def instance_reconfigure(self, engine_id: str, changes: Mapping[str, Any], report: Reporter) -> None:
        """In force afterwards, without a restart. ``changes`` as ``reconfigure_validate`` gave them."""
        raise self._unsupported(Capability.RECONFIGURE)

    def snapshot_list(self, engine_id: str, instance_id: str) -> list[SnapshotInfo]:
        """Its snapshots, oldest first; a quick question."""
        raise self._unsupported(Capability.SNAPSHOT)

    def snapshot_create(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> SnapshotInfo:
        """Keep the state it is in. Raises ``NameConflict``; a failed one leaves nothing."""
        raise self._unsupported(Capability.SNAPSHOT)

    def snapshot_delete(self, engine_id: str, instance_id: str, name: str, report: Reporter) -> None:
        """Gone afterwards; absent is fine."""
        raise self._unsupported(Capability.SNAPSHOT)

    def snapshot_restore(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> InstanceInfo:
        """In that state afterwards; its engine id may be another one then. Raises ``SnapshotNotFound``;
        a failed one leaves it as it was."""
        raise self._unsupported(Capability.SNAPSHOT)

    def clone_config(self, config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The configuration for another instance like this, whose ``storage`` is as the mirror has it:
        without what only one may have (fixed addresses, ports of the host)."""
        raise self._unsupported(Capability.CLONE)

    def instance_clone(
        self, source_id: str, spec: InstanceSpec, report: Reporter, *, linked: bool
    ) -> InstanceInfo:
        """As ``instance_create``, with what the instance ``source_id`` holds. ``linked``: sharing with it
        what neither changes (only where ``clone_linked``). Raises ``InvalidState`` with what to do."""
        return self.instance_create(spec, report)

    def instance_import(self, spec: InstanceSpec, wanted: ImportFile, report: Reporter) -> InstanceInfo:
        """As ``instance_create``, from a file. Raises ``InvalidInput`` for what it does not take."""
        raise self._unsupported(Capability.IMPORT)

    def instance_export(self, engine_id: str, wanted: ExportSpec, report: Reporter) -> ExportInfo:
        """All of it at one moment as one file; whatever else it took is gone afterwards. The folder and
        all that is made elsewhere are reported for undo first."""
        raise self._unsupported(Capability.EXPORT)

    def instance_backup(
        self, engine_id: str, wanted: BackupSpec, sink: BackupSink, report: Reporter
    ) -> dict[str, Any]:
        """Give all that it holds to ``sink``, as it was at one moment where the engine can; returns its
        definition (JSON), for ``backup_config`` and ``instance_restore``. It goes on running; what else it
        took on the engine is gone afterwards, and reported for undo first."""
        raise self._unsupported(Capability.BACKUP)

    @staticmethod
    def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
        """The ``config`` to ask for when it is restored: checked as any other is, so nothing is trusted
        because it was backed up. Pure; without what another one may have by now."""
        raise OperationNotSupported("This backend has no backups.", capability="backup")

    @staticmethod
    def backup_omits(config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> list[str]:
        """Sentences about what of an instance no backup holds, told before one is taken. ``config`` and
        ``storage`` as they are observed. Pure."""
        return []

    def instance_restore(self, spec: InstanceSpec, source: BackupSource, report: Reporter) -> InstanceInfo:
        """As ``instance_create``, with what the backup holds; started only when all of it is there."""
        raise self._unsupported(Capability.BACKUP)

    def migrate_plan(self, engine_id: str, target: Backend, wanted: MigrateSpec) -> MigratePlan:
        """Everything that speaks for and against moving it to ``target``, another node of this backend;
        leaves both as they are. Raises ``BackendUnavailable`` when one of them does not answer."""
        raise self._unsupported(Capability.MIGRATE)

    def instance_migrate(
        self, engine_id: str, target: Backend, plan: Mapping[str, Any], report: Reporter
    ) -> None:
        """On ``target`` afterwards, in the state it was in, and no longer here. ``plan`` is the ``ref`` of
        its plan. Raises when it did not work out; the caller then asks ``migrate_settle``. A cancel that
        comes too late is none."""
        raise self._unsupported(Capability.MIGRATE)

    def migrate_settle(self, engine_id: str, target: Backend, plan: Mapping[str, Any]) -> MigrateOutcome:
        """After a move that ended somehow, perhaps of another process: exactly one copy is left, in the
        state it was in, the other side tidied. Idempotent. Raises ``BackendUnavailable`` while that
        cannot be decided because a side does not answer."""
        raise self._unsupported(Capability.MIGRATE)

    def logs_read(self, engine_id: str, query: LogQuery) -> list[LogLine]:
        """A bounded piece of the log, oldest first."""
        raise self._unsupported(Capability.LOGS)

    def logs_follow(self, engine_id: str, query: LogQuery) -> AsyncIterator[list[LogLine]]:
        """Lines in the order of the log, as many at once as came together: first the asked-for tail,
        then (``query.follow``) new ones until the instance or the engine ends. Holds little memory
        and asks for no more while the caller does not go on."""
        raise self._unsupported(Capability.LOGS)

    async def exec_open(self, engine_id: str, wanted: SessionSpec) -> ByteStream:
        """An interactive session inside a running instance; closing it ends what it started."""
        raise self._unsupported(Capability.TERMINAL)

    async def exec_run(self, engine_id: str, wanted: ExecSpec) -> ExecResult:
        """Run one command and wait for its end. What it started is ended when its time is over. A
        command that cannot be started is a result (exit code 126 or 127), no error."""
        raise self._unsupported(Capability.EXEC)

    async def attach_open(self, engine_id: str) -> ByteStream:
        """Input and output of the first process of a running instance; closing it only lets go."""
        raise self._unsupported(Capability.ATTACH)

    async def console_open(self, engine_id: str, *, force: bool) -> ByteStream:
        """The serial console of a running instance, beginning with what it said before anyone looked
        where that is kept. Raises ``InvalidState`` while another program has it, unless ``force``;
        reading raises it when another took it away."""
        raise self._unsupported(Capability.CONSOLE)

    async def graphics_open(self, engine_id: str) -> ByteStream:
        """The screen of a running instance, as the server's side of RFB (RFC 6143) without a password.
        Raises ``InvalidState`` for one that has no screen."""
        raise self._unsupported(Capability.GRAPHICS)

    def screenshot(self, engine_id: str) -> bytes:
        """The screen as it is now, as PNG or PPM. Raises ``InvalidState`` when it does not run."""
        raise self._unsupported(Capability.SCREENSHOT)

    # Files: in an event loop; paths are absolute and hold no “..”; whatever streams is never held as
    # a whole, and closing a stream early ends it on the engine too.

    async def file_stat(self, engine_id: str, path: str) -> FileEntry:
        """What is there; of a symlink, what it leads to inside the instance. Raises ``NotFound``."""
        raise self._unsupported(Capability.FILES)

    async def file_list(self, engine_id: str, path: str, limit: int) -> FileListing:
        """What is in a folder, by name. Raises ``NotFound``, ``InvalidState`` for what is no folder."""
        raise self._unsupported(Capability.FILES)

    def file_read(self, engine_id: str, path: str, size: int, start: int, count: int) -> AsyncIterator[bytes]:
        """``count`` bytes from ``start`` of a regular file seen to have ``size``; ``InvalidState`` when
        it has another size now."""
        raise self._unsupported(Capability.FILES)

    async def file_write(
        self, engine_id: str, path: str, chunks: AsyncIterator[bytes], wanted: FileWrite
    ) -> FileEntry:
        """Create or replace a regular file; through a symlink, what it leads to."""
        raise self._unsupported(Capability.FILES)

    async def file_remove(self, engine_id: str, path: str, *, recursive: bool) -> None:
        """Raises ``InvalidState`` for a folder that is not empty, and where the instance has to run."""
        raise self._unsupported(Capability.FILES)

    async def file_rename(self, engine_id: str, path: str, to: str) -> None:
        """Raises ``NameConflict`` when something is there, ``InvalidState`` where it has to run."""
        raise self._unsupported(Capability.FILES)

    async def folder_make(
        self, engine_id: str, path: str, *, mode: int | None, uid: int | None, gid: int | None
    ) -> None:
        """Raises ``NameConflict`` when something is there."""
        raise self._unsupported(Capability.FILES)

    def tree_read(self, engine_id: str, path: str) -> AsyncIterator[bytes]:
        """A file or a whole folder as a tar."""
        raise self._unsupported(Capability.FILES)

    async def tree_write(
        self, engine_id: str, path: str, chunks: AsyncIterator[bytes], *, allow_special: bool
    ) -> dict[str, int]:
        """Unpack a plain tar into a folder; ``{"entries", "content_bytes"}``. ``allow_special``: devices,
        setuid files and file capabilities may be in it, else ``PolicyDenied``."""
        raise self._unsupported(Capability.FILES)

    def usage_all(self) -> dict[str, Usage]:
        """A sample of every running instance by engine id, as cheaply as the engine allows."""
        raise self._unsupported(Capability.STATS)

    def host_usage(self) -> Usage | None:
        """A sample of the host itself; None where the engine does not tell. The CPU's share is of one
        core, as for instances, and counters are the host's."""
        return None

    def events(self, stop: threading.Event, ready: Callable[[], None]) -> Iterator[EngineEvent]:
        """The engine's changes until ``stop`` is set; checks it at least once a second.

        Calls ``ready`` once the subscription stands (list *after* that, and nothing is missed).
        Raises ``BackendUnavailable`` when the engine is lost; a clean end means the same.
        """
        raise self._unsupported(Capability.EVENTS)

    def image_list(self) -> list[ImageInfo]:
        """What instances can be made from."""
        raise self._unsupported(Capability.IMAGE)

    def demo_image_make(self, report: Reporter, *, renew: bool = False) -> str:
        """Make the small demonstration image without a registry, unless it is there; returns the
        name that goes into ``config.image``. ``renew``: also replace an outdated one that nobody uses."""
        raise self._unsupported(Capability.IMAGE)

    def resource_list(self, kind: str) -> list[ResourceInfo]:
        """Every resource of one of ``resource_kinds``, complete, or an error; by few engine calls."""
        raise OperationNotSupported(f"The {self.title} backend has no {kind}s.", capability=kind)

    def network_list(self) -> list[HostNetwork]:
        """What instances can be attached to."""
        raise self._unsupported(Capability.NETWORK)

    @classmethod
    def storage_asked(cls, config: Mapping[str, Any], asked: int | None) -> int | None:
        """How many bytes of storage a create takes up, for limits: ``asked`` is what the request says
        beside ``config``."""
        return asked

    @classmethod
    def storage_validate(cls, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """``source``, ``size``, ``format`` and the backend's own words for storage that is to be
        attached, checked. Raises ``InvalidInput``."""
        raise OperationNotSupported(f"The {cls.title} backend attaches no storage.", capability="volume")

    def storage_attach(self, engine_id: str, join: StorageJoin, report: Reporter) -> str:
        """Attached now and for every start; returns its name among the instance's storage. Raises
        ``VolumeNotFound``, ``VolumeInUse``; its ``UndoStep`` is reported before anything is made."""
        raise self._unsupported(Capability.VOLUME)

    def storage_detach(self, engine_id: str, name: str, *, delete: bool, report: Reporter) -> None:
        """Detached now and for every start; with ``delete`` its content is gone, if it was made for this
        instance. Raises ``NotFound``; ``InvalidState`` when the instance does not let go of it."""
        raise self._unsupported(Capability.VOLUME)

    def network_attach(self, engine_id: str, join: NetworkJoin, grants: Grants, project_id: str) -> None:
        """On the network afterwards, running or not; a no-op when it already is and no other address
        is asked for. Raises ``NetworkNotFound`` also for one that ``grants`` do not cover."""
        raise self._unsupported(Capability.NETWORK_ATTACH)

    def network_detach(self, engine_id: str, network: str, *, force: bool) -> None:
        """Off the network afterwards; a no-op when it already is."""
        raise self._unsupported(Capability.NETWORK_ATTACH)

    def _unsupported(self, capability: Capability) -> OperationNotSupported:
        return OperationNotSupported(
            f"The {self.title} backend cannot do this ({capability}).", capability=str(capability)
        )
