"""Pools and volumes: find images, make thin copies, upload, remove."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import libvirt

from compute.backends.types import ImageInfo, Reporter
from compute.errors import BackendError, ImageNotFound, InvalidState, OperationNotSupported
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse, pool_xml, volume_xml
from kvm.engine.image_check import FORMATS, HEAD_BYTES, header_check

POOL_FOLDER = "/var/lib/libvirt/images"
# Names of what belongs to one instance: never offered as an image, removed with the instance.
OWN_PREFIX = "libgo-vm-"
# The volume that an upload goes into, until it is complete and checked.
STAGING_PREFIX = "libgo-upload-"
_CHUNK = 1024 * 1024
_BUSY, _AGAIN_S = "asynchronous jobs running", 0.1
_REFRESH_TIMEOUT_S, _WAIT_S = 120.0, 1800.0
_LOOK_AGAIN_S = 2.0
_SUFFIXES = ("", ".qcow2", ".img", ".raw", ".iso")


def pool_ensure(conn: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """The pool, started; the default one is made when the host has none of that name."""
    try:
        pool = conn.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        pool = conn.storagePoolDefineXML(pool_xml(name, POOL_FOLDER), 0)
        pool.build(0)
        pool.setAutostart(1)
    if not pool.isActive():
        pool.create(0)
    return pool


def pool_refresh(pool: libvirt.virStoragePool, *, within_s: float = 0.0) -> bool:
    """Look through the pool again. libvirt does not while anything is written there (a copy, an upload):
    then it is tried for ``within_s``; False when it was not to be had."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            pool.refresh(0)
        except libvirt.libvirtError as error:
            # VIR_ERR_INTERNAL_ERROR, whose text alone tells (src/storage/storage_driver.c).
            if _BUSY not in str(error):
                raise
        else:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_AGAIN_S)


def pool_refresh_wait(connection: Connection, name: str, report: Reporter | None = None) -> None:
    """The same, however long others write there; a cancel ends it. Raises ``InvalidState`` in the end."""
    deadline = time.monotonic() + _WAIT_S
    while not connection.call(
        lambda conn: pool_refresh(conn.storagePoolLookupByName(name), within_s=1.0), _REFRESH_TIMEOUT_S
    ):
        if report is not None:
            report.checkpoint()
        if time.monotonic() > deadline:
            raise pool_busy(name)


def pool_busy(name: str) -> InvalidState:
    return InvalidState(
        f"Something is written to the pool {name} all the time (a copy, an upload), and libvirt does not "
        "look through it meanwhile. Try again when that is over.",
        state="busy",
    )


def image_find(pool: libvirt.virStoragePool, image: str) -> libvirt.virStorageVol:
    """A template or ISO by its name, with or without its suffix. Raises ``ImageNotFound``."""
    names = [f"{image}{suffix}" for suffix in _SUFFIXES]
    for attempt in range(2):
        for name in names:
            volume = volume_or_none(pool, name)
            if volume is not None and not name.startswith((OWN_PREFIX, STAGING_PREFIX)):
                return volume
        if attempt == 0:
            # Files that were copied into the folder by hand show only after a refresh.
            pool_refresh(pool, within_s=2.0)
    raise ImageNotFound(
        f"There is no image “{image}” in the pool {pool.name()}. Upload one, or make the demo image with "
        "“libgo manage demo_image”.",
        image=image,
    )


def volume_or_none(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


@contextlib.contextmanager
def vanished_storage_is_fine() -> Iterator[None]:
    """Pools may stop and volumes go while they are looked at; and libvirt lists a volume that it makes before
    its file is there."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (
            libvirt.VIR_ERR_NO_STORAGE_POOL,
            libvirt.VIR_ERR_NO_STORAGE_VOL,
            libvirt.VIR_ERR_OPERATION_INVALID,
        ):
            raise


def volume_written(pool: libvirt.virStoragePool, name: str) -> int:
    """How many bytes a volume that is being made takes by now; 0 before its file is there."""
    with vanished_storage_is_fine():
        volume = volume_or_none(pool, name)
        return int(volume.info()[2]) if volume is not None else 0
    return 0


def volume_at(conn: libvirt.virConnect, path: str) -> libvirt.virStorageVol | None:
    """The volume of this file; None when no running pool has it. libvirt knows what it made itself and what
    it saw at its last look through the pool, so a file that it does not know is looked for once more."""
    volume = _volume_known(conn, path)
    pool = pool_of_folder(conn, os.path.dirname(path)) if volume is None else None
    if pool is not None:
        pool_refresh(pool, within_s=_LOOK_AGAIN_S)
        volume = _volume_known(conn, path)
    return volume


def _volume_known(conn: libvirt.virConnect, path: str) -> libvirt.virStorageVol | None:
    try:
        return conn.storageVolLookupByPath(path)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


def disk_volume(conn: libvirt.virConnect, target: str, path: str, capability: str) -> libvirt.virStorageVol:
    """The volume of a machine's disk. Raises ``InvalidState`` when its pool is stopped, and
    ``OperationNotSupported`` when there is none."""
    volume = volume_at(conn, path)
    if volume is not None:
        return volume
    for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE):
        if _folder_of(pool) == os.path.dirname(path):
            raise InvalidState(
                f"Its disk {target} is in the pool {pool.name()}, which is stopped. Start the pool.",
                state="inactive",
            )
    raise OperationNotSupported(
        f"Its disk {target} is in no storage pool of the node. Define a pool for its folder.",
        capability=capability,
    )


def _folder_of(pool: libvirt.virStoragePool) -> str:
    return str(parse(pool.XMLDesc(0)).findtext("./target/path") or "").rstrip("/")


def pool_of_folder(conn: libvirt.virConnect, folder: str) -> libvirt.virStoragePool | None:
    """The running pool whose volumes lie there."""
    for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        if _folder_of(pool) == folder.rstrip("/"):
            return pool
    return None


def volume_format(volume: libvirt.virStorageVol) -> str:
    """``qcow2``, ``raw``, ``iso`` ..., as libvirt found it."""
    element = parse(volume.XMLDesc(0)).find("./target/format")
    return str(element.get("type")) if element is not None else "raw"


def volume_delete(pool: libvirt.virStoragePool, name: str) -> None:
    """Gone afterwards; absent is fine."""
    volume = volume_or_none(pool, name)
    if volume is not None:
        volume.delete(0)


def disk_clone(
    pool: libvirt.virStoragePool,
    image: libvirt.virStorageVol,
    name: str,
    capacity_bytes: int,
    disk_format: str,
) -> libvirt.virStorageVol:
    """A disk that starts as the image: a thin copy for qcow2, a full one for raw. Raises
    ``InvalidInput`` for an image that names other files."""
    image_require(image)
    if disk_format == "raw":
        volume = pool.createXMLFrom(volume_xml(name, capacity_bytes, "raw"), image, 0)
        if volume.info()[1] < capacity_bytes:
            volume.resize(capacity_bytes, 0)
        return volume
    backing = (image.path(), volume_format(image))
    return pool.createXML(volume_xml(name, capacity_bytes, "qcow2", backing), 0)


def image_require(image: libvirt.virStorageVol, field: str = "config.image") -> None:
    """Raises ``InvalidInput`` (of ``field``) for an image whose header names other files of the
    host, or is not what libvirt guesses: QEMU would open those for the machine."""
    try:
        size = int(image.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
        head = piece_read(image, 0, HEAD_BYTES)
    except libvirt.libvirtError as error:
        # libvirt's test driver has no content.
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return
        raise
    if head:
        wanted = volume_format(image)
        wanted = wanted if wanted in FORMATS else ""
        header_check(
            lambda offset, length: piece_read(image, offset, length),
            size,
            wanted=wanted,
            field=field,
        )


def piece_read(item: libvirt.virStorageVol, offset: int, length: int) -> bytes:
    """A piece of the file of a volume; fewer bytes at its end."""
    size = int(item.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
    length = min(length, size - offset)
    if length <= 0:
        return b""
    stream = item.connect().newStream(0)
    item.download(stream, offset, length, 0)
    found = bytearray()
    while len(found) < length:
        piece = stream.recv(min(_CHUNK, length - len(found)))
        if not isinstance(piece, bytes) or not piece:
            break
        found += piece
    stream.finish()
    return bytes(found)


def disk_blank(
    pool: libvirt.virStoragePool, name: str, capacity_bytes: int, disk_format: str
) -> libvirt.virStorageVol:
    return pool.createXML(volume_xml(name, capacity_bytes, disk_format), 0)


@dataclass(frozen=True)
class NewVolume:
    """A volume to be made: ``kind`` is its format."""

    name: str
    kind: str
    capacity_bytes: int


def upload(
    conn: libvirt.virConnect, pool: libvirt.virStoragePool, wanted: NewVolume, data: bytes
) -> libvirt.virStorageVol:
    """A new volume with this content; nothing is left when the upload fails."""
    volume = pool.createXML(volume_xml(wanted.name, wanted.capacity_bytes, wanted.kind), 0)
    stream = conn.newStream(0)
    try:
        volume.upload(stream, 0, len(data), 0)
        for start in range(0, len(data), _CHUNK):
            _send(stream, data[start : start + _CHUNK])
        stream.finish()
    except (libvirt.libvirtError, BackendError):
        volume.delete(0)
        raise
    # Asked for its size, libvirt looks into the file again.
    volume.info()
    return volume


def image_infos(pool: libvirt.virStoragePool) -> list[ImageInfo]:
    """Everything in the pool that is not the disk of an instance, nor on its way in."""
    found = []
    for volume in pool.listAllVolumes(0):
        name = volume.name()
        if not name.startswith((OWN_PREFIX, STAGING_PREFIX)):
            kind = "iso" if name.lower().endswith(".iso") else "template"
            with vanished_storage_is_fine():
                found.append(ImageInfo(name, int(volume.info()[1]), None, kind))
    return sorted(found, key=lambda image: image.name)


def _send(stream: libvirt.virStream, data: bytes) -> None:
    while data:
        sent = stream.send(data)
        if sent <= 0:
            raise BackendError("libvirt took no more of the upload.")
        data = data[sent:]
