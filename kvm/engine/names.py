"""How what belongs to one instance is called, in pools and among the logs."""

from __future__ import annotations

import uuid
from pathlib import Path

from kvm.engine import storage

SERIAL_LOGS = Path("/var/log/libvirt/qemu")


def serial_log_path(instance_id: str) -> Path:
    """Where virtlogd keeps what the guest says on its serial line."""
    return SERIAL_LOGS / f"libgo-{uuid.UUID(instance_id)}-serial.log"


def stem_of(instance_id: str) -> str:
    """What the names of all volumes begin with that were made for this instance alone."""
    return f"{storage.OWN_PREFIX}{uuid.UUID(instance_id)}"


def names_of(instance_id: str) -> dict[str, str]:
    stem = stem_of(instance_id)
    return {"disk": f"{stem}.disk", "seed": f"{stem}-seed.iso"}


def layer_prefix(instance_id: str) -> str:
    """How the overlays of an instance's external snapshots begin."""
    return f"{storage.OWN_PREFIX}{uuid.UUID(instance_id)}.snap-"


def disk_name(instance_id: str, number: int | str) -> str:
    """Of a disk beside the first one."""
    return f"{stem_of(instance_id)}-{number}.disk"


def export_stem(instance_id: str, operation_id: str) -> str:
    """How the copies begin that exist while an instance is exported."""
    return f"{storage.OWN_PREFIX}{uuid.UUID(instance_id)}.export-{uuid.UUID(operation_id).hex[:12]}"


def backup_stem(instance_id: str, operation_id: str) -> str:
    """How the copies begin that exist while an instance is backed up."""
    return f"{storage.OWN_PREFIX}{uuid.UUID(instance_id)}.backup-{uuid.UUID(operation_id).hex[:12]}"
