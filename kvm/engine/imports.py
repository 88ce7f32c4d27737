"""Machines from files of strangers: looked at first, then brought into the pool as qcow2."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import libvirt

from compute.backends.room import room_check
from compute.backends.types import ImportFile, InstanceInfo, InstanceSpec, Reporter, UndoStep
from compute.errors import BackendError, InvalidInput
from compute.tell import tell
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.create import UNDO_VOLUME, domain_create
from kvm.engine.domain_xml import volume_xml
from kvm.engine.export import UNDO_FOLDER
from kvm.engine.host import pool_name_of
from kvm.engine.image_check import HEAD_BYTES, header_check, image_check
from kvm.engine.names import disk_name, names_of
from kvm.engine.ova import is_ova, ova_read
from kvm.engine.qemu_img import Image, Span, image_convert
from kvm.looks import ImportDisk, ImportLook

FORMATS = ("ova", "qcow2", "raw", "vmdk", "vdi")
_CHUNK = 1024 * 1024
_CONVERTING, _SENDING = Span(5, 45), Span(45, 60)


def import_look(path: Path, wanted: str = "") -> ImportLook:
    """Raises ``InvalidInput`` (of ``file``) for anything that is not taken. No other program reads the
    file before its headers were found to stand on their own."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if wanted == "ova" or (not wanted and is_ova(head)):
        if not is_ova(head):
            raise InvalidInput.field("file", "is said to be an OVA, but is no tar.")
        return _look_ova(path)
    found = image_check(path, wanted=wanted)
    if found.format == "iso":
        raise InvalidInput.field("file", "is an ISO. Upload it to the images, and make a machine from it.")
    size = path.stat().st_size
    return ImportLook(found.format, (ImportDisk(found.format, found.virtual_bytes, 0, size),))


def domain_import(
    connection: Connection, spec: InstanceSpec, wanted: ImportFile, report: Reporter
) -> InstanceInfo:
    """Convert, send to the pool, define around what is there. The file and its folder go at the end,
    however it ends."""
    folder = Path(wanted.folder)
    report.undo(UndoStep(UNDO_FOLDER, {"folder": str(folder)}))
    report.progress(3, "Looking at the file again")
    look = import_look(folder / wanted.name, wanted.format)
    pool_name = pool_name_of(connection)
    made, share = [], 1 / len(look.disks)
    for number, disk in enumerate(look.disks):
        name = names_of(spec.instance_id)["disk"] if number == 0 else disk_name(spec.instance_id, number)
        spans = [
            Span(span.at(number * share), span.at((number + 1) * share)) for span in (_CONVERTING, _SENDING)
        ]
        path = _converted(folder, wanted.name, disk, number, report, spans[0])
        report.undo(UndoStep(UNDO_VOLUME, {"pool": pool_name, "name": name}))
        volume = (pool_name, name, disk.virtual_bytes)
        volume_send(connection, _pieces(path), path.stat().st_size, volume, report, spans[1])
        path.unlink()
        made.append(name)
    for note in look.notes:
        report.log(note)
    shutil.rmtree(folder, ignore_errors=True)
    return domain_create(connection, around(spec, made), report)


def _look_ova(path: Path) -> ImportLook:
    ova, disks = ova_read(path), []
    with path.open("rb") as file:
        for member in ova.disks:

            def read(offset: int, length: int, start: int = member.offset, size: int = member.size) -> bytes:
                file.seek(start + offset)
                return file.read(max(0, min(length, size - offset)))

            found = header_check(read, member.size)
            disks.append(ImportDisk(found.format, found.virtual_bytes, member.offset, member.size))
    machine = ova.machine
    return ImportLook(
        "ova",
        tuple(disks),
        name=machine.name,
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes or None,
        firmware=machine.firmware,
        # Drivers that other hypervisors' guests have for sure; our own say what they had.
        bus=machine.bus or "sata",
        description=machine.description,
        nics=len(machine.networks),
        notes=ova.notes,
    )


def _converted(folder: Path, name: str, disk: ImportDisk, number: int, report: Reporter, span: Span) -> Path:
    """A qcow2 that stands on its own, whatever the part was."""
    source = folder / name
    if disk.offset:
        source = folder / f"part{number}"
        _cut_out(folder / name, source, disk, report)
    found = image_check(source, wanted=disk.format)
    target = folder / f"disk{number}.qcow2"
    image_convert(
        Image(source, "raw" if found.format == "iso" else found.format),
        Image(target, "qcow2"),
        report,
        span,
        f"Converting disk {number + 1}",
    )
    if disk.offset:
        source.unlink()
    return target


def _cut_out(whole: Path, part: Path, disk: ImportDisk, report: Reporter) -> None:
    left = disk.size
    try:
        with whole.open("rb") as file, part.open("xb") as out:
            file.seek(disk.offset)
            while left > 0 and (piece := file.read(min(_CHUNK, left))):
                out.write(piece)
                left -= len(piece)
                report.checkpoint()
    except OSError as error:
        raise BackendError(f"LibGo cannot write on its own disk ({error.strerror}).") from error


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def pool_room_check(conn: libvirt.virConnect, pool_name: str, needed_bytes: int) -> None:
    """Raises ``InvalidState`` when the pool, as it is now, has not so much free."""
    pool = storage.pool_ensure(conn, pool_name)
    # Others may have written there; libvirt counts only what it did itself. While something is written it
    # does not look, and then what it counted has to do.
    storage.pool_refresh(pool, within_s=2.0)
    room_check(tell(f"The pool {pool_name}"), int(pool.info()[3]), needed_bytes)


def volume_send(
    connection: Connection,
    pieces: Iterable[bytes],
    size: int,
    volume: tuple[str, str, int],
    report: Reporter,
    span: Span,
) -> None:
    """A qcow2 file of ``size`` bytes as a new volume: (pool, name, capacity)."""
    pool_name, name, capacity = volume
    sent, ended = 0, False
    step = "Sending it to the pool"

    def begin(conn: libvirt.virConnect) -> libvirt.virStream:
        pool = storage.pool_ensure(conn, pool_name)
        room_check(tell(f"The pool {pool_name}"), int(pool.info()[3]), size)
        made = pool.createXML(volume_xml(name, capacity, "qcow2"), 0)
        stream = conn.newStream(0)
        made.upload(stream, 0, size, 0)
        return stream

    stream = connection.call(begin, 60)
    try:
        for piece in pieces:
            connection.call(lambda conn, piece=piece: stream_send(stream, piece))  # type: ignore[misc]
            sent += len(piece)
            report.progress(span.at(sent / size), step)
        connection.call(lambda conn: stream.finish(), 60)
        ended = True
    finally:
        if not ended:
            connection.call(lambda conn: stream.abort())
    storage.pool_refresh_wait(connection, pool_name, report)


def stream_send(stream: libvirt.virStream, data: bytes) -> None:
    """All of it, in as many pieces as libvirt takes."""
    while data:
        sent = stream.send(data)
        if sent <= 0:
            raise BackendError("libvirt took no more of the disk.")
        data = data[sent:]


def around(spec: InstanceSpec, names: Sequence[str]) -> InstanceSpec:
    """The same machine with these volumes in the place of the disks that were asked for."""
    config = spec.config
    wanted = [dict(config.get("disk") or {}), *map(dict, config.get("disks", []))]
    disks = [
        {
            **{key: value for key, value in disk.items() if key in ("bus", "cache")},
            "volume": name,
            "format": "qcow2",
        }
        for disk, name in zip(wanted, names, strict=True)
    ]
    return replace(spec, config={**config, "disk": disks[0], "disks": disks[1:]})
