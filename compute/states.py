"""States, kinds and roles: pure values, each with its word and colour in one place."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Word(str, Enum):
    """A string enum whose text is its value (``enum.StrEnum`` needs Python 3.11; we run on 3.10)."""

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(word.value, word.value.replace("_", " ")) for word in cls]


class InstanceType(Word):
    VM = "vm"
    CONTAINER = "container"
    SERVICE = "service"


class InstanceState(Word):
    """What was last observed on the engine. Transitions are told by the active operation."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ERROR = "error"
    UNKNOWN = "unknown"

    @property
    def colour(self) -> str:
        """The name of the Tabler colour that every page uses for this state."""
        return _INSTANCE_COLOURS[self]


_INSTANCE_COLOURS = {
    InstanceState.CREATED: "azure",
    InstanceState.RUNNING: "green",
    InstanceState.PAUSED: "yellow",
    InstanceState.STOPPED: "secondary",
    InstanceState.ERROR: "red",
    InstanceState.UNKNOWN: "orange",
}


class Health(Word):
    """What a check inside an instance says, where it has one; the engine's words."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"

    @property
    def colour(self) -> str:
        return {"healthy": "green", "starting": "azure", "unhealthy": "orange"}[self.value]


class Action(Word):
    """Asked-for changes to an instance; stored as ``instance.<action>`` on its operation."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    KILL = "kill"
    RESET = "reset"
    SAVE = "save"
    RECREATE = "recreate"
    COMMIT = "commit"
    RESTORE = "restore"
    MIGRATE = "migrate"
    SNAPSHOT = "snapshot"
    SNAPSHOT_DELETE = "snapshot_delete"
    EXPORT = "export"
    BACKUP = "backup"

    @property
    def progressive(self) -> str:
        """The word for an instance on which this action is under way, e.g. ``starting``."""
        return _PROGRESSIVE[self]


_PROGRESSIVE = {
    Action.CREATE: "creating",
    Action.UPDATE: "updating",
    Action.DELETE: "deleting",
    Action.START: "starting",
    Action.STOP: "stopping",
    Action.RESTART: "restarting",
    Action.PAUSE: "pausing",
    Action.UNPAUSE: "resuming",
    Action.KILL: "killing",
    Action.RESET: "resetting",
    Action.SAVE: "saving",
    Action.RECREATE: "recreating",
    Action.COMMIT: "committing",
    Action.RESTORE: "restoring",
    Action.MIGRATE: "migrating",
    Action.SNAPSHOT: "taking a snapshot",
    Action.SNAPSHOT_DELETE: "deleting a snapshot",
    Action.EXPORT: "exporting",
    Action.BACKUP: "being backed up",
}

# From which observed states an action makes sense. An action whose goal is already reached is a
# success that changes nothing (the backend's postcondition), so the goal state is in the set too.
ALLOWED_FROM: dict[Action, frozenset[InstanceState]] = {
    Action.START: frozenset(
        {InstanceState.CREATED, InstanceState.STOPPED, InstanceState.RUNNING, InstanceState.ERROR}
    ),
    Action.STOP: frozenset(set(InstanceState) - {InstanceState.UNKNOWN}),
    Action.RESTART: frozenset(
        {InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.CREATED, InstanceState.ERROR}
    ),
    Action.PAUSE: frozenset({InstanceState.RUNNING, InstanceState.PAUSED}),
    Action.UNPAUSE: frozenset({InstanceState.RUNNING, InstanceState.PAUSED}),
    Action.KILL: frozenset({InstanceState.RUNNING, InstanceState.PAUSED}),
    Action.RESET: frozenset({InstanceState.RUNNING, InstanceState.PAUSED}),
    Action.SAVE: frozenset({InstanceState.RUNNING, InstanceState.PAUSED, InstanceState.STOPPED}),
    Action.UPDATE: frozenset(InstanceState),
    Action.DELETE: frozenset(InstanceState),
    Action.RECREATE: frozenset(InstanceState),
    Action.COMMIT: frozenset(InstanceState),
    Action.RESTORE: frozenset(InstanceState),
    Action.MIGRATE: frozenset({InstanceState.RUNNING, InstanceState.PAUSED, InstanceState.STOPPED}),
    Action.SNAPSHOT: frozenset(InstanceState),
    Action.SNAPSHOT_DELETE: frozenset(InstanceState),
    Action.BACKUP: frozenset(set(InstanceState) - {InstanceState.UNKNOWN}),
}


class Outcome(Word):
    """How something that the audit tells about ended."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def colour(self) -> str:
        return {"ok": "green", "refused": "orange", "failed": "red"}[self.value]


class OperationState(Word):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def colour(self) -> str:
        return _OPERATION_COLOURS[self]

    @property
    def is_final(self) -> bool:
        return self not in ACTIVE_OPERATION_STATES


_OPERATION_COLOURS = {
    OperationState.QUEUED: "azure",
    OperationState.RUNNING: "blue",
    OperationState.SUCCEEDED: "green",
    OperationState.FAILED: "red",
    OperationState.CANCELLED: "secondary",
    OperationState.INTERRUPTED: "orange",
}


class BackupState(Word):
    """``CREATING`` and ``DELETING`` while an operation is at it; ``DAMAGED``: a check found it so."""

    CREATING = "creating"
    READY = "ready"
    DAMAGED = "damaged"
    DELETING = "deleting"

    @property
    def colour(self) -> str:
        return _BACKUP_COLOURS[self]


_BACKUP_COLOURS = {
    BackupState.CREATING: "blue",
    BackupState.READY: "green",
    BackupState.DAMAGED: "red",
    BackupState.DELETING: "secondary",
}

ACTIVE_OPERATION_STATES = frozenset({OperationState.QUEUED, OperationState.RUNNING})


class BulkItemState(Word):
    """Of one instance in a bulk operation: once it is started, its own operation says how it goes."""

    WAITING = "waiting"
    STARTED = "started"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class MissedPolicy(Word):
    """Of a schedule that was due while nobody looked."""

    SKIP = "skip"
    LATE = "late"


class OverlapPolicy(Word):
    """Of a schedule that is due while its last run is under way."""

    SKIP = "skip"
    RUN = "run"


class RunState(Word):
    """Of one run of a schedule; how a started one ends its operation says."""

    STARTED = "started"
    SKIPPED = "skipped"
    REFUSED = "refused"

    @property
    def colour(self) -> str:
        return {"started": "azure", "skipped": "secondary", "refused": "red"}[self.value]


class NodeStatus(Word):
    ONLINE = "online"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    DRAINING = "draining"

    @property
    def colour(self) -> str:
        return _NODE_COLOURS[self]


_NODE_COLOURS = {
    NodeStatus.ONLINE: "green",
    NodeStatus.UNREACHABLE: "red",
    NodeStatus.DISABLED: "secondary",
    NodeStatus.DRAINING: "yellow",
}


class Role(Word):
    """What a member may do inside one project; ``ADMIN`` on the site is ``User.is_superuser``."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Permission(Word):
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    CONSOLE = "console"
    EXPORT = "export"
    ADMIN = "admin"


_OPERATOR_PERMISSIONS = frozenset(set(Permission) - {Permission.ADMIN})

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: _OPERATOR_PERMISSIONS,
    Role.ADMIN: frozenset(Permission),
}

# The words by which a personal token is narrowed. Each lets its holder look, too.
TOKEN_SCOPES: dict[str, frozenset[Permission]] = {
    **{word.value: frozenset({Permission.READ, word}) for word in Permission},
    "operate": _OPERATOR_PERMISSIONS,
    Permission.ADMIN.value: frozenset(Permission),
}


class AlertKind(Word):
    """What a rule watches."""

    INSTANCE_USAGE = "instance_usage"
    NODE_USAGE = "node_usage"
    INSTANCE_DOWN = "instance_down"
    INSTANCE_UNHEALTHY = "instance_unhealthy"
    NODE_UNREACHABLE = "node_unreachable"
    POOL_FILLING = "pool_filling"
    OPERATION_FAILED = "operation_failed"
    BACKUP_OVERDUE = "backup_overdue"
    INSTANCE_UNMANAGED = "instance_unmanaged"


# What a rule can measure; rates are bytes a second, percents of what it may use.
ALERT_METRICS: dict[AlertKind, tuple[str, ...]] = {
    AlertKind.INSTANCE_USAGE: (
        "cpu_percent",
        "memory_percent",
        "memory_bytes",
        "network_rx_bytes_per_s",
        "network_tx_bytes_per_s",
        "disk_read_bytes_per_s",
        "disk_write_bytes_per_s",
        "storage_used_bytes",
    ),
    AlertKind.NODE_USAGE: ("cpu_percent", "memory_percent", "storage_percent"),
    AlertKind.POOL_FILLING: ("storage_percent",),
    # Since the last whole backup, or since it was made while there is none.
    AlertKind.BACKUP_OVERDUE: ("backup_age_hours",),
}
# Only who looks after the whole site hears of its hosts, and of what was made beside LibGo.
SITE_ALERT_KINDS = frozenset(
    {
        AlertKind.NODE_USAGE,
        AlertKind.NODE_UNREACHABLE,
        AlertKind.POOL_FILLING,
        AlertKind.INSTANCE_UNMANAGED,
    }
)


class AlertState(Word):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"

    @property
    def colour(self) -> str:
        return {"pending": "yellow", "firing": "red", "resolved": "green"}[self.value]


class Severity(Word):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def colour(self) -> str:
        return {"info": "azure", "warning": "orange", "critical": "red"}[self.value]


class ChannelKind(Word):
    WEBHOOK = "webhook"
    EMAIL = "email"


class DeliveryState(Word):
    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"

    @property
    def colour(self) -> str:
        return {"queued": "azure", "sending": "blue", "delivered": "green", "failed": "red"}[self.value]


class PoolState(Word):
    """Of storage, as libvirt says it."""

    RUNNING = "running"
    INACTIVE = "inactive"
    BUILDING = "building"
    DEGRADED = "degraded"
    INACCESSIBLE = "inaccessible"

    @property
    def colour(self) -> str:
        return _POOL_COLOURS[self]


_POOL_COLOURS = {
    PoolState.RUNNING: "green",
    PoolState.INACTIVE: "secondary",
    PoolState.BUILDING: "blue",
    PoolState.DEGRADED: "orange",
    PoolState.INACCESSIBLE: "red",
}


class StackState(Word):
    """Of a stack and of each of its services; ``ABSENT``: nothing of it is there."""

    RUNNING = "running"
    PARTIAL = "partial"
    STOPPED = "stopped"
    ABSENT = "absent"

    @property
    def colour(self) -> str:
        return {"running": "green", "partial": "yellow", "stopped": "secondary", "absent": "red"}[self.value]


class NetworkState(Word):
    """Of a network that can be stopped."""

    ACTIVE = "active"
    STOPPED = "stopped"

    @property
    def colour(self) -> str:
        return {"active": "green", "stopped": "secondary"}[self.value]


class ExportState(Word):
    """Of an export, in the words of the older API."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def colour(self) -> str:
        return _EXPORT_COLOURS[self]


_EXPORT_COLOURS = {
    ExportState.PENDING: "azure",
    ExportState.RUNNING: "blue",
    ExportState.COMPLETED: "green",
    ExportState.FAILED: "red",
    ExportState.CANCELED: "secondary",
}


# What has a state that people see, by the name under which templates ask for its colour.
COLOURED: dict[str, type[Word]] = {
    "instance": InstanceState,
    "health": Health,
    "operation": OperationState,
    "node": NodeStatus,
    "backup": BackupState,
    "run": RunState,
    "outcome": Outcome,
    "alert": AlertState,
    "severity": Severity,
    "delivery": DeliveryState,
    "pool": PoolState,
    "stack": StackState,
    "network": NetworkState,
    "export": ExportState,
}


# What each asked-for change is called, before the name of what it is done to: “pull image nginx:1.27”.
ACTION_WORDS: dict[str, str] = {
    "instance.create": "create",
    "instance.update": "update",
    "instance.delete": "delete",
    "instance.start": "start",
    "instance.stop": "stop",
    "instance.restart": "restart",
    "instance.pause": "pause",
    "instance.unpause": "resume",
    "instance.kill": "kill",
    "instance.reset": "reset",
    "instance.save": "save to disk",
    "instance.save_discard": "discard saved memory of",
    "instance.recreate": "recreate",
    "instance.commit": "make image from",
    "instance.restore": "roll back",
    "instance.migrate": "migrate",
    "instance.snapshot": "snapshot",
    "instance.snapshot_delete": "delete snapshot of",
    "instance.export": "export",
    "instance.backup": "back up",
    "instance.cloud_init": "change cloud-init of",
    "instance.define": "redefine",
    "instance.disk_change": "change disk of",
    "instance.drive_remove": "remove drive of",
    "instance.medium_change": "change medium of",
    "instance.network_attach": "connect",
    "instance.network_detach": "disconnect",
    "instance.nic_attach": "attach NIC to",
    "instance.nic_change": "change NIC of",
    "instance.nic_detach": "detach NIC from",
    "instance.storage_attach": "attach disk to",
    "instance.storage_detach": "detach disk from",
    "backup.delete": "delete backup of",
    "backup.verify": "verify backup of",
    "bulk.adopt": "adopt",
    "container.prune": "prune containers",
    "image.build": "build image",
    "image.create": "create image",
    "image.delete": "delete image",
    "image.finish": "check image",
    "image.import": "import image",
    "image.load": "load images",
    "image.prune": "prune images",
    "image.prune_preview": "preview pruning images",
    "image.pull": "pull image",
    "image.push": "push image",
    "image.stage": "receive image",
    "image.tag": "tag image",
    "image.unstage": "discard upload",
    "image.upload": "upload image",
    "network.create": "create network",
    "network.delete": "delete network",
    "network.prune": "prune networks",
    "network.start": "start network",
    "network.stop": "stop network",
    "network.update": "update network",
    "pool.create": "create pool",
    "pool.delete": "delete pool",
    "pool.refresh": "refresh pool",
    "pool.start": "start pool",
    "pool.stop": "stop pool",
    "registry.test": "test registry",
    "stack.delete": "remove stack",
    "stack.deploy": "deploy stack",
    "stack.pull": "pull images of stack",
    "stack.restart": "restart stack",
    "stack.scale": "scale stack",
    "stack.start": "start stack",
    "stack.stop": "stop stack",
    "system.prune": "prune engine",
    "template.instantiate": "create from template",
    "volume.clone": "copy volume",
    "volume.create": "create volume",
    "volume.delete": "delete volume",
    "volume.prune": "prune volumes",
    "volume.resize": "resize volume",
    "volume.upload": "upload into volume",
    "volume.wipe": "wipe volume",
}


def metric_word(metric: str) -> str:
    """``network_rx_bytes_per_s`` as “network rx”."""
    return metric.removesuffix("_per_s").removesuffix("_bytes").removesuffix("_percent").replace("_", " ")


def action_words(action: str) -> str:
    """``instance.create`` as “create”, ``image.pull`` as “pull image”, ``bulk.stop`` as “stop”; what is no
    action of ours with spaces for what is between its words."""
    for known in (action, action.replace("bulk.", "instance.", 1)):
        if known in ACTION_WORDS:
            return ACTION_WORDS[known]
    return action.replace(".", " ").replace("_", " ")


def colour_of(kind: str, word: str) -> str:
    """The colour of a state; grey for a word that an engine knows and we do not."""
    states = COLOURED[kind]
    known: Any = states(word) if word in {each.value for each in states} else None
    return str(known.colour) if known is not None else "secondary"
