"""The cloud-init seed of a machine that exists: read back, and written anew.

The volume in the pool is the only place where its texts are kept: they hold secrets, the guest needs
them readable, and a copy elsewhere could only differ.
"""

from __future__ import annotations

from collections.abc import Mapping

import libvirt

from compute.backends.types import Reporter, UndoStep
from compute.errors import BackendError, InvalidState
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.device_xml import Element
from kvm.engine.domain_xml import volume_xml
from kvm.engine.domains import lookup
from kvm.engine.edit import definition
from kvm.engine.names import names_of
from kvm.engine.seed import seed_iso, seed_read

UNDO_SEED = "seed"
_SEED_MAX = 4 * 1024**2
_CHUNK = 256 * 1024
_WRITE_TIMEOUT_S = 60.0


def seed_get(connection: Connection, engine_id: str) -> dict[str, str] | None:
    """The texts by name (``user-data`` ...); None for a machine without a seed of ours. Raises
    ``BackendError`` for one that cannot be read."""

    def method(conn: libvirt.virConnect) -> bytes | None:
        volume = _volume(conn, lookup(conn, engine_id), engine_id)
        return None if volume is None else _content(conn, volume)

    data = connection.call(method, _WRITE_TIMEOUT_S)
    return None if data is None else seed_read(data)


def seed_put(connection: Connection, engine_id: str, files: Mapping[str, str], report: Reporter) -> bool:
    """Write it anew; True when the machine runs and sees it only after it was off. The new one is
    complete beside the old one before that goes. Raises ``InvalidState`` without a seed drive."""

    def find(conn: libvirt.virConnect) -> tuple[str, str, bool]:
        domain = lookup(conn, engine_id)
        volume = _volume(conn, domain, engine_id)
        if volume is None:
            raise InvalidState(
                "This VM has no cloud-init drive: it was not made by LibGo, or without one.", reason="no_seed"
            )
        return volume.storagePoolLookupByVolume().name(), volume.name(), bool(domain.isActive())

    pool_name, name, is_on = connection.call(find)
    beside = f"{name}.new"
    report.undo(UndoStep(UNDO_SEED, {"pool": pool_name, "name": name}))
    data = seed_iso(files)

    def write(conn: libvirt.virConnect) -> None:
        pool = conn.storagePoolLookupByName(pool_name)
        storage.volume_delete(pool, beside)
        storage.upload(conn, pool, storage.NewVolume(beside, "raw", len(data)), data)
        _swap(pool, name, beside)

    connection.call(write, _WRITE_TIMEOUT_S)
    return is_on


def seed_undo(connection: Connection, step: UndoStep) -> None:
    """One seed afterwards: the old one, or the new one where the old one was gone already."""
    name = str(step.ref["name"])
    if not name.startswith(storage.OWN_PREFIX):
        return

    def method(conn: libvirt.virConnect) -> None:
        pool = conn.storagePoolLookupByName(str(step.ref["pool"]))
        if storage.volume_or_none(pool, f"{name}.new") is None:
            return
        if storage.volume_or_none(pool, name) is None:
            _swap(pool, name, f"{name}.new")
        else:
            storage.volume_delete(pool, f"{name}.new")

    connection.call(method, _WRITE_TIMEOUT_S)


def _swap(pool: libvirt.virStoragePool, name: str, beside: str) -> None:
    """libvirt renames no volumes. A machine that runs keeps the file that it has open."""
    made = pool.storageVolLookupByName(beside)
    storage.volume_delete(pool, name)
    pool.createXMLFrom(volume_xml(name, int(made.info()[1]), "raw"), made, 0)
    storage.volume_delete(pool, beside)


def _volume(
    conn: libvirt.virConnect, domain: libvirt.virDomain, engine_id: str
) -> libvirt.virStorageVol | None:
    """Ours by its name and by being in a drive of this machine."""
    name = names_of(engine_id)["seed"]
    paths = [_path(disk) for disk in definition(domain).iterfind("./devices/disk[@device='cdrom']")]
    path = next((item for item in paths if item.rpartition("/")[2] == name), "")
    if not path:
        return None
    return storage.volume_at(conn, path)


def _path(disk: Element) -> str:
    source = disk.find("./source")
    return str(source.get("file") or "") if source is not None else ""


def _content(conn: libvirt.virConnect, volume: libvirt.virStorageVol) -> bytes:
    stream = conn.newStream(0)
    volume.download(stream, 0, 0, 0)
    data = b""
    while piece := stream.recv(_CHUNK):
        data += piece
        if len(data) > _SEED_MAX:
            stream.abort()
            raise BackendError("The cloud-init seed is larger than any that LibGo writes.")
    stream.finish()
    return data
