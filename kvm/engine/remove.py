"""Remove domains, and what was made for them alone."""

from __future__ import annotations

import contextlib
import uuid

import libvirt

from compute.errors import InstanceNotFound, VolumeInUse
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import metadata_read, parse
from kvm.engine.domains import lookup, vanished_is_fine
from kvm.engine.names import SERIAL_LOGS, names_of, serial_log_path, stem_of
from kvm.engine.scan import scan

REMOVE_TIMEOUT_S = 120.0
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def domain_delete(connection: Connection, engine_id: str, *, keep_storage: bool) -> None:
    """Off, undefined, and the volumes made for it alone gone; absent is fine. Raises ``VolumeInUse``,
    before anything is done, when thin copies of others stand on them."""
    pool_name = str(connection.node.options.get("pool_name", "default"))

    def method(conn: libvirt.virConnect) -> str:
        ours, name = "", ""
        with vanished_is_fine():
            domain = lookup(conn, engine_id)
            name = domain.name()
            ours = str(metadata_read(parse(domain.XMLDesc(0))).get("instance", ""))
            if ours == str(uuid.UUID(engine_id)) and not keep_storage:
                _copies_refuse(conn, ours)
            remove(domain)
        if ours and ours == str(uuid.UUID(engine_id)):
            volume_gone(conn, pool_name, names_of(ours)["seed"])
            if not keep_storage:
                volumes_gone(conn, ours)
        return name if ours else ""

    try:
        own_name = connection.call(method, REMOVE_TIMEOUT_S)
    except InstanceNotFound:
        return
    logs_remove(engine_id, own_name)


def _copies_refuse(conn: libvirt.virConnect, instance_id: str) -> None:
    stem, seen = stem_of(instance_id), scan(conn)
    above = seen.standing_on()
    copies = {
        copy.engine_id
        for path, found in above.items()
        if seen.volumes[path].name.startswith(stem)
        for copy in found
        if not copy.name.startswith(stem)
    }
    if copies:
        raise VolumeInUse(
            f"{len(copies)} volumes are thin copies of its disk, {min(copies)} for one, and would be lost "
            "with it. Delete them first, or delete the machine and keep its storage.",
            users=sorted(copies)[:20],
        )


def remove(domain: libvirt.virDomain) -> None:
    destroy(domain)
    if not domain.isPersistent():
        return
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        # Drivers without NVRAM refuse the flag.
        domain.undefine()


def destroy(domain: libvirt.virDomain) -> None:
    try:
        if domain.isActive():
            domain.destroy()
    except libvirt.libvirtError as error:
        # It went off by itself in between.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def volume_gone(conn: libvirt.virConnect, pool_name: str, name: str) -> None:
    try:
        pool = conn.storagePoolLookupByName(pool_name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return
        raise
    if not pool.isActive():
        pool.create(0)
    storage.volume_delete(pool, name)


def volumes_gone(conn: libvirt.virConnect, instance_id: str) -> None:
    """Its disks, detached ones too, and the overlays of its external snapshots, wherever they are."""
    for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        for volume in pool.listAllVolumes(0):
            if volume.name().startswith(stem_of(instance_id)):
                storage.volume_delete(pool, volume.name())


def logs_remove(engine_id: str, own_name: str) -> None:
    """The serial log and what virtlogd rotated out of it; with the name of a domain that was ours
    also what QEMU said about it."""
    path = serial_log_path(engine_id)
    with contextlib.suppress(OSError):
        for found in path.parent.glob(f"{path.name}*"):
            found.unlink(missing_ok=True)
        if own_name:
            (SERIAL_LOGS / f"{own_name}.log").unlink(missing_ok=True)
