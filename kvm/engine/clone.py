"""Another machine with what this one has on its disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import libvirt

from compute.backends.types import InstanceInfo, InstanceSpec, Reporter, UndoStep
from compute.errors import InvalidState
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.copies import Copy, copies_make, copies_plan
from kvm.engine.create import UNDO_VOLUME, domain_create
from kvm.engine.domain_xml import parse, volume_xml
from kvm.engine.domains import lookup
from kvm.engine.imports import stream_send
from kvm.engine.names import disk_name, names_of
from kvm.engine.qemu_img import Span

# What another machine may have too; the rest is what this one is made of.
_KEPT = (
    *("firmware", "secure_boot", "tpm", "machine", "cpu_model", "cpu_topology", "max_vcpus", "max_memory"),
    *("graphics", "boot", "description", "os_variant", "networks"),
)
_COPYING = Span(5, 60)
_CHUNK = 1024 * 1024


def clone_config(config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A configuration to ask for: without addresses and media, its disks as new ones of their sizes."""
    kept = {key: config[key] for key in _KEPT if key in config}
    kept.setdefault("networks", [])
    disks = []
    for item, known in copied_disks(config, storage):
        disk = {
            "size": int(item["size"]),
            "format": "qcow2",
            "bus": known.get("bus"),
            "cache": known.get("cache"),
        }
        disks.append({key: value for key, value in disk.items() if value})
    return {**kept, "disk": disks[0] if disks else {}, "disks": disks[1:]}


def copied_disks(
    config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The disks that are its own, in order, each as stored and as configured: no media, and nothing that
    is read-only or shared."""
    shown = {disk["target"]: disk for disk in (config.get("devices") or {}).get("disks", [])}
    found = []
    for item in storage:
        known = shown.get(item["target"], {})
        shared = known.get("read_only") or known.get("shareable")
        if item.get("format") != "cdrom" and item.get("size") and not shared:
            found.append((item, known))
    return found


def domain_clone(
    connection: Connection, source_id: str, spec: InstanceSpec, report: Reporter, *, linked: bool
) -> InstanceInfo:
    """Copies of all its disks, then a machine of its own around them: new UUID, addresses and seed. Of
    one that runs the copy is of one moment. Raises ``InvalidState`` when ``linked`` cannot be."""
    report.progress(3, "Looking at the machine")

    def look(conn: libvirt.virConnect) -> list[Copy]:
        planned = copies_plan(conn, lookup(conn, source_id), None, names_of(spec.instance_id)["disk"])
        return [replace(copy, name=_name(spec.instance_id, number)) for number, copy in enumerate(planned)]

    planned = connection.call(look)
    if not planned:
        raise InvalidState("It has no disk that could be copied.", state="no_disk")
    if linked:
        _linked(connection, source_id, planned, report)
    else:
        copies_make(connection, source_id, planned, report, _COPYING)
    return domain_create(connection, _around(spec, planned), report)


def _name(instance_id: str, number: int) -> str:
    return names_of(instance_id)["disk"] if number == 0 else disk_name(instance_id, number)


def _linked(connection: Connection, source_id: str, planned: Sequence[Copy], report: Reporter) -> None:
    """Upon the same template; only what the machine wrote itself is copied. Neither can change what they
    share: nobody writes to a template."""
    for number, copy in enumerate(planned):
        report.undo(UndoStep(UNDO_VOLUME, {"pool": copy.pool, "name": copy.name}))
        report.progress(_COPYING.at(number / len(planned)), f"Copying what it wrote to {copy.disk.target}")
        _delta_copy(connection, source_id, copy, report)


def _delta_copy(connection: Connection, source_id: str, copy: Copy, report: Reporter) -> None:
    """The file itself, byte for byte, through libvirt: what lies beneath it is only named in it."""
    reading, writing = connection.call(lambda conn: _delta_make(conn, source_id, copy), 60)
    ended = False
    try:
        while piece := connection.call(lambda conn: reading.recv(_CHUNK)):
            connection.call(lambda conn, piece=piece: stream_send(writing, piece))  # type: ignore[misc]
            report.checkpoint()
        connection.call(lambda conn: (reading.finish(), writing.finish()), 60)
        ended = True
    finally:
        if not ended:
            connection.call(lambda conn: (reading.abort(), writing.abort()))
    storage.pool_refresh_wait(connection, copy.pool, report)


def _delta_make(
    conn: libvirt.virConnect, source_id: str, copy: Copy
) -> tuple[libvirt.virStream, libvirt.virStream]:
    if lookup(conn, source_id).isActive():
        raise InvalidState("Stop it first: a linked clone is made of a machine that is off.", state="running")
    source = storage.disk_volume(conn, copy.disk.target, copy.disk.path, "clone")
    store = parse(source.XMLDesc(0)).find("./backingStore")
    path = store.findtext("./path") if store is not None else ""
    kind = store.find("./format").get("type") if path else ""
    if (
        not path
        or not kind
        or path.rsplit("/", 1)[-1].startswith(names_of(source_id)["disk"].partition(".")[0])
    ):
        raise InvalidState(
            f"Its disk {copy.disk.target} stands on no template that a linked clone could share. Make a "
            "full one.",
            state="not_linked",
        )
    if any(True for _ in lookup(conn, source_id).listAllSnapshots(0)):
        raise InvalidState(
            "It has snapshots, which a linked clone cannot share. Make a full one, or delete them.",
            state="snapshots",
        )
    pool = conn.storagePoolLookupByName(copy.pool)
    made = pool.createXML(volume_xml(copy.name, copy.capacity_bytes, "qcow2", (path, kind)), 0)
    size = int(source.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
    reading, writing = conn.newStream(0), conn.newStream(0)
    source.download(reading, 0, size, 0)
    made.upload(writing, 0, size, 0)
    return reading, writing


def _around(spec: InstanceSpec, planned: Sequence[Copy]) -> InstanceSpec:
    """The same machine with the copies in the place of the disks that were asked for."""
    config = spec.config
    wanted = [dict(config.get("disk") or {}), *map(dict, config.get("disks", []))]
    disks = []
    for number, copy in enumerate(planned):
        asked = wanted[number] if number < len(wanted) else {}
        kept = {key: asked[key] for key in ("bus", "cache") if key in asked}
        disks.append({**kept, "pool": copy.pool, "volume": copy.name, "format": "qcow2"})
    return replace(spec, config={**config, "disk": disks[0], "disks": disks[1:]})
