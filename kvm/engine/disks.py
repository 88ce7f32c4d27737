"""The volumes behind the disks of a machine: made for it, or taken as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

from compute.errors import InvalidInput, InvalidState, PoolNotFound, VolumeInUse, VolumeNotFound
from kvm.engine import storage
from kvm.engine.domain_xml import Element, parse, volume_xml
from kvm.engine.domains import vanished_is_fine
from kvm.engine.errors import reason
from kvm.engine.scan import scan

_DEFAULT_BLANK = 10 * 1024**3


@dataclass(frozen=True)
class Backed:
    """A volume for a disk: where it is and how it is read."""

    path: str
    format: str
    block: bool = False


def pool_of(conn: libvirt.virConnect, wanted: str, default: str) -> libvirt.virStoragePool:
    """The pool that a disk names; the node's own one is made when it is missing, and started. Raises
    ``PoolNotFound``, and ``InvalidState`` for one that somebody stopped or whose folder is gone."""
    if wanted in ("", default):
        return storage.pool_ensure(conn, default)
    try:
        pool = conn.storagePoolLookupByName(wanted)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        known = ", ".join(sorted(item.name() for item in conn.listAllStoragePools(0))) or "none"
        raise PoolNotFound(
            f"There is no pool “{wanted}” on this node; there are: {known}.", name=wanted
        ) from None
    if not pool.isActive():
        raise InvalidState(f"The pool {wanted} does not run. Start it first.", state="inactive")
    try:
        # libvirt notices only when it looks, and then stops the pool.
        storage.pool_refresh(pool)
    except libvirt.libvirtError as error:
        raise InvalidState(
            f"The pool {wanted} cannot be read ({reason(error)}). Is its disk mounted? Mount it, then "
            "start the pool.",
            state="inactive",
        ) from error
    return pool


def disk_of_image(
    pool: libvirt.virStoragePool, image: libvirt.virStorageVol, name: str, wanted: Mapping[str, Any]
) -> Backed:
    """A disk that starts as the image: a thin copy, or a full one for ``clone: full`` and raw disks."""
    least = int(image.info()[1])
    size = int(wanted.get("size") or least)
    if size < least:
        raise InvalidInput.field(
            "config.disk.size", f"must be at least the size of the image, {least} bytes."
        )
    disk_format = str(wanted.get("format") or "qcow2")
    storage.image_require(image)
    if wanted.get("clone") == "full" and disk_format == "qcow2":
        volume = pool.createXMLFrom(volume_xml(name, size, "qcow2"), image, 0)
        if volume.info()[1] < size:
            volume.resize(size, 0)
    else:
        if wanted.get("clone") == "linked" and disk_format == "raw":
            raise InvalidInput.field("config.disk.clone", "a linked copy needs the format qcow2.")
        volume = storage.disk_clone(pool, image, name, size, disk_format)
    return Backed(volume.path(), disk_format, is_block(volume))


def disk_blank(pool: libvirt.virStoragePool, name: str, wanted: Mapping[str, Any]) -> Backed:
    """A new empty disk."""
    disk_format = str(wanted.get("format") or _format_of_pool(pool))
    volume = storage.disk_blank(pool, name, int(wanted.get("size") or _DEFAULT_BLANK), disk_format)
    return Backed(volume.path(), "raw" if is_block(volume) else disk_format, is_block(volume))


def disk_existing(
    conn: libvirt.virConnect, pool: libvirt.virStoragePool, wanted: Mapping[str, Any]
) -> Backed:
    """A volume that is there, as it is. Raises ``VolumeNotFound``, ``VolumeInUse`` when another machine
    has it and not both read only or shareable, or when thin copies stand on it."""
    name = str(wanted["volume"])
    volume = storage.volume_or_none(pool, name)
    if volume is None:
        storage.pool_refresh(pool, within_s=2.0)
        volume = storage.volume_or_none(pool, name)
    if volume is None:
        raise VolumeNotFound(f"There is no volume “{name}” in the pool {pool.name()}.", name=name)
    users = [] if wanted.get("shareable") or wanted.get("read_only") else users_of(conn, volume.path())
    if users:
        raise VolumeInUse(
            f"The volume {name} is a disk of {', '.join(users)}; two writers would destroy it.",
            name=name,
            users=users,
        )
    copies = [] if wanted.get("read_only") else standing_on(conn, volume.path())
    if copies:
        raise VolumeInUse(
            f"{len(copies)} disks are thin copies of the volume {name}, {copies[0]} for one: writing to it "
            "would destroy them. Make a full copy of it first.",
            name=name,
            users=copies[:20],
        )
    found = str(wanted.get("format") or "")
    if not found:
        # Nobody knows for certain, and its content may be what a guest wrote to be believed.
        storage.image_require(volume, field="config.disk.volume")
        found = storage.volume_format(volume)
    return Backed(volume.path(), found if found == "qcow2" else "raw", is_block(volume))


def users_of(conn: libvirt.virConnect, path: str, *, but: str = "") -> list[str]:
    """Names of the domains that have this path as a disk, now or from their next start; ``but`` leaves
    out one by its UUID."""
    found = set()
    for domain in conn.listAllDomains(0):
        with vanished_is_fine():
            flags = [libvirt.VIR_DOMAIN_XML_INACTIVE, 0] if domain.isActive() else [0]
            roots = [parse(domain.XMLDesc(flag)) for flag in flags]
            if domain.UUIDString() != but and any(path in paths_of(root) for root in roots):
                found.add(str(domain.name()))
    return sorted(found)


def paths_of(root: Element) -> set[str]:
    """What a definition has as disks and media, backing images included where libvirt tells them."""
    return {
        str(source.get(key))
        for source in root.iterfind("./devices/disk//source")
        for key in ("file", "dev")
        if source.get(key)
    }


def standing_on(conn: libvirt.virConnect, path: str) -> list[str]:
    """Volumes, as ``pool/name``, that have this one somewhere under them."""
    return sorted(volume.engine_id for volume in scan(conn).standing_on().get(path, []))


def is_block(volume: libvirt.virStorageVol) -> bool:
    return bool(volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK)


def _format_of_pool(pool: libvirt.virStoragePool) -> str:
    """Only pools that are folders hold files of a format."""
    return "qcow2" if parse(pool.XMLDesc(0)).get("type") in ("dir", "fs", "netfs", None) else "raw"
