"""External snapshots: frozen disk files, and overlays upon them.

libvirt takes them and keeps their names, but (before 9.10) neither goes back to one nor deletes one of a
machine that is off. Both are done here by one rule: a file that a snapshot stands for is never written
again. Going back puts a new, empty overlay upon it; a file that neither a snapshot nor the machine needs
any more is removed; and what lies between two needed ones is merged while the machine runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import libvirt
from lxml import etree
from lxml.builder import E

from compute.backends.types import Reporter, SnapshotSpec, UndoStep
from compute.errors import InvalidState, OperationNotSupported
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import Element, parse, volume_xml
from kvm.engine.domains import lookup
from kvm.engine.names import layer_prefix

UNDO_LAYER = "layer"
_MERGE_POLL_S = 0.3
_LAYERS_MAX = 200


@dataclass(frozen=True)
class Disk:
    """A disk that a machine writes to: ``path`` of its file (empty for what is none) and its format."""

    target: str
    path: str
    format: str


def own_disks(root: Element) -> list[Disk]:
    """Of a domain's XML: disks that can change, no CD-ROMs and nothing that is read-only or shared."""
    found = []
    for disk in root.iterfind("./devices/disk"):
        if disk.get("device", "disk") != "disk" or disk.find("./readonly") is not None:
            continue
        source, driver, target = disk.find("./source"), disk.find("./driver"), disk.find("./target")
        path = str(source.get("file", "")) if source is not None else ""
        kind = str(driver.get("type", "raw")) if driver is not None else "raw"
        found.append(Disk(str(target.get("dev")), path, kind if path else ""))
    return found


def snapshot_take(conn: libvirt.virConnect, domain: libvirt.virDomain, wanted: SnapshotSpec) -> None:
    """All disks at one moment or none; an overlay beside each file."""
    root = parse(domain.XMLDesc(0))
    names = E.disks()
    writable = {disk.target: disk for disk in own_disks(root)}
    for target in [str(item.get("dev")) for item in root.iterfind("./devices/disk/target")]:
        disk = writable.get(target)
        if disk is None:
            names.append(E.disk(name=target, snapshot="no"))
            continue
        pool, volume = _volume(conn, disk)
        name = _layer_name(pool, wanted.instance_id, f"{wanted.name}.{target}")
        overlay = os.path.join(os.path.dirname(volume.path()), name)
        element = E.disk(E.driver(type="qcow2"), E.source(file=overlay), name=target, snapshot="external")
        names.append(element)
    tree = E.domainsnapshot(E.name(wanted.name), E.description(wanted.description))
    tree.extend([E.memory(snapshot="no"), names])
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    if wanted.quiesce:
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
    domain.snapshotCreateXML(str(etree.tostring(tree, encoding="unicode")), flags)
    _pools_refresh(conn, writable.values())


def snapshot_go_back(connection: Connection, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> None:
    """A new overlay upon each frozen file in the place of what the machine has; that goes, unless another
    snapshot stands for it. Until the machine is defined anew nothing of it has changed."""

    def look(conn: libvirt.virConnect) -> list[tuple[str, str]]:
        domain = lookup(conn, engine_id)
        if domain.isActive():
            raise InvalidState(
                "Stop it first: its disks are exchanged for those of the snapshot.", state="running"
            )
        return [
            (
                _volume(conn, disk)[0].name(),
                _layer_name(_volume(conn, disk)[0], wanted.instance_id, f"{wanted.name}.{disk.target}"),
            )
            for disk in _frozen(domain, wanted.name)
        ]

    planned = connection.call(look)
    for pool_name, name in planned:
        report.undo(UndoStep(UNDO_LAYER, {"uuid": engine_id, "pool": pool_name, "name": name}))

    def exchange(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        places = {}
        for disk, (_, name) in zip(_frozen(domain, wanted.name), planned, strict=True):
            pool, volume = _volume(conn, disk)
            made = pool.createXML(
                volume_xml(name, int(volume.info()[1]), "qcow2", (volume.path(), disk.format)), 0
            )
            places[disk.target] = made.path()
        _disks_set(conn, domain, places)
        if domain.hasManagedSaveImage(0):
            domain.managedSaveRemove(0)
        _current_set(domain, wanted.name)

    connection.call(exchange, 120)
    report.progress(80, "Removing what was written since")
    connection.call(lambda conn: layers_sweep(conn, lookup(conn, engine_id)), 120)


def snapshot_drop(connection: Connection, engine_id: str, name: str, report: Reporter) -> None:
    """Its name goes, then the layers that nothing needs: those of a running machine are merged."""

    if snapshot_forget(connection, engine_id, name):
        layers_merge(connection, engine_id, report)
    else:
        report.log("It is off: its layers are merged when a snapshot is deleted while it runs.")
    connection.call(lambda conn: layers_sweep(conn, lookup(conn, engine_id)), 120)


def snapshot_forget(connection: Connection, engine_id: str, name: str) -> bool:
    """Only its name goes; the machine stands on the same layers as before. Whether it runs."""

    def method(conn: libvirt.virConnect) -> bool:
        domain = lookup(conn, engine_id)
        domain.snapshotLookupByName(name, 0).delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
        return bool(domain.isActive())

    return connection.call(method)


def layers_merge(connection: Connection, engine_id: str, report: Reporter) -> None:
    """Write the topmost layers that no snapshot needs down into the lowest of them, live."""

    def plan(conn: libvirt.virConnect) -> list[tuple[str, str]]:
        domain = lookup(conn, engine_id)
        needed = _needed(conn, domain)
        found = []
        for disk in own_disks(parse(domain.XMLDesc(0))):
            free = []
            for path in _chain(conn, disk.path):
                if path in needed or not _is_own(path, domain.UUIDString()):
                    break
                free.append(path)
            if len(free) > 1:
                found.append((disk.target, free[-1]))
        return found

    for target, base in connection.call(plan):
        report.progress(60, f"Merging the layers of {target}")
        connection.call(
            lambda conn, target=target, base=base: lookup(conn, engine_id).blockCommit(  # type: ignore[misc]
                target, base, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
            )
        )
        _merge_finish(connection, engine_id, target)


def _merge_finish(connection: Connection, engine_id: str, target: str) -> None:
    """Wait until both are equal, then let the machine write to the lower one."""
    while True:
        job = connection.call(lambda conn: lookup(conn, engine_id).blockJobInfo(target, 0))
        if not job:
            return
        if job["end"] and job["cur"] == job["end"]:
            break
        time.sleep(_MERGE_POLL_S)
    connection.call(
        lambda conn: lookup(conn, engine_id).blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    )


def layers_sweep(conn: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    """Remove the overlays of this machine that neither it nor any snapshot needs."""
    uuid = domain.UUIDString()
    disks = own_disks(parse(domain.XMLDesc(0))) + own_disks(
        parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    )
    needed = _needed(conn, domain)
    for disk in disks:
        needed.update(_chain(conn, disk.path))
    for pool in _pools_refresh(conn, disks):
        for volume in pool.listAllVolumes(0):
            if volume.name().startswith(layer_prefix(uuid)) and volume.path() not in needed:
                volume.delete(0)


def layer_undo(connection: Connection, step: UndoStep) -> None:
    """An overlay that was made to go back, unless the machine stands on it already."""

    def method(conn: libvirt.virConnect) -> None:
        uuid, name = str(step.ref["uuid"]), str(step.ref["name"])
        if not name.startswith(layer_prefix(uuid)):
            return
        pool = conn.storagePoolLookupByName(str(step.ref["pool"]))
        volume = storage.volume_or_none(pool, name)
        root = parse(lookup(conn, uuid).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        if volume is not None and volume.path() not in {disk.path for disk in own_disks(root)}:
            volume.delete(0)

    connection.call(method)


def _frozen(domain: libvirt.virDomain, name: str) -> list[Disk]:
    """The disks that a snapshot stands for: those the machine had when it was taken."""
    root = parse(domain.snapshotLookupByName(name, 0).getXMLDesc(0))
    taken = {str(item.get("name")) for item in root.iterfind("./disks/disk[@snapshot='external']")}
    inner = root.find("./domain")
    disks = [] if inner is None else [disk for disk in own_disks(inner) if disk.target in taken]
    if not disks:
        raise OperationNotSupported(
            f"libvirt does not tell which disks “{name}” stands for.", capability="snapshot"
        )
    return disks


def _needed(conn: libvirt.virConnect, domain: libvirt.virDomain) -> set[str]:
    """Every file that a snapshot stands for, and all beneath."""
    paths: set[str] = set()
    for snapshot in domain.listAllSnapshots(0):
        inner = parse(snapshot.getXMLDesc(0)).find("./domain")
        for disk in own_disks(inner) if inner is not None else []:
            paths.update(_chain(conn, disk.path))
    return paths


def _chain(conn: libvirt.virConnect, path: str) -> list[str]:
    """The file and those beneath it, topmost first."""
    chain: list[str] = []
    while path and path not in chain and len(chain) < _LAYERS_MAX:
        chain.append(path)
        volume = storage.volume_at(conn, path)
        if volume is None:
            break
        path = parse(volume.XMLDesc(0)).findtext("./backingStore/path") or ""
    return chain


def _is_own(path: str, uuid: str) -> bool:
    return os.path.basename(path).startswith(f"{storage.OWN_PREFIX}{uuid}")


def _volume(conn: libvirt.virConnect, disk: Disk) -> tuple[libvirt.virStoragePool, libvirt.virStorageVol]:
    volume = storage.disk_volume(conn, disk.target, disk.path, "snapshot")
    return volume.storagePoolLookupByVolume(), volume


def _layer_name(pool: libvirt.virStoragePool, instance_id: str, label: str) -> str:
    """Free in the pool: an earlier overlay of a snapshot of this name may still be there."""
    stem, number = f"{layer_prefix(instance_id)}{label}", 0
    while storage.volume_or_none(pool, f"{stem}.{number}") is not None:
        number += 1
    return f"{stem}.{number}"


def _pools_refresh(conn: libvirt.virConnect, disks: Iterable[Disk]) -> list[libvirt.virStoragePool]:
    """The pools of these disks, looked through again: the machine made files there by itself."""
    pools: dict[str, libvirt.virStoragePool] = {}
    for folder in {os.path.dirname(disk.path) for disk in disks if disk.path}:
        pool = storage.pool_of_folder(conn, folder)
        if pool is not None:
            if not storage.pool_refresh(pool, within_s=20.0):
                raise storage.pool_busy(pool.name())
            pools[pool.name()] = pool
    return list(pools.values())


def _disks_set(conn: libvirt.virConnect, domain: libvirt.virDomain, places: dict[str, str]) -> None:
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    root = parse(domain.XMLDesc(flags))
    for disk in root.iterfind("./devices/disk"):
        target = str(disk.find("./target").get("dev"))
        if target not in places:
            continue
        for stale in disk.findall("./backingStore"):
            disk.remove(stale)
        disk.find("./source").set("file", places[target])
        disk.find("./driver").set("type", "qcow2")
    conn.defineXML(str(etree.tostring(root, encoding="unicode")))


def _current_set(domain: libvirt.virDomain, name: str) -> None:
    """libvirt names the current one as the parent of the next."""
    xml = domain.snapshotLookupByName(name, 0).getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
    domain.snapshotCreateXML(xml, flags)
