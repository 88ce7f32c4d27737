"""The values that cross the border between LibGo and an engine. No Django, no engine library.

``…Spec`` is what was asked for, ``…Info`` what was observed. Sizes are bytes, CPU is in cores,
times are aware datetimes in UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from compute.backends.capabilities import Capability
from compute.states import InstanceState, InstanceType

# Labels (Docker) and metadata (libvirt) that tell what LibGo made, from birth.
LABEL_INSTANCE = "libgo.instance"
LABEL_OPERATION = "libgo.operation"
LABEL_PROJECT = "libgo.project"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class NodeAccess:
    """The address of an engine and what opens it. ``secrets`` are texts that are stored sealed:
    ``tls_ca``, ``tls_cert``, ``tls_key``, ``ssh_key``; everything else is in ``options``."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class NodeConfig:
    """How to reach one engine. ``options`` are the backend's own keys (TLS files, virt type …),
    ``secrets`` as in :class:`NodeAccess`, ``runtime_dir`` is where private files may live while the
    process does (see ``backends/runtime.py``)."""

    id: str
    name: str
    backend: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    connect_timeout_s: float = 3.0
    request_timeout_s: float = 30.0
    # How long a pull or a push may stand still.
    stall_timeout_s: float = 300.0
    build_timeout_s: float = 3600.0
    # How long lies between two looks at what containers wrote into their layers.
    layer_sizes_every_s: float = 120.0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    runtime_dir: str = ""


@dataclass(frozen=True)
class NodeInfo:
    """What ``probe`` found: versions, size of the host, what this engine can really do."""

    version: str
    api_version: str
    hostname: str
    capabilities: frozenset[Capability]
    cpu_cores: float
    memory_bytes: int
    storage_total_bytes: int | None = None
    storage_used_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """Asked-for limits; None leaves the engine's default (on update: leaves it as it is)."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None
    storage_bytes: int | None = None


@dataclass(frozen=True)
class Grants:
    """What an instance may use of the things that its engine has already, beside those that bear its
    project's mark. ``unmarked`` names things without any mark, as ``volume:data``; ``everything``
    is for those who administer the site."""

    everything: bool = False
    unmarked: frozenset[str] = frozenset()

    def allows(self, kind: str, name: str, mark: str, project_id: str) -> bool:
        """``mark``: the project that the thing was made for, empty without one."""
        return self.everything or (mark == project_id if mark else f"{kind}:{name}" in self.unmarked)


@dataclass(frozen=True)
class InstanceSpec:
    """One instance as asked for. ``config`` is the backend's part of the body, already validated
    by ``Backend.config_validate``; ``instance_id`` and ``operation_id`` are written on everything
    made in the engine."""

    name: str
    type: InstanceType
    instance_id: str
    operation_id: str
    project_id: str
    config: Mapping[str, Any]
    resources: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    auto_start: bool = True
    grants: Grants = Grants()
    # Looked up for this one create (a registry's password), never stored and never shown.
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class NetworkInfo:
    """One interface of an instance."""

    network: str
    mac_address: str = ""
    ip_address: str = ""
    ipv6_address: str = ""


@dataclass(frozen=True)
class StorageInfo:
    """One disk or mount of an instance."""

    name: str
    source: str
    target: str
    size: int | None = None
    format: str = ""


@dataclass(frozen=True)
class PortInfo:
    host_ip: str
    host_port: int | None
    port: int
    protocol: str


@dataclass(frozen=True)
class InstanceInfo:
    """One instance as the engine shows it. ``engine_id`` is stable over restarts and renames."""

    engine_id: str
    name: str
    type: InstanceType
    state: InstanceState
    status: str
    image: str = ""
    image_id: str = ""
    health: str = ""
    instance_id: str = ""
    operation_id: str = ""
    project_id: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    cpu_cores: float | None = None
    memory_bytes: int | None = None
    storage_bytes: int | None = None
    networks: tuple[NetworkInfo, ...] = ()
    storage: tuple[StorageInfo, ...] = ()
    ports: tuple[PortInfo, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    # What will be different after the next start, by name with its new value; None: not looked at.
    pending: Mapping[str, Any] | None = None
    # When the engine was asked: of two looks the later one counts, whichever is written last.
    observed_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc), compare=False)


@dataclass(frozen=True)
class Usage:
    """A sample. ``cpu_percent`` is of one core (200 = two cores busy); counters are totals since
    the instance started, None where the engine does not tell."""

    timestamp: datetime
    cpu_percent: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None = None
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    pids: int | None = None
    # Of a container: what it wrote into its own layer, a few minutes ago.
    storage_used_bytes: int | None = None


@dataclass(frozen=True)
class ImageInfo:
    """Something an instance can be made from. ``name`` is what goes into ``config.image``."""

    name: str
    size_bytes: int | None
    created_at: datetime | None = None
    kind: str = "image"


@dataclass(frozen=True)
class HostNetwork:
    """A network of the engine that an instance can join by ``name``."""

    name: str
    driver: str
    active: bool
    subnet: str = ""


@dataclass(frozen=True)
class NetworkJoin:
    """How an instance is to be on a network; empty addresses let the engine choose."""

    network: str
    ip_address: str = ""
    ipv6_address: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class StorageJoin:
    """Storage to be attached: an existing ``source``, or a new one of ``size_bytes``. ``options`` are the
    backend's own words, as its ``storage_validate`` gave them."""

    source: str = ""
    size_bytes: int | None = None
    format: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LogQuery:
    """``tail`` None means everything; a read is still bounded by ``max_bytes``. A stream ends at the
    end of the log unless ``follow``; it begins behind ``after``, the ``place`` of a line that was read
    before, where the engine's lines have one. ``timestamps`` False lets a stream that does not follow
    leave the times away."""

    tail: int | None = 200
    since: datetime | None = None
    until: datetime | None = None
    timestamps: bool = False
    max_bytes: int = 4 * 1024 * 1024
    follow: bool = True
    after: Any = None


class LogLine(NamedTuple):
    """``stream`` is stdout, stderr or console; ``text`` has no line end; hostile data.

    ``nanos`` is its time, nanoseconds since 1970, where the engine keeps one. ``place`` says where it
    ends in a log without times; only the engine that made it understands it.
    """

    text: str
    stream: str = "stdout"
    nanos: int | None = None
    place: Any = None

    @property
    def timestamp(self) -> datetime | None:
        """To the microsecond."""
        return None if self.nanos is None else nanos_time(self.nanos)


def nanos_time(nanos: int) -> datetime:
    """The microsecond that this moment lies in."""
    return _EPOCH + timedelta(microseconds=nanos // 1000)


def nanos_text(nanos: int) -> str:
    """RFC 3339 in UTC with all nine digits, as exact as the engine told it."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class BroughtBack:
    """A device that a restore gives to an instance which has it no more. ``kind``: ``network``, ``volume``,
    ``medium`` (only read), or ``host``, what only administrators give. ``name`` as the engine calls it;
    ``pool/name`` of a volume and a medium."""

    kind: str
    name: str


@dataclass(frozen=True)
class SnapshotSpec:
    """One state of an instance, asked for or meant. The ids are those of :class:`InstanceSpec`.
    ``include_memory`` None leaves it to the backend; ``quiesce`` has the guest write its caches out first.
    Only backends that name them in ``snapshot_options`` are asked for either. ``brings_back``: what a restore
    may give back, and no more; None: nothing was judged."""

    name: str
    instance_id: str
    operation_id: str
    project_id: str
    description: str = ""
    include_memory: bool | None = None
    quiesce: bool = False
    brings_back: tuple[BroughtBack, ...] | None = None


@dataclass(frozen=True)
class SnapshotInfo:
    """A kept state of an instance. ``size_bytes`` None where the engine does not tell. ``parent`` is the
    name of the one it was taken after, ``is_current`` marks the one that the instance goes on from.
    ``state``: what a restore leaves it in (empty: as it then is). ``kind`` is the backend's own word for
    how it is kept. ``no_restore`` says why it cannot be restored; empty when it can. ``cpu_cores`` and
    ``memory_bytes``: the limits that a restore brings back, None where it leaves them as they are.
    ``brings_back``: devices that the instance has no more."""

    name: str
    created_at: datetime | None
    size_bytes: int | None = None
    description: str = ""
    parent: str = ""
    is_current: bool = False
    state: str = ""
    kind: str = ""
    has_memory: bool = False
    no_restore: str = ""
    cpu_cores: float | None = None
    memory_bytes: int | None = None
    brings_back: tuple[BroughtBack, ...] = ()


@dataclass(frozen=True)
class ExportSpec:
    """An instance as one file. ``folder`` is a private folder of LibGo's own host, made by the backend;
    ``stem`` the name of the file without its ending; ``disk`` one disk by its target, empty for all."""

    format: str
    folder: str
    stem: str
    operation_id: str
    disk: str = ""


@dataclass(frozen=True)
class ExportInfo:
    """``file_name`` lies in the folder of the spec; ``sha256`` in hexadecimal digits."""

    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class MigrateSpec:
    """A move to another node. ``live``: it goes on running; ``max_bytes_per_s`` 0 sets no bound."""

    live: bool
    max_bytes_per_s: int = 0


@dataclass(frozen=True)
class MigrateCheck:
    """One thing that has to be right before a move: ``name`` for programs, ``text`` says how it is, and
    when it is not right, what to do."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class MigratePlan:
    """``ref`` (JSON) is what the move, and whoever has to finish it, must know of the time before it."""

    checks: tuple[MigrateCheck, ...]
    ref: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MigrateOutcome:
    """``moved``: where the one copy is. Not ``complete``: the other side does not answer, and something
    is left to tidy there."""

    moved: bool
    complete: bool = True


@dataclass(frozen=True)
class ImportFile:
    """A file that was looked at and lies in a private ``folder`` of this host; ``format`` is settled."""

    folder: str
    name: str
    format: str


@dataclass(frozen=True)
class ExecSpec:
    """One command to run inside an instance, without a terminal. ``max_bytes`` is kept of each of its
    two outputs; ``command`` is never given to a shell."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    work_dir: str = ""
    user: str = ""
    timeout_s: float = 30.0
    max_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class ExecResult:
    """``exit_code`` is None when it was ended because its time was over. ``truncated``: an output was
    larger than what was kept, and says so at its end."""

    exit_code: int | None
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool
    duration_ms: int


@dataclass(frozen=True)
class ResourceInfo:
    """Something of an engine that is no instance: an image, a network, a volume ...

    ``engine_id`` is unique among its kind on the node. ``project_id`` is the mark that LibGo wrote
    when it made it, empty for what has none. ``data`` is the rest of its public shape, JSON.
    """

    kind: str
    engine_id: str
    name: str
    project_id: str = ""
    size_bytes: int | None = None
    created_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


# The system ended a process in it because its memory was full.
OUT_OF_MEMORY = "oom"


@dataclass(frozen=True)
class EngineEvent:
    """A hint that the instance should be read again; it never carries truth by itself.

    ``engine_id`` empty means "list everything". ``kind`` other than ``instance`` names a kind of
    resource that should be listed again. ``action`` and ``details`` are for the event log; of the
    actions only ``OUT_OF_MEMORY`` is told as a fact: no look shows it while the instance runs on.
    """

    engine_id: str
    action: str = ""
    timestamp: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "instance"


@dataclass(frozen=True)
class UndoStep:
    """One thing to take back, recorded before the effect it undoes: another process may have to
    do it. ``kind`` is the backend's own word, ``ref`` JSON-serialisable."""

    kind: str
    ref: Mapping[str, Any]


@dataclass(frozen=True)
class FileEntry:
    """One thing in a file system of an instance. ``type``: file, directory, symlink, device, fifo,
    socket or unknown. ``mode`` holds the permission bits alone; ``target_type`` is what a symlink leads
    to, where the backend knows. Names and targets are hostile data."""

    name: str
    type: str
    size: int
    mode: int
    uid: int | None = None
    gid: int | None = None
    modified_at: datetime | None = None
    link_target: str = ""
    target_type: str = ""


@dataclass(frozen=True)
class FileListing:
    """What is in a folder. ``truncated``: there is more, or the backend gave up looking; ``method``
    says how it looked."""

    entries: tuple[FileEntry, ...]
    truncated: bool = False
    method: str = ""


@dataclass(frozen=True)
class FileWrite:
    """How a file is to be written; None keeps what a file that is there has, else the default."""

    size: int
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Reporter(Protocol):
    """How backend code talks to the operation it works for. Every method may be called from the
    thread that runs the handler; ``checkpoint`` raises :class:`OperationCancelled` when the
    operation was asked to cancel, or was lost to another process."""

    def progress(self, percent: float, step: str) -> None:
        """Percent (0 to 100) of the whole operation and a sentence; also a checkpoint."""

    def log(self, line: str) -> None:
        """Append a line to the operation's log."""

    def checkpoint(self) -> None:
        """Call between steps and in loops."""

    def undo(self, step: UndoStep) -> None:
        """Record how to take the next step back, *before* taking it."""


@dataclass(frozen=True)
class SessionSpec:
    """One interactive command inside an instance. ``command`` is never given to a shell; without a
    ``tty`` its outputs stay apart."""

    command: tuple[str, ...]
    user: str = ""
    work_dir: str = ""
    tty: bool = True
    rows: int = 24
    cols: int = 80


class ByteStream(ABC):
    """A two-way stream of bytes inside an event loop: a console, an exec session, an attachment."""

    # Whether there is a terminal; without one, stdout and stderr stay apart.
    tty: bool = True
    # Whether what is written arrives anywhere.
    takes_input: bool = True

    @abstractmethod
    async def read(self) -> bytes:
        """The next bytes; ``b""`` at the end of the stream. Asks for no more than is taken."""

    async def read_from(self) -> tuple[int, bytes]:
        """The same, with 1 for stdout and 2 for stderr."""
        return 1, await self.read()

    async def write_end(self) -> None:
        """There will be no more input, where the far side can be told."""
        return None

    async def exit_code(self) -> int | None:
        """After the end: what the command returned, None where that is not known."""
        return None

    @abstractmethod
    async def write(self, data: bytes) -> None: ...

    async def resize(self, rows: int, cols: int) -> None:
        """Tell the far side its window size, where it has one."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """End the session and whatever it started on the engine. May be called twice."""
