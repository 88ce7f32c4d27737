"""The library of a host: templates and ISOs that machines are made from.

What gets in is complete, checked and written by our own qemu-img: an upload goes into a volume of its
own first, and is then copied under its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import libvirt

from compute.backends.types import Reporter, ResourceInfo, UndoStep
from compute.errors import ImageInUse, InvalidInput, InvalidState, PayloadTooLarge
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import volume_xml
from kvm.engine.fetch import url_require
from kvm.engine.image_check import HEAD_BYTES, CheckedImage, header_check
from kvm.engine.scan import Scan, Volume, scan
from kvm.engine.volumes import (
    PIECE_BYTES,
    UNDO_MADE,
    Place,
    Volumes,
    VolumeWanted,
    idle_require,
    pieces,
    pool_running,
)

# More than a disk of it holds, for an upload whose length nobody told.
UPLOAD_MAX_BYTES = 1024**4


@dataclass(frozen=True)
class ImageWanted:
    """``format`` is what is said to come: qcow2, raw, iso, vmdk, vdi, or empty. ``sha256`` empty:
    not given."""

    place: Place
    format: str = ""
    sha256: str = ""


class Images:
    """What one host can do with images. Every method raises only ``ComputeError``."""

    def __init__(self, connection: Connection, volumes: Volumes) -> None:
        self._connection, self._volumes = connection, volumes

    def list(self) -> list[ResourceInfo]:
        found = self._connection.call(scan)
        above = found.standing_on()
        return [
            image_info(volume, above.get(volume.path, []))
            for volume in found.volumes.values()
            if is_image(volume)
        ]

    def stage(self, upload_id: str, place: Place, report: Reporter) -> Place:
        """An empty volume for an upload; the name of the image must be free. Raises ``NameConflict``."""
        self._volumes.free_require(place)
        staging = staging_of(upload_id, place.pool)
        report.undo(UndoStep(UNDO_MADE, {"pool": staging.pool, "name": staging.name}))

        def make(conn: libvirt.virConnect) -> None:
            # It grows with what is written.
            pool_running(conn, staging.pool).createXML(volume_xml(staging.name, 0, "raw"), 0)

        self._connection.call(make)
        return staging

    def write(
        self,
        staging: Place,
        wanted: ImageWanted,
        chunks: Iterable[bytes],
        most: int,
        told: Callable[[int], None],
    ) -> str:
        """The whole of an upload; returns its SHA-256. ``told`` hears how much has arrived. Raises
        ``PayloadTooLarge`` beyond ``most``, ``InvalidInput`` for a header that names other files."""
        digest, offset = hashlib.sha256(), 0
        for piece in pieces(chunks):
            if offset + len(piece) > most:
                raise PayloadTooLarge(f"The image is larger than the {most} bytes that were announced.")
            if offset == 0:
                head_check(piece, wanted)
            self._volumes.write(staging, offset, piece)
            digest.update(piece)
            offset += len(piece)
            told(offset)
        return digest.hexdigest()

    def append_piece(
        self, upload_id: str, pool: str, name: str, said: str, offset: int, piece: bytes
    ) -> None:
        """The next piece of an upload that can be taken up again; ``said`` is the format it shall have."""
        if offset == 0 and len(piece) >= HEAD_BYTES:
            head_check(piece, ImageWanted(Place(pool, name), said))
        self._volumes.write(staging_of(upload_id, pool), offset, piece)

    def url_require(self, url: str, allowed: Sequence[str]) -> None:
        """Raises ``PolicyDenied`` for an address that the site does not allow."""
        url_require(url, allowed)

    def name_require(self, place: Place, *, is_iso: bool) -> None:
        """Machines tell a CD-ROM from a template by its name. Raises ``InvalidInput``."""
        _name_fits("iso" if is_iso else "raw", place.name)

    def finish(self, staging: Place, wanted: ImageWanted, digest: str, report: Reporter) -> CheckedImage:
        """Check what has arrived and put it into the library; the staging volume goes. ``digest`` is
        the SHA-256 if it is known already. Raises ``InvalidInput``."""
        size = self._volumes.file_bytes(staging)

        def read(offset: int, length: int) -> bytes:
            return self._volumes.read(staging, offset, length)

        found = header_check(read, size, wanted=wanted.format)
        _name_fits(found.format, wanted.place.name)
        if wanted.sha256 and (digest or self._digest(staging, size, report)) != wanted.sha256:
            raise InvalidInput.field(
                "sha256", "is not that of what arrived: it was damaged on its way. Send it again."
            )
        storage.pool_refresh_wait(self._connection, staging.pool, report)
        kept_as = "raw" if found.format in ("raw", "iso") else "qcow2"
        made = VolumeWanted(wanted.place.pool, wanted.place.name, 0, kept_as)
        self._volumes.copy(staging, made, report, known=found.format)
        report.progress(97, "Tidying up")
        self.unstage(staging)
        return CheckedImage("iso" if found.format == "iso" else kept_as, found.virtual_bytes, size)

    def unstage(self, staging: Place) -> None:
        """The volume of an upload is gone afterwards."""
        if not staging.name.startswith(storage.STAGING_PREFIX):
            raise InvalidState("This is not the volume of an upload.")
        self._connection.call(
            lambda conn: storage.volume_delete(pool_running(conn, staging.pool), staging.name)
        )

    def delete(self, place: Place) -> None:
        """Gone afterwards; absent is fine. Raises ``ImageInUse`` naming the machines that were made
        from it as thin copies, or that have it in a drive."""

        def method(conn: libvirt.virConnect) -> None:
            found = scan(conn)
            volume = found.find(place.pool, place.name)
            if volume is not None:
                spare_require(found, volume)
            storage.volume_delete(pool_running(conn, place.pool), place.name)

        self._connection.call(method)

    def disk_of(self, engine_id: str) -> tuple[Place, str]:
        """The first disk of a machine that is off, with its format. Raises ``InvalidState``."""

        def method(conn: libvirt.virConnect) -> tuple[Place, str]:
            for volume in scan(conn).volumes.values():
                uses = [use for use in volume.writers if use.engine_id == engine_id]
                if any(use.target in ("vda", "sda", "hda", "sdc") for use in uses):
                    idle_require(volume, "Stop the machine first.")
                    return Place(volume.pool, volume.name), volume.format
            raise InvalidState("This machine has no disk in a pool that runs.")

        return self._connection.call(method)

    def _digest(self, place: Place, size: int, report: Reporter) -> str:
        digest = hashlib.sha256()
        for offset in range(0, size, PIECE_BYTES):
            digest.update(self._volumes.read(place, offset, min(PIECE_BYTES, size - offset)))
            report.progress(10 * offset / size, "Checking what arrived")
        return digest.hexdigest()


def head_check(head: bytes, wanted: ImageWanted) -> CheckedImage:
    """By the first piece alone, before it is written anywhere. Raises ``InvalidInput``."""
    found = header_check(
        lambda offset, length: head[offset : offset + length], len(head), wanted=wanted.format
    )
    _name_fits(found.format, wanted.place.name)
    return found


def _name_fits(image_format: str, name: str) -> None:
    """Machines tell a CD-ROM from a template by its name."""
    if (image_format == "iso") != name.lower().endswith(".iso"):
        raise InvalidInput.field("name", "must end in .iso for a CD-ROM image, and for nothing else.")


def staging_of(upload_id: str, pool: str) -> Place:
    return Place(pool, f"{storage.STAGING_PREFIX}{upload_id}")


def is_image(volume: Volume) -> bool:
    """What is neither an instance's own nor on its way in, stands on its own, and no machine writes to."""
    own = (storage.OWN_PREFIX, storage.STAGING_PREFIX)
    is_plain = volume.type in ("file", "block") and not volume.backing_path
    return is_plain and not volume.writers and not volume.name.startswith(own)


def image_info(volume: Volume, above: list[Volume]) -> ResourceInfo:
    is_iso = volume.format == "iso" or volume.name.lower().endswith(".iso")
    # Who writes to a thin copy only reads what is under it.
    domains: list[dict[str, Any]] = [
        {"engine_id": use.engine_id, "name": use.name, "target": use.target, "readonly": True}
        for item in (volume, *above)
        for use in item.uses
    ]
    return ResourceInfo(
        kind="image",
        engine_id=volume.engine_id,
        name=volume.name,
        size_bytes=volume.allocation,
        data={
            "kind": "iso" if is_iso else "template",
            "pool": volume.pool,
            "format": volume.format,
            "capacity": volume.capacity,
            "in_use": bool(domains or above),
            "domains": domains,
            "copies": sorted(item.engine_id for item in above),
        },
    )


def spare_require(found: Scan, volume: Volume) -> None:
    """Raises ``ImageInUse``."""
    above = found.standing_on().get(volume.path, [])
    machines = sorted({use.name for item in (volume, *above) for use in item.uses})
    names = machines or sorted(item.name for item in above)
    if names:
        raise ImageInUse(
            f"{volume.name} is what {', '.join(names[:10])} stand on: without it their disks are broken. "
            "Delete them first, or make full clones of them.",
            machines=names[:50],
        )
