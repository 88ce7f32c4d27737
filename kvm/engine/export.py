"""A machine as a file to take away.

Copies of its disks are made on the node, fetched through libvirt (so a node may be far away, and LibGo
needs no right to read its files), and brought into the wanted format here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import libvirt

from compute.backends.types import ExportInfo, ExportSpec, Reporter, UndoStep
from compute.errors import BackendError, InvalidInput, InvalidState
from kvm.engine.connection import Connection
from kvm.engine.copies import Copy, copies_make, copies_plan
from kvm.engine.domain_xml import Element, parse
from kvm.engine.domains import lookup
from kvm.engine.names import export_stem
from kvm.engine.ovf import OvfDisk, OvfMachine, ovf_xml
from kvm.engine.qemu_img import Image, Span, image_convert
from kvm.engine.remove import volume_gone

UNDO_FOLDER = "folder"
# Proves that a folder was made for an export, before anybody removes it.
MARK = ".libgo-export"
FORMATS = ("qcow2", "raw", "vmdk", "vdi", "ova")
_COPYING, _FETCHING, _CONVERTING = Span(5, 40), Span(40, 60), Span(60, 95)
_VMDK_STREAM = "subformat=streamOptimized"
_CHUNK = 1024 * 1024
_SPARE_BYTES = 64 * 1024**2
_UNITS = {"b": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def domain_export(connection: Connection, engine_id: str, wanted: ExportSpec, report: Reporter) -> ExportInfo:
    """One file in ``wanted.folder``; nothing else is left anywhere. Raises ``InvalidInput`` when a format
    that holds one disk is asked of a machine with several, ``InvalidState`` without room."""
    folder = Path(wanted.folder)
    report.progress(2, "Looking at the machine")
    report.undo(UndoStep(UNDO_FOLDER, {"folder": str(folder)}))
    folder_make(folder)

    def look(conn: libvirt.virConnect) -> tuple[Element, list[Copy]]:
        domain = lookup(conn, engine_id)
        names = [wanted.disk] if wanted.disk else None
        planned = copies_plan(conn, domain, names, export_stem(engine_id, wanted.operation_id))
        return parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), planned

    root, planned = connection.call(look)
    _disks_check(planned, wanted)
    _room_check(folder, planned)
    copies_make(connection, engine_id, planned, report, _COPYING)
    fetched = _fetch(connection, planned, folder, report)
    for copy in planned:
        connection.call(lambda conn, copy=copy: volume_gone(conn, copy.pool, copy.name))  # type: ignore[misc]
    if wanted.format == "ova":
        made = _ova(root, planned, fetched, wanted, report)
    else:
        made = _single(fetched[0], wanted, report)
    report.progress(96, "Adding up its check sum")
    digest = file_sha256(made, report)
    (folder / MARK).unlink(missing_ok=True)
    return ExportInfo(made.name, made.stat().st_size, digest)


def folder_make(folder: Path) -> None:
    """Private, with the mark."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).touch(mode=0o600)


def folder_undo(connection: Connection, step: UndoStep) -> None:
    """Only a folder that bears the mark: that of a finished export does not."""
    folder = Path(str(step.ref["folder"]))
    if (folder / MARK).is_file() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def file_sha256(path: Path, report: Reporter) -> str:
    """In hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            report.checkpoint()
    return digest.hexdigest()


def _disks_check(planned: Sequence[Copy], wanted: ExportSpec) -> None:
    if not planned and wanted.disk:
        raise InvalidInput.field("options.disk", "is no disk of this machine.")
    if not planned:
        raise InvalidState("It has no disk that could be exported.", state="no_disk")
    if len(planned) > 1 and wanted.format != "ova":
        names = ", ".join(copy.disk.target for copy in planned)
        raise InvalidInput.field(
            "format",
            f"{wanted.format} holds one disk, and this machine has {names}: name one in options.disk, or "
            "take ova.",
        )


def _room_check(folder: Path, planned: Sequence[Copy]) -> None:
    needed = 2 * sum(copy.allocated_bytes for copy in planned) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InvalidState(
            f"LibGo's own disk has {free // 1024**2} MiB free, and the export may need "
            f"{needed // 1024**2} MiB. Delete exports that nobody needs any more.",
            state="no_space",
        )


def _fetch(connection: Connection, planned: Sequence[Copy], folder: Path, report: Reporter) -> list[Path]:
    fetched, total = [], sum(copy.allocated_bytes for copy in planned) or 1
    done = 0
    for number, copy in enumerate(planned, 1):
        path = folder / f"disk{number}.part"
        part = Span(_FETCHING.at(done / total), _FETCHING.at((done + copy.allocated_bytes) / total))
        step = f"Fetching the disk {copy.disk.target}"

        def begin(conn: libvirt.virConnect, copy: Copy = copy) -> tuple[libvirt.virStream, int]:
            volume = conn.storagePoolLookupByName(copy.pool).storageVolLookupByName(copy.name)
            stream = conn.newStream(0)
            volume.download(stream, 0, 0, 0)
            return stream, int(volume.info()[2])

        stream, size = connection.call(begin)
        _drain(connection, stream, path, report, (part, size, step))
        fetched.append(path)
        done += copy.allocated_bytes
    return fetched


def _drain(
    connection: Connection,
    stream: libvirt.virStream,
    path: Path,
    report: Reporter,
    told: tuple[Span, int, str],
) -> None:
    span, size, step = told
    written, ended = 0, False
    try:
        with _private(path) as descriptor:
            while piece := connection.call(lambda conn: stream.recv(_CHUNK)):
                os.write(descriptor, piece)
                written += len(piece)
                report.progress(span.at(written / (size or 1)), step)
        connection.call(lambda conn: stream.finish())
        ended = True
    except OSError as error:
        raise BackendError(f"LibGo cannot write the export on its own disk ({error.strerror}).") from error
    finally:
        if not ended:
            connection.call(lambda conn: stream.abort())


class _private:
    """A new file that only LibGo's own account can read."""

    def __init__(self, path: Path) -> None:
        self._path, self._descriptor = path, -1

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _single(fetched: Path, wanted: ExportSpec, report: Reporter) -> Path:
    made = fetched.with_name(f"{wanted.stem}.{'img' if wanted.format == 'raw' else wanted.format}")
    if wanted.format == "qcow2":
        return fetched.rename(made)
    target = Image(made, wanted.format, _VMDK_STREAM if wanted.format == "vmdk" else "")
    step = f"Writing it as {wanted.format}"
    image_convert(Image(fetched, "qcow2"), target, report, _CONVERTING, step)
    fetched.unlink()
    return made


def _ova(
    root: Element, planned: Sequence[Copy], fetched: Sequence[Path], wanted: ExportSpec, report: Reporter
) -> Path:
    """The descriptor first, then a manifest of SHA-256, then the disks (DSP0243, 5.3)."""
    disks, paths, share = [], [], 1 / len(planned)
    for number, (copy, part) in enumerate(zip(planned, fetched, strict=True), 1):
        path = part.with_name(f"{wanted.stem}-disk{number}.vmdk")
        span = Span(_CONVERTING.at((number - 1) * share), _CONVERTING.at(number * share))
        step = f"Writing the disk {copy.disk.target} as vmdk"
        image_convert(Image(part, "qcow2"), Image(path, "vmdk", _VMDK_STREAM), report, span, step)
        part.unlink()
        paths.append(path)
        disks.append(OvfDisk(path.name, copy.capacity_bytes, path.stat().st_size))
    folder = fetched[0].parent
    described = folder / f"{wanted.stem}.ovf"
    described.write_bytes(ovf_xml(_machine(root, disks)))
    lines = [f"SHA256({path.name})= {file_sha256(path, report)}\n" for path in (described, *paths)]
    manifest = folder / f"{wanted.stem}.mf"
    manifest.write_text("".join(lines))
    made = folder / f"{wanted.stem}.ova"
    report.progress(_CONVERTING.high, "Putting it together")
    with _private(made) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in (described, manifest, *paths):
                _add(tar, path, report)
    for path in (described, manifest, *paths):
        path.unlink()
    return made


def _add(tar: tarfile.TarFile, path: Path, report: Reporter) -> None:
    """Without the names of LibGo's own account."""
    report.checkpoint()
    member = tarfile.TarInfo(path.name)
    status = path.stat()
    member.size, member.mode, member.mtime = status.st_size, 0o644, int(status.st_mtime)
    with path.open("rb") as file:
        tar.addfile(member, file)


def _machine(root: Element, disks: Sequence[OvfDisk]) -> OvfMachine:
    vcpu, memory = root.find("./vcpu"), root.find("./memory")
    bus = root.find("./devices/disk[@device='disk']/target")
    networks = [item.get("network") or "network" for item in root.iterfind("./devices/interface/source")]
    is_uefi = (
        root.find("./os").get("firmware") == "efi" or root.find("./os/loader[@type='pflash']") is not None
    )
    return OvfMachine(
        name=root.findtext("./name") or "machine",
        cpus=int(vcpu.get("current") or vcpu.text),
        memory_bytes=int(memory.text) * _UNITS.get(memory.get("unit", "KiB"), 1024),
        disks=disks,
        networks=[str(name) for name in networks],
        firmware="uefi" if is_uefi else "bios",
        bus=str(bus.get("bus", "")) if bus is not None else "",
        description=root.findtext("./description") or "",
    )
