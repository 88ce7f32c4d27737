"""Volumes of one host: listed with what they stand on and who uses them, made, grown, copied, wiped,
removed; their content read and written piece by piece.

Every piece is a call of its own with a deadline, so a transfer never hangs with a daemon that does,
and where it got to is always known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

import libvirt

from compute.backends.types import Reporter, ResourceInfo, UndoStep
from compute.errors import (
    BackendError,
    InvalidInput,
    InvalidState,
    NameConflict,
    PayloadTooLarge,
    VolumeInUse,
    VolumeNotFound,
)
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import volume_xml
from kvm.engine.image_check import HEAD_BYTES, CheckedImage, header_check
from kvm.engine.pools import pool_lookup
from kvm.engine.scan import Scan, Volume, scan
from kvm.engine.storage import STAGING_PREFIX, piece_read, volume_delete, volume_or_none, volume_written

UNDO_MADE, UNDO_BLANK = "volume_made", "volume_blank"
PIECE_BYTES = 4 * 1024**2
_PIECE_TIMEOUT_S = 60.0
_WORK_TIMEOUT_S = 120.0
_COPY_TIMEOUT_S = 6 * 3600.0
_LOOK_EVERY_S = 0.5
# What a qcow2 image needs beside its content, at most: tables, and one cluster of each to begin with.
_OVERHEAD_PART, _OVERHEAD_BYTES = 50, 4 * 1024**2


@dataclass(frozen=True)
class Place:
    """Where a volume is."""

    pool: str
    name: str

    @property
    def engine_id(self) -> str:
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True)
class VolumeWanted:
    """A volume as asked for. ``backing`` is what it will be a thin copy of."""

    pool: str
    name: str
    capacity_bytes: int
    format: str
    backing: Place | None = None
    backing_format: str = ""

    @property
    def place(self) -> Place:
        return Place(self.pool, self.name)


class Volumes:
    """What one host can do with volumes. Every method raises only ``ComputeError``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[ResourceInfo]:
        found = self._connection.call(scan, _WORK_TIMEOUT_S)
        above = found.standing_on()
        return [
            volume_info(found, volume, above.get(volume.path, []))
            for volume in found.volumes.values()
            if not volume.name.startswith(STAGING_PREFIX)
        ]

    def create(self, wanted: VolumeWanted, report: Reporter) -> None:
        """A new, empty one, or a thin copy. Raises ``NameConflict``, ``InvalidInput``."""

        def make(conn: libvirt.virConnect) -> None:
            pool = pool_running(conn, wanted.pool)
            backing = None
            if wanted.backing is not None:
                base = _found(scan(conn), wanted.backing)
                if base.writers:
                    raise VolumeInUse(
                        f"{base.name} is the disk of a machine, which would change under a thin copy."
                    )
                backing = (base.path, _trusted(conn, base, wanted.backing_format))
            elif wanted.format == "raw" and wanted.capacity_bytes > int(pool.info()[3]):
                raise InvalidInput.field("capacity_bytes", "is more than what is free in the pool.")
            pool.createXML(volume_xml(wanted.name, wanted.capacity_bytes, wanted.format, backing), 0)

        self.free_require(wanted.place)
        report.undo(UndoStep(UNDO_MADE, {"pool": wanted.pool, "name": wanted.name}))
        self._connection.call(make, _WORK_TIMEOUT_S)

    def free_require(self, place: Place) -> None:
        """Raises ``NameConflict`` when the pool has one of this name, ``PoolNotFound``."""

        def method(conn: libvirt.virConnect) -> bool:
            return volume_or_none(pool_running(conn, place.pool), place.name) is None

        if not self._connection.call(method):
            raise name_taken(place)

    def delete(self, place: Place) -> None:
        """Gone afterwards, with its content; absent is fine. Raises ``VolumeInUse``."""

        def method(conn: libvirt.virConnect) -> None:
            found = scan(conn)
            volume = found.find(place.pool, place.name)
            if volume is not None:
                unused_require(found, volume)
            volume_delete(pool_running(conn, place.pool), place.name)

        self._connection.call(method, _WORK_TIMEOUT_S)

    def resize(self, place: Place, capacity_bytes: int, *, known: str = "") -> None:
        """Larger afterwards. Raises ``InvalidInput`` for less than it has: what is behind the new end
        would be lost, and libvirt does it without a word."""

        def method(conn: libvirt.virConnect) -> None:
            found = scan(conn)
            volume = _found(found, place)
            idle_require(volume, "Resize the disk of the machine instead.")
            if found.standing_on().get(volume.path):
                raise VolumeInUse(f"{place.name} has thin copies; what they stand on is not changed.")
            if capacity_bytes < volume.capacity:
                raise InvalidInput.field(
                    "capacity_bytes",
                    f"must be at least {volume.capacity}, what it has now: volumes are never made smaller.",
                )
            _trusted(conn, volume, known)
            if capacity_bytes > volume.capacity:
                lookup(conn, place).resize(capacity_bytes, 0)

        self._connection.call(method, _WORK_TIMEOUT_S)

    def wipe(self, place: Place, *, known: str = "") -> None:
        """Overwritten with zeros and empty afterwards, of the same size and format. Raises
        ``VolumeInUse``."""

        def method(conn: libvirt.virConnect) -> Volume:
            found = scan(conn)
            volume = _found(found, place)
            unused_require(found, volume)
            lookup(conn, place).wipe(0)
            return volume

        volume = self._connection.call(method, _COPY_TIMEOUT_S)
        if (known or volume.format) not in ("raw", "iso"):
            # Its header was overwritten too.
            self.blank(place, volume.capacity, known or volume.format)

    def blank(self, place: Place, capacity_bytes: int, volume_format: str) -> None:
        """Made anew, without content."""

        def method(conn: libvirt.virConnect) -> None:
            pool = pool_running(conn, place.pool)
            volume_delete(pool, place.name)
            made_as = "raw" if volume_format == "iso" else volume_format
            pool.createXML(volume_xml(place.name, capacity_bytes, made_as), 0)

        self._connection.call(method, _WORK_TIMEOUT_S)

    def copy(
        self, source: Place, wanted: VolumeWanted, report: Reporter, *, known: str = "", upto: float = 95
    ) -> None:
        """A full copy that stands on its own, in ``wanted.format``; progress goes up to ``upto``.
        ``known`` is the format that the source is known to have. Raises ``InvalidState`` for the disk
        of a running machine, and for content that pretends to be another format."""
        size = self._connection.call(lambda conn: self._copy_check(conn, source, known))
        self.free_require(wanted.place)
        report.undo(UndoStep(UNDO_MADE, {"pool": wanted.pool, "name": wanted.name}))
        xml = volume_xml(wanted.name, max(size, wanted.capacity_bytes), wanted.format)

        def make(conn: libvirt.virConnect) -> None:
            pool = pool_running(conn, wanted.pool)
            made = pool.createXMLFrom(xml, lookup(conn, source), 0)
            if int(made.info()[1]) < wanted.capacity_bytes:
                made.resize(wanted.capacity_bytes, 0)

        self._watched(make, wanted.place, max(size, 1), (report, upto))

    def read(self, place: Place, offset: int, length: int) -> bytes:
        """A piece of its file; fewer bytes at the end."""

        def method(conn: libvirt.virConnect) -> bytes:
            return piece_read(lookup(conn, place), offset, length)

        return self._connection.call(method, _PIECE_TIMEOUT_S)

    def write(self, place: Place, offset: int, data: bytes) -> None:
        """A piece of its file, there when this returns."""

        def method(conn: libvirt.virConnect) -> None:
            stream = conn.newStream(0)
            lookup(conn, place).upload(stream, offset, len(data), 0)
            view = memoryview(data)
            while view:
                sent = stream.send(bytes(view[: 1024**2]))
                if sent <= 0:
                    stream.abort()
                    raise BackendError("libvirt took no more of the upload.")
                view = view[sent:]
            stream.finish()

        self._connection.call(method, _PIECE_TIMEOUT_S)

    def file_bytes(self, place: Place) -> int:
        """How large its file is."""
        flag = libvirt.VIR_STORAGE_VOL_GET_PHYSICAL
        return self._connection.call(lambda conn: int(lookup(conn, place).infoFlags(flag)[2]))

    def fresh(self, place: Place) -> ResourceInfo:
        """As it is now. Raises ``VolumeNotFound``."""
        found = self._connection.call(scan, _WORK_TIMEOUT_S)
        volume = _found(found, place)
        return volume_info(found, volume, found.standing_on().get(volume.path, []))

    def download_size(self, pool: str, name: str) -> int:
        """How much a download sends. Raises ``InvalidState`` for a disk that a running machine writes
        to, or that is worth nothing without the one under it."""

        def method(conn: libvirt.virConnect) -> Volume:
            return _found(scan(conn), place)

        place = Place(pool, name)
        volume = self._connection.call(method)
        idle_require(volume, "Stop the machine, or export it.")
        if volume.backing_path:
            raise InvalidState(
                f"{place.name} is a thin copy: alone it is worth nothing. Make a full clone and take that."
            )
        return self.file_bytes(place)

    def download_piece(self, pool: str, name: str, offset: int, length: int) -> bytes:
        return self.read(Place(pool, name), offset, length)

    def upload(
        self, place: Place, chunks: Iterable[bytes], size: int | None, report: Reporter, *, known: str = ""
    ) -> str:
        """Take the content from ``chunks``; returns their SHA-256. Nothing is written of what is
        another format, names other files or is larger than the volume; a failure later leaves it
        empty. Raises ``InvalidInput``, ``PayloadTooLarge``, ``VolumeInUse``."""

        def check(conn: libvirt.virConnect) -> Volume:
            found = scan(conn)
            volume = _found(found, place)
            unused_require(found, volume)
            volume.format = known or volume.format
            return volume

        volume = self._connection.call(check)
        most = _file_max(volume)
        if size is not None and size > most:
            raise _too_much(volume)
        ref = {"pool": place.pool, "name": place.name, "capacity": volume.capacity, "format": volume.format}
        digest, offset = hashlib.sha256(), 0
        for piece in pieces(chunks):
            if offset == 0:
                _head_check(piece, volume)
                report.undo(UndoStep(UNDO_BLANK, ref))
                # Nothing of what was in it may stay behind the end of what comes.
                self.blank(place, volume.capacity, volume.format)
            if offset + len(piece) > most:
                raise _too_much(volume)
            self.write(place, offset, piece)
            digest.update(piece)
            offset += len(piece)
            report.progress(90 * offset / (size or most), f"{offset // 1024**2} MiB have arrived")
        if offset == 0:
            raise InvalidInput("The body is empty: nothing was uploaded.")
        self._upload_end(place, volume, offset)
        return digest.hexdigest()

    def undo(self, step: UndoStep) -> None:
        """What was made goes; what was half overwritten becomes empty."""
        self._connection.settle()
        place = Place(str(step.ref["pool"]), str(step.ref["name"]))
        if step.kind == UNDO_BLANK:
            self.blank(place, int(step.ref["capacity"]), str(step.ref["format"]))
            return
        self._connection.call(
            lambda conn: volume_delete(pool_running(conn, place.pool), place.name), _WORK_TIMEOUT_S
        )

    def _copy_check(self, conn: libvirt.virConnect, source: Place, known: str) -> int:
        """The capacity of the source, which libvirt's guess must read as what it is known to be."""
        volume = _found(scan(conn), source)
        idle_require(volume, "Stop the machine first.")
        _trusted(conn, volume, known)
        return volume.capacity

    def _watched(
        self,
        make: Callable[[libvirt.virConnect], None],
        place: Place,
        size: int,
        told: tuple[Reporter, float],
    ) -> None:
        """Let libvirt copy on a thread, and tell how far the new file has grown."""
        report, upto = told
        with ThreadPoolExecutor(1) as pool:
            work: Future[None] = pool.submit(self._connection.call, make, _COPY_TIMEOUT_S)
            while True:
                try:
                    work.result(_LOOK_EVERY_S)
                    return
                except FutureTimeoutError:
                    if work.done():
                        raise
                grown = self._connection.call(
                    lambda conn: volume_written(pool_running(conn, place.pool), place.name)
                )
                report.progress(min(upto, 10 + (upto - 10) * grown / size), f"Copying to {place.name}")

    def _upload_end(self, place: Place, volume: Volume, length: int) -> None:
        """libvirt must learn what came; it must be no larger than what was there."""

        def method(conn: libvirt.virConnect) -> int:
            return int(lookup(conn, place).info()[1])

        storage.pool_refresh_wait(self._connection, place.pool)
        capacity = self._connection.call(method, _WORK_TIMEOUT_S)
        if volume.format not in ("raw", "iso") and capacity > volume.capacity:
            raise _too_much(volume)


def volume_info(found: Scan, volume: Volume, above: list[Volume]) -> ResourceInfo:
    """``data.domains`` tells who uses it and ``data.copies`` what stands on it: not for everybody's
    eyes, selectors show the part that one may see."""
    chain = found.chain(volume)
    return ResourceInfo(
        kind="volume",
        engine_id=volume.engine_id,
        name=volume.name,
        size_bytes=volume.allocation,
        data={
            "pool": volume.pool,
            "path": volume.path,
            "type": volume.type,
            "format": volume.format,
            "capacity": volume.capacity,
            "allocation": volume.allocation,
            "backing_chain": [_link(item, volume) for item in chain],
            "in_use": bool(volume.uses or above),
            "domains": [
                {
                    "engine_id": use.engine_id,
                    "name": use.name,
                    "target": use.target,
                    "readonly": use.is_readonly,
                    "active": use.is_active,
                }
                for use in volume.uses
            ],
            "copies": sorted(item.engine_id for item in above),
        },
    )


def _link(item: Volume | str, top: Volume) -> dict[str, Any]:
    if isinstance(item, str):
        return {"pool": "", "name": item.rsplit("/", 1)[-1], "format": top.backing_format}
    return {"pool": item.pool, "name": item.name, "format": item.format}


def pool_running(conn: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """Raises ``PoolNotFound``, ``InvalidState`` for one that is off."""
    pool = pool_lookup(conn, name)
    if not pool.isActive():
        raise InvalidState(f"The pool {name} does not run. Start it first.", state="inactive")
    return pool


def lookup(conn: libvirt.virConnect, place: Place) -> libvirt.virStorageVol:
    """Raises ``VolumeNotFound``."""
    found = volume_or_none(pool_running(conn, place.pool), place.name)
    if found is None:
        raise volume_absent(place)
    return found


def volume_absent(place: Place) -> VolumeNotFound:
    return VolumeNotFound(
        f"There is no volume “{place.name[:100]}” in the pool {place.pool[:100]}.", name=place.name[:100]
    )


def name_taken(place: Place) -> NameConflict:
    return NameConflict(
        f"There is already a volume “{place.name}” in the pool {place.pool}. Take another name.",
        name=place.name,
    )


def unused_require(found: Scan, volume: Volume) -> None:
    """Raises ``VolumeInUse`` for what a domain has, running or not, and for what others stand on."""
    copies = found.standing_on().get(volume.path, [])
    if volume.uses:
        names = ", ".join(sorted({use.name for use in volume.uses})[:10])
        raise VolumeInUse(f"{volume.name} is a disk of {names}. Detach or delete it there first.")
    if copies:
        names = ", ".join(sorted(item.name for item in copies)[:10])
        raise VolumeInUse(f"{volume.name} is what {names} stand on: without it they are broken.")


def idle_require(volume: Volume, advice: str) -> None:
    """Raises ``InvalidState`` while a running machine may write to it."""
    names = sorted({use.name for use in volume.writers if use.is_active})
    if names:
        raise InvalidState(f"{volume.name} is a disk of {', '.join(names[:5])}, which runs. {advice}")


def _trusted(conn: libvirt.virConnect, volume: Volume, known: str) -> str:
    """The format of a volume that libvirt is about to read by its own guess. Raises ``InvalidState``
    when the guess would be another format than it is known to have: a guest wrote that."""
    told = known or volume.format
    try:
        seen = sniffed(lookup(conn, Place(volume.pool, volume.name)), allow_backing=told == "qcow2")
    except InvalidInput as error:
        raise InvalidState(
            f"The content of {volume.name} names other files of the host, or is damaged. Wipe it, or write "
            "it anew."
        ) from error
    if seen is not None and (told in ("raw", "iso")) != (seen.format in ("raw", "iso")):
        raise InvalidState(
            f"{volume.name} is a {told} disk whose content looks like {seen.format}: whoever reads it as "
            "that would read what it names. Wipe it, or write it anew."
        )
    return told


def sniffed(item: libvirt.virStorageVol, *, allow_backing: bool = False) -> CheckedImage | None:
    """What the head of a volume says it is; None where its content cannot be read (libvirt's test
    driver). Raises ``InvalidInput`` for one that names other files, which ``allow_backing`` lets
    through: the format is then known to be real, and what is under it was put there by us."""
    try:
        head = piece_read(item, 0, HEAD_BYTES)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return None
        raise
    if not head:
        return CheckedImage("raw", 1, 1)
    if allow_backing and head[:4] == b"QFI\xfb":
        return CheckedImage("qcow2", 1, 1)

    def read(offset: int, length: int) -> bytes:
        return piece_read(item, offset, length)

    return header_check(read, int(item.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]), field="image")


def pieces(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes in pieces of ``PIECE_BYTES``; the first holds any header."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)


def _found(found: Scan, place: Place) -> Volume:
    volume = found.find(place.pool, place.name)
    if volume is None:
        raise volume_absent(place)
    return volume


def _file_max(volume: Volume) -> int:
    """How large the file of a volume can be at most."""
    if volume.format in ("raw", "iso"):
        return volume.capacity
    return volume.capacity + volume.capacity // _OVERHEAD_PART + _OVERHEAD_BYTES


def _head_check(piece: bytes, volume: Volume) -> None:
    def read(offset: int, length: int) -> bytes:
        return piece[offset : offset + length]

    found = header_check(read, len(piece), wanted=volume.format, field="body")
    if volume.format not in ("raw", "iso") and found.virtual_bytes > volume.capacity:
        raise _too_much(volume)


def _too_much(volume: Volume) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"This is more than the volume {volume.name} holds, {volume.capacity} bytes. Make it larger first.",
        capacity_bytes=volume.capacity,
    )
