"""The folder and the mark of one run of the bench, and the end of what a killed one left.

Everything that a run makes in an engine is called ``libgo-t-<mark>-…``, and its consoles live below
``<temporary folder>/libgo-bench-<mark>``, which is locked for as long as the run lives. A run that comes to
its end, by a signal too, clears up itself; what one left that was killed hard, the next one clears first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import libvirt
from docker import APIClient
from docker.errors import NotFound
from lxml import etree

from kvm.engine.names import serial_log_path, stem_of
from tests.live import LiveConsole

_FOLDER, _NAME = "libgo-bench-", "libgo-t-"
_LIBVIRT = "qemu:///system"


@contextmanager
def place() -> Iterator[tuple[Path, str]]:
    """A folder, and the mark for the names of what is made; whatever bears the mark goes afterwards."""
    mark, root = uuid.uuid4().hex[:8], Path(tempfile.gettempdir())
    # It gets its name when it is locked: another run would take it for one that was left.
    made = Path(tempfile.mkdtemp(prefix="libgo-new-", dir=root))
    lock = _locked(made)
    assert lock is not None
    folder = made.rename(root / f"{_FOLDER}{mark}")
    try:
        yield folder, mark
    finally:
        _clear(folder)
        os.close(lock)


def left_clear() -> list[str]:
    """Clear what runs left that were killed; their marks."""
    cleared = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        lock = _locked(folder)
        if lock is not None:
            _clear(folder)
            os.close(lock)
            cleared.append(folder.name.removeprefix(_FOLDER))
    return cleared


def name_of(mark: str) -> str:
    """A name for something of the run."""
    return f"{_NAME}{mark}-{uuid.uuid4().hex[:6]}"


def _locked(folder: Path) -> int | None:
    """Held until it is closed or this process ends; None when another one holds it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _clear(folder: Path) -> None:
    """First the consoles, which would put back what they know, then what they and the bench made."""
    for processes in folder.glob("*/run/processes.json"):
        LiveConsole(processes.parent.parent).stop()
    prefix = f"{_NAME}{folder.name.removeprefix(_FOLDER)}"
    _docker_clear(prefix)
    _libvirt_clear(prefix)
    shutil.rmtree(folder, ignore_errors=True)


def _docker_clear(prefix: str) -> None:
    with closing(APIClient("unix:///var/run/docker.sock", version="auto")) as api:
        for found in api.containers(all=True, filters={"name": f"^/{prefix}"}):
            # Another hand may have been quicker.
            try:
                api.remove_container(found["Id"], force=True, v=True)
            except NotFound:
                continue
        for image in api.images():
            for tag in image["RepoTags"] or ():
                if prefix in tag:
                    api.remove_image(tag, force=True)


def _libvirt_clear(prefix: str) -> None:
    with closing(libvirt.open(_LIBVIRT)) as conn:
        for domain in conn.listAllDomains():
            if domain.name().startswith(prefix):
                _domain_clear(conn, domain)
        for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            for volume in pool.listAllVolumes():
                if volume.name().startswith(prefix):
                    volume.delete()


def _domain_clear(conn: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    """With the volumes that were made for it alone, and its log."""
    stem, log = stem_of(domain.UUIDString()), serial_log_path(domain.UUIDString())
    sources = etree.fromstring(domain.XMLDesc()).xpath("./devices/disk/source/@file")
    if domain.isActive():
        domain.destroy()
    domain.undefine()
    for path in sources:
        if Path(path).name.startswith(stem):
            conn.storageVolLookupByPath(path).delete()
    log.unlink(missing_ok=True)
