"""Take back recorded steps, whoever recorded them."""

from __future__ import annotations

from collections.abc import Callable

from compute.backends.types import UndoStep
from kvm.engine.connection import Connection
from kvm.engine.copies import UNDO_BACKUP, backup_undo
from kvm.engine.create import domain_undo
from kvm.engine.devices import UNDO_DISK, disk_undo
from kvm.engine.export import UNDO_FOLDER, folder_undo
from kvm.engine.layers import UNDO_LAYER, layer_undo
from kvm.engine.networks import UNDO_NETWORK, Networks
from kvm.engine.pools import UNDO_POOL, Pools
from kvm.engine.seeds import UNDO_SEED, seed_undo
from kvm.engine.snapshots import UNDO_SNAPSHOT, snapshot_undo
from kvm.engine.volumes import UNDO_BLANK, UNDO_MADE, Volumes

_KINDS: dict[str, Callable[[Connection, UndoStep], None]] = {
    UNDO_BACKUP: backup_undo,
    UNDO_FOLDER: folder_undo,
    UNDO_DISK: disk_undo,
    UNDO_LAYER: layer_undo,
    UNDO_SEED: seed_undo,
    UNDO_SNAPSHOT: snapshot_undo,
    UNDO_NETWORK: lambda connection, step: Networks(connection).undo(str(step.ref["uuid"])),
    UNDO_POOL: lambda connection, step: Pools(connection).undo(step),
    UNDO_MADE: lambda connection, step: Volumes(connection).undo(step),
    UNDO_BLANK: lambda connection, step: Volumes(connection).undo(step),
}


def step_undo(connection: Connection, step: UndoStep) -> None:
    """Idempotent. What nobody else recorded is a step of a create."""
    connection.settle()
    _KINDS.get(step.kind, domain_undo)(connection, step)
