"""Storage pools: made, started, stopped, looked at again, forgotten.

Source: https://libvirt.org/formatstorage.html and https://libvirt.org/storage.html
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import libvirt
from lxml import etree
from lxml.builder import E

from compute.backends.types import Reporter, ResourceInfo, UndoStep
from compute.errors import InvalidState, NameConflict, OperationNotSupported, PoolNotFound, VolumeInUse
from compute.tell import tell
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse
from kvm.engine.scan import DiskUse, Pool, Scan, scan

UNDO_POOL = "pool"
_WORK_TIMEOUT_S = 120.0
# What libvirt runs for a pool of this type, and the package that brings it; it says so only when the
# pool is started.
_TOOLS: dict[str, tuple[str, str]] = {
    "logical": ("vgs", "lvm2"),
    "iscsi": ("iscsiadm", "open-iscsi"),
    "netfs": ("mount.nfs", "nfs-common"),
    "zfs": ("zpool", "zfsutils-linux"),
}
_TOOL_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class PoolWanted:
    """A pool as asked for, already checked. ``source`` may have ``host, dir, device, name, format``."""

    name: str
    type: str
    path: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = True


class Pools:
    """What one host can do with pools. Every method raises only ``ComputeError``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[ResourceInfo]:
        found = self._connection.call(scan)
        return [pool_info(found, pool) for pool in found.pools]

    def types(self) -> Sequence[dict[str, Any]]:
        """``{type, supported, missing}`` of every type that libvirt knows: ``missing`` is what has to
        be installed on the host, where that can be told."""
        root = parse(self._connection.call(lambda conn: conn.getStoragePoolCapabilities(0)))
        found = []
        for pool in root.iterfind("./pool"):
            name, known = str(pool.get("type", "")), pool.get("supported") == "yes"
            missing = "" if known else f"libvirt-daemon-driver-storage-{name}"
            if known and self._connection.is_local and name in _TOOLS:
                tool, package = _TOOLS[name]
                missing = "" if shutil.which(tool, path=_TOOL_PATH) else package
            found.append({"type": name, "supported": not missing, "missing": missing})
        return found

    def type_require(self, wanted: str) -> None:
        """Raises ``OperationNotSupported`` with what is missing on the host."""
        if self._connection.is_test_driver:
            return
        known = {item["type"]: item for item in self.types()}
        if wanted not in known:
            raise OperationNotSupported(
                f"libvirt on this host knows no pools of type “{wanted}”.", capability=wanted
            )
        if not known[wanted]["supported"]:
            package = known[wanted]["missing"]
            raise OperationNotSupported(
                f"This host cannot use pools of type “{wanted}”: the package {package} is missing. "
                "Install it there, and try again.",
                capability=wanted,
                missing=package,
            )

    def create(self, wanted: PoolWanted, pool_uuid: str, report: Reporter) -> None:
        """Defined, built, started. ``pool_uuid`` is its mark for undo. Raises ``NameConflict``,
        ``OperationNotSupported``."""
        self.type_require(wanted.type)
        report.progress(20, "Looking at the host")
        self._connection.call(lambda conn: _free_require(conn, wanted))
        folder_is_new = bool(wanted.path) and self._connection.is_local and not os.path.lexists(wanted.path)
        report.undo(UndoStep(UNDO_POOL, {"uuid": pool_uuid, "folder_is_new": folder_is_new}))
        report.progress(50, f"Making the pool {wanted.name}")

        def make(conn: libvirt.virConnect) -> None:
            pool = conn.storagePoolDefineXML(_xml(wanted, pool_uuid), 0)
            if wanted.type in ("dir", "fs", "netfs"):
                pool.build(0)
            pool.create(0)
            if wanted.autostart:
                pool.setAutostart(1)

        self._connection.call(make, _WORK_TIMEOUT_S)

    def start(self, name: str) -> None:
        """Running afterwards; a no-op when it is."""

        def method(conn: libvirt.virConnect) -> None:
            pool = pool_lookup(conn, name)
            if not pool.isActive():
                pool.create(0)

        self._connection.call(method, _WORK_TIMEOUT_S)

    def stop(self, name: str, *, force: bool) -> None:
        """Not running afterwards; its content stays. Raises ``VolumeInUse`` for one that running
        domains use, unless ``force``."""

        def method(conn: libvirt.virConnect) -> None:
            pool = pool_lookup(conn, name)
            if not force:
                unused_require(scan(conn), pool.name(), only_active=True)
            if pool.isActive():
                pool.destroy()

        self._connection.call(method, _WORK_TIMEOUT_S)

    def refresh(self, name: str) -> None:
        """Looked at again: files that came or went by hand. Raises ``InvalidState`` when it is off."""

        def method(conn: libvirt.virConnect) -> None:
            pool = pool_lookup(conn, name)
            if not pool.isActive():
                raise InvalidState(f"The pool {name} does not run. Start it first.", state="inactive")
            if not storage.pool_refresh(pool, within_s=5.0):
                raise storage.pool_busy(name)

        self._connection.call(method, _WORK_TIMEOUT_S)

    def delete(self, name: str, *, force: bool) -> None:
        """Forgotten by libvirt; what is in it stays where it is. Absent is fine. Raises
        ``VolumeInUse`` for one that domains use, running or not, unless ``force``."""

        def method(conn: libvirt.virConnect) -> None:
            pool = pool_lookup(conn, name)
            if not force:
                unused_require(scan(conn), pool.name(), only_active=False)
            _forget(pool)

        with contextlib.suppress(PoolNotFound):
            self._connection.call(method, _WORK_TIMEOUT_S)

    def undo(self, step: UndoStep) -> None:
        """Forget what a create defined, and the folder that it made if nothing is in it."""
        self._connection.settle()

        def method(conn: libvirt.virConnect) -> None:
            pool = conn.storagePoolLookupByUUIDString(step.ref["uuid"])
            if step.ref["folder_is_new"]:
                if pool.isActive():
                    pool.destroy()
                with contextlib.suppress(libvirt.libvirtError):
                    # Fails when something is in it by now: then it stays.
                    pool.delete(0)
            _forget(pool)

        with contextlib.suppress(PoolNotFound):
            self._connection.call(method, _WORK_TIMEOUT_S)


def pool_info(found: Scan, pool: Pool) -> ResourceInfo:
    volumes = found.of_pool(pool.name)
    users = {use.engine_id for volume in volumes for use in volume.uses}
    return ResourceInfo(
        kind="pool",
        engine_id=pool.uuid,
        name=pool.name,
        size_bytes=pool.capacity,
        data={
            "uuid": pool.uuid,
            "type": pool.type,
            "state": pool.state,
            "path": pool.path,
            "source": pool.source,
            "capacity": pool.capacity,
            "allocation": pool.allocation,
            "available": pool.available,
            "autostart": pool.autostart,
            "persistent": pool.persistent,
            "volume_count": len(volumes),
            "in_use": bool(users),
            "of_host": True,
        },
    )


def pool_lookup(conn: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """By name. Raises ``PoolNotFound``."""
    try:
        return conn.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise PoolNotFound(f"There is no storage pool “{name[:100]}”.", name=name[:100]) from error
        raise


def unused_require(found: Scan, pool: str, *, only_active: bool) -> None:
    """Raises ``VolumeInUse`` naming the domains that have disks in the pool, or under their disks."""
    names: dict[str, DiskUse] = {}
    for volume in found.volumes.values():
        if volume.uses and pool in found.pools_under(volume):
            names.update({use.name: use for use in volume.uses if use.is_active or not only_active})
    if names:
        told, word = ", ".join(sorted(names)[:10]), tell("running machines") if only_active else "machines"
        raise VolumeInUse(
            f"The pool {pool} holds disks of {word}: {told}. Stop them first, or force it.",
            machines=sorted(names)[:50],
        )


def _free_require(conn: libvirt.virConnect, wanted: PoolWanted) -> None:
    for pool in scan(conn).pools:
        if pool.name == wanted.name:
            raise NameConflict(f"There is already a storage pool “{wanted.name}”.", name=wanted.name)
        if wanted.path and pool.path.rstrip("/") == wanted.path.rstrip("/"):
            raise NameConflict(
                f"The pool “{pool.name}” has this folder already; use that one.", name=pool.name
            )


def _forget(pool: libvirt.virStoragePool) -> None:
    if pool.isActive():
        pool.destroy()
    # A pool without a definition is gone with that.
    with contextlib.suppress(libvirt.libvirtError):
        pool.undefine()


def _xml(wanted: PoolWanted, pool_uuid: str) -> str:
    root = E.pool(E.name(wanted.name), E.uuid(str(uuid.UUID(pool_uuid))), type=wanted.type)
    source, given = E.source(), wanted.source
    if given.get("host"):
        source.append(E.host(name=given["host"]))
    if given.get("dir"):
        source.append(E.dir(path=given["dir"]))
    if given.get("device"):
        source.append(E.device(path=given["device"]))
    if given.get("name"):
        source.append(E.name(given["name"]))
    if given.get("format"):
        source.append(E.format(type=given["format"]))
    if len(source):
        root.append(source)
    if wanted.path:
        root.append(E.target(E.path(wanted.path)))
    return str(etree.tostring(root, encoding="unicode"))
