"""Machines from files: the file is looked at before anything is asked for, and what is in it passes the
same checks as any new machine."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.errors import InvalidInput, InvalidState, OperationNotSupported
from compute.models import Operation
from compute.selectors.access import action_require
from compute.services.instance_body import name_check
from compute.services.instances import InstanceCreate, instance_create
from compute.services.nodes import node_require
from compute.services.placement import node_pick
from compute.services.projects import project_for
from kvm.looks import ImportLook
from kvm.selectors.nodes import BACKEND, kvm_of

FORMATS = ("ova", "qcow2", "raw", "vmdk", "vdi")
MAX_BYTES = 2**42
FILE = "upload"
_DEFAULT_MEMORY = 512 * 1024**2
_MARK = ".libgo-export"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ImportWish:
    """What the one who sends a file says of it. Empty and None: as the file says, or the default."""

    name: str = ""
    project: str | None = None
    node: str | None = None
    format: str = ""
    sha256: str = ""
    network: str = ""
    bus: str = ""
    firmware: str = ""
    cpu: int | None = None
    memory: int | None = None
    auto_start: bool = False


def import_require(actor: Actor, wish: ImportWish, size: int | None) -> None:
    """All that can be known before the body is read. Raises ``InvalidInput``, ``PermissionDenied``,
    ``OperationNotSupported``, ``InvalidState`` without room."""
    if wish.format and wish.format not in FORMATS:
        raise InvalidInput.field("format", f"must be one of {', '.join(FORMATS)}.")
    if wish.sha256 and not _SHA256.fullmatch(wish.sha256):
        raise InvalidInput.field("sha256", "must be 64 hexadecimal digits.")
    if wish.name:
        name_check(wish.name)
    elif wish.format and wish.format != "ova":
        raise InvalidInput.field("name", "is required: only an OVA says what its machine is called.")
    action_require(actor, "instance.create", project_for(actor, wish.project).pk)
    node = node_pick(actor, BACKEND, wish.node)
    node_require(node)
    if str(Capability.IMPORT) not in node.capabilities:
        raise OperationNotSupported(f"The node {node.name} takes no files.", capability="import")
    spool_room(size or 0)


def spool_folder() -> Path:
    """Where uploads lie while they are looked at, each in a private folder of its own."""
    return Path(settings.VAR_DIR) / "imports"


def spool_make() -> Path:
    """With the mark that lets an undo remove it."""
    spool_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = spool_folder() / str(uuid.uuid4())
    folder.mkdir(mode=0o700)
    (folder / _MARK).touch(mode=0o600)
    (folder / FILE).touch(mode=0o600)
    return folder


def spool_remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def spool_room(size: int) -> None:
    """It is there as it came, cut out and converted, before it goes to the pool."""
    spool_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(spool_folder()).free
    if free < 3 * size + 64 * 1024**2:
        raise InvalidState(
            f"LibGo's own disk has {free // 1024**2} MiB free, too few to take this file.", state="no_space"
        )


def machine_import(actor: Actor, wish: ImportWish, folder: Path, sha256: str) -> Operation:
    """The body has arrived. Raises ``InvalidInput`` for what is not taken, and whatever any new machine
    may be refused for; nothing was made then."""
    if wish.sha256 and wish.sha256.lower() != sha256:
        raise InvalidInput.field("sha256", "is not that of the file that arrived: it was damaged on the way.")
    node = node_pick(actor, BACKEND, wish.node)
    look = kvm_of(node).import_look(folder / FILE, wish.format)
    if look.format == "raw" and wish.format != "raw":
        raise InvalidInput.field(
            "file", "is no disk image by its beginning. If it is a raw disk, say so: format=raw."
        )
    spool_room(sum(disk.size for disk in look.disks))
    body = InstanceCreate(
        name=wish.name or _name(look.name),
        backend=BACKEND,
        node=str(node.pk),
        project=wish.project,
        config=_config(wish, look),
        resources={
            "cpu": {"cores": wish.cpu or look.cpus or 1},
            "memory": {"limit": wish.memory or look.memory_bytes or _DEFAULT_MEMORY},
            "storage": {"total_space": max(2**20, sum(disk.virtual_bytes for disk in look.disks))},
        },
        auto_start=wish.auto_start,
    )
    origin = {"file": {"folder": str(folder), "name": FILE, "format": look.format}}
    return instance_create(actor, body, origin=origin, here=True)


def _config(wish: ImportWish, look: ImportLook) -> dict[str, Any]:
    bus = wish.bus or look.bus or "virtio"
    # An image may be smaller than the smallest disk that can be asked for.
    sizes = [max(2**20, disk.virtual_bytes) for disk in look.disks]
    disks = [{"size": size, "format": "qcow2", "bus": bus} for size in sizes]
    config: dict[str, Any] = {"disk": disks[0], "disks": disks[1:]}
    config["firmware"] = wish.firmware or look.firmware or "bios"
    if look.description:
        config["description"] = look.description
    if wish.network:
        config["networks"] = [wish.network] * (look.nics or 1) if wish.network != "none" else []
    elif look.nics == 0:
        config["networks"] = []
    return config


def _name(told: str) -> str:
    name = _NAME.sub("-", told).strip("-._")[:63]
    if not name:
        raise InvalidInput.field("name", "is required: the file does not say what its machine is called.")
    return name
