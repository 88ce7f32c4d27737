"""Whole copies of a machine's disks, all of one moment, as volumes of its pools.

Of a machine that is off libvirt copies the volumes. Of one that runs QEMU itself pushes a backup of all
its disks at once into new files, while the guest goes on. Either way a copy stands on its own: no
backing file, no snapshots.
Source: https://libvirt.org/formatbackup.html
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import libvirt
from lxml import etree
from lxml.builder import E

from compute.backends.room import room_check
from compute.backends.types import Reporter, UndoStep
from compute.errors import BackendError, InvalidState, OperationNotSupported
from compute.tell import tell
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import Element, parse, volume_xml
from kvm.engine.domains import lookup
from kvm.engine.layers import Disk, own_disks
from kvm.engine.qemu_img import Span

UNDO_BACKUP = "backup"
# One volume is copied by one call of libvirt.
COPY_TIMEOUT_S = 6 * 3600.0
_POLL_S = 0.3
_AGENT = "./devices/channel/target[@name='org.qemu.guest_agent.0'][@state='connected']"


@dataclass(frozen=True)
class Copy:
    """A disk and the volume that its copy is, or will be."""

    disk: Disk
    pool: str
    name: str
    capacity_bytes: int
    allocated_bytes: int


def copies_plan(
    conn: libvirt.virConnect, domain: libvirt.virDomain, names: Sequence[str] | None, stem: str
) -> list[Copy]:
    """One copy for each disk (or those called ``names``), beside the original. Raises ``InvalidState``
    without room or for a disk that is no volume."""
    planned = []
    for disk in own_disks(parse(domain.XMLDesc(0))):
        if names is not None and disk.target not in names:
            continue
        if not disk.path:
            raise OperationNotSupported(
                f"Its disk {disk.target} is no file; only disks that are files can be copied.",
                capability="export",
            )
        volume = storage.disk_volume(conn, disk.target, disk.path, "export")
        pool = volume.storagePoolLookupByVolume()
        # What the copy may take: all that the layers beneath hold too.
        allocated = min(int(domain.blockInfo(disk.target)[0]), _allocated(conn, disk.path))
        planned.append(Copy(disk, pool.name(), f"{stem}.{disk.target}", int(volume.info()[1]), allocated))
    _room_check(conn, planned)
    return planned


def copies_make(
    connection: Connection, engine_id: str, planned: Sequence[Copy], report: Reporter, span: Span
) -> None:
    """Undo steps first, then all copies. A cancel ends them; the caller undoes."""
    for copy in planned:
        report.undo(UndoStep("volume", {"pool": copy.pool, "name": copy.name}))
    if connection.call(lambda conn: lookup(conn, engine_id).isActive()):
        _by_backup(connection, engine_id, planned, report, span)
    else:
        _by_volumes(connection, engine_id, planned, report, span)


def backup_undo(connection: Connection, step: UndoStep) -> None:
    """End the backup of a lost worker; one with other files is somebody else's."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, str(step.ref["uuid"]))
        try:
            running = domain.backupGetXMLDesc(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_BACKUP:
                raise
            return
        if str(step.ref["name"]) in running:
            domain.abortJob()

    connection.call(method)


def _by_volumes(
    connection: Connection, engine_id: str, planned: Sequence[Copy], report: Reporter, span: Span
) -> None:
    total = sum(copy.allocated_bytes for copy in planned) or 1
    done = 0
    for copy in planned:
        step = f"Copying the disk {copy.disk.target}"
        part = Span(span.at(done / total), span.at((done + copy.allocated_bytes) / total))
        report.progress(part.low, step)

        def method(conn: libvirt.virConnect, copy: Copy = copy) -> None:
            if lookup(conn, engine_id).isActive():
                raise InvalidState("It was started meanwhile; try again.", state="running")
            pool = conn.storagePoolLookupByName(copy.pool)
            source = storage.disk_volume(conn, copy.disk.target, copy.disk.path, "export")
            pool.createXMLFrom(volume_xml(copy.name, copy.capacity_bytes, "qcow2"), source, 0)

        future = connection.submit(method)
        while not future.wait(_POLL_S):
            share = _written(connection, copy) / (copy.allocated_bytes or 1)
            report.progress(part.at(share), step)
        future.result()
        done += copy.allocated_bytes


def _written(connection: Connection, copy: Copy) -> int:
    """How much of a copy that is being made is there; libvirt tells that of unfinished volumes too."""

    def method(conn: libvirt.virConnect) -> int:
        return storage.volume_written(conn.storagePoolLookupByName(copy.pool), copy.name)

    with contextlib.suppress(BackendError, InvalidState):
        return connection.call(method)
    return 0


def _by_backup(
    connection: Connection, engine_id: str, planned: Sequence[Copy], report: Reporter, span: Span
) -> None:
    step = "Copying the disks while it runs"
    report.progress(span.low, step)
    report.undo(UndoStep(UNDO_BACKUP, {"uuid": engine_id, "name": planned[0].name}))

    def begin(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        xml = _backup_xml(conn, parse(domain.XMLDesc(0)), planned)
        with _held_still(domain):
            domain.backupBegin(xml, None, 0)

    connection.call(begin, 60)
    while True:
        stats = connection.call(lambda conn: lookup(conn, engine_id).jobStats(0))
        if not stats.get("type"):
            break
        total = float(stats.get("disk_total") or 1)
        report.progress(span.at(float(stats.get("disk_processed") or 0) / total), step)
        time.sleep(_POLL_S)
    connection.call(lambda conn: _backup_check(lookup(conn, engine_id)))
    for name in sorted({copy.pool for copy in planned}):
        storage.pool_refresh_wait(connection, name, report)


def _backup_xml(conn: libvirt.virConnect, root: Element, planned: Sequence[Copy]) -> str:
    disks, by_target = E.disks(), {copy.disk.target: copy for copy in planned}
    for target in [str(item.get("dev")) for item in root.iterfind("./devices/disk/target")]:
        copy = by_target.get(target)
        if copy is None:
            disks.append(E.disk(name=target, backup="no"))
            continue
        folder = os.path.dirname(storage.disk_volume(conn, target, copy.disk.path, "export").path())
        place = E.target(file=os.path.join(folder, copy.name))
        disks.append(E.disk(place, E.driver(type="qcow2"), name=target, backup="yes", type="file"))
    return str(etree.tostring(E.domainbackup(disks, mode="push"), encoding="unicode"))


@contextlib.contextmanager
def _held_still(domain: libvirt.virDomain) -> Iterator[None]:
    """With the guest agent its file systems are written out at the moment of the copy; without one the
    copy is what a power cut would leave."""
    frozen = False
    if parse(domain.XMLDesc(0)).find(_AGENT) is not None:
        with contextlib.suppress(libvirt.libvirtError):
            domain.fsFreeze()
            frozen = True
    try:
        yield
    finally:
        if frozen:
            domain.fsThaw()


def _backup_check(domain: libvirt.virDomain) -> None:
    stats = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if stats.get("type") != libvirt.VIR_DOMAIN_JOB_COMPLETED:
        why = str(stats.get("errmsg") or tell("it did not say why"))[:200]
        raise BackendError(f"QEMU gave the copy up: {why}.")


def _allocated(conn: libvirt.virConnect, path: str) -> int:
    total, seen = 0, set()
    while path and path not in seen:
        seen.add(path)
        volume = storage.volume_at(conn, path)
        if volume is None:
            break
        total += int(volume.info()[2])
        path = parse(volume.XMLDesc(0)).findtext("./backingStore/path") or ""
    return total


def _room_check(conn: libvirt.virConnect, planned: Sequence[Copy]) -> None:
    for name in {copy.pool for copy in planned}:
        needed = sum(copy.allocated_bytes for copy in planned if copy.pool == name)
        room_check(tell(f"The pool {name}"), int(conn.storagePoolLookupByName(name).info()[3]), needed)
