"""Backups of machines: copies of all their disks of one moment as qcow2, their settings, and their seed.

What ``copies`` makes is read through libvirt, piece by piece, into the target, and written the same way into
the pool of another host: nothing is spooled, and neither host need be near. Disk images are believed because
they were sealed when QEMU had written them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import libvirt

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.types import InstanceInfo, InstanceSpec, Reporter, UndoStep
from compute.errors import InvalidState
from kvm.engine.clone import clone_config, copied_disks
from kvm.engine.connection import Connection
from kvm.engine.copies import Copy, copies_make, copies_plan
from kvm.engine.create import UNDO_VOLUME, domain_create
from kvm.engine.domains import domain_get, lookup
from kvm.engine.host import pool_name_of
from kvm.engine.imports import around, pool_room_check, volume_send
from kvm.engine.lifecycle import domain_start
from kvm.engine.names import backup_stem, disk_name, names_of
from kvm.engine.qemu_img import Span
from kvm.engine.remove import volume_gone
from kvm.engine.seeds import seed_get, seed_put

_SEED_PART = "seed.json"
_SEED_MAX_BYTES = 8 * 1024**2
_CHUNK = 1024 * 1024
_COPYING, _READING, _SENDING = Span(5, 40), Span(40, 94), Span(3, 60)


def domain_backup(
    connection: Connection, engine_id: str, wanted: BackupSpec, sink: BackupSink, report: Reporter
) -> dict[str, Any]:
    """Its definition: ``config`` and ``storage`` as observed, ``disks`` in their order with the part of
    each, ``seed``. One that runs goes on; with a guest agent its file systems are held for the moment."""
    report.progress(2, "Looking at the machine")
    info = domain_get(connection, engine_id)
    kept = [asdict(item) for item in info.storage]
    targets = [str(item["target"]) for item, _ in copied_disks(info.config, kept)]
    if not targets:
        raise InvalidState("It has no disk that could be backed up.", state="no_disk")
    stem = backup_stem(engine_id, wanted.operation_id)
    planned = connection.call(lambda conn: copies_plan(conn, lookup(conn, engine_id), targets, stem))
    copies_make(connection, engine_id, planned, report, _COPYING)
    by_target = {copy.disk.target: copy for copy in planned}
    disks = []
    for number, target in enumerate(targets):
        copy, part = by_target[target], f"disk-{number + 1}.qcow2"
        span = Span(_READING.at(number / len(targets)), _READING.at((number + 1) / len(targets)))
        sink.part(part, _read(connection, copy, report, span))
        connection.call(lambda conn, copy=copy: volume_gone(conn, copy.pool, copy.name))  # type: ignore[misc]
        disks.append({"target": target, "part": part, "capacity_bytes": copy.capacity_bytes})
    seed = seed_get(connection, engine_id)
    if seed is not None:
        sink.part(_SEED_PART, [json.dumps(seed).encode()])
    for text in backup_omits(info.config):
        report.log(text)
    config = json.loads(json.dumps(dict(info.config), default=str))
    return {"config": config, "storage": kept, "disks": disks, "seed": seed is not None}


def backup_omits(config: Mapping[str, Any]) -> list[str]:
    """libvirt hands neither out: both are files of the hypervisor's host, in no pool."""
    found = []
    if config.get("firmware") == "uefi":
        found.append(
            "The variables of its UEFI firmware (boot entries, keys enrolled for secure boot) are not in a "
            "backup; a restored machine begins with new ones and boots what its disks offer."
        )
    if config.get("tpm"):
        found.append(
            "What its TPM keeps is not in a backup: disks that are unlocked by it (BitLocker, "
            "systemd-cryptenroll) need their recovery key in a restored machine."
        )
    return found


def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
    """As for a clone: addresses of its own, its disks as new ones of their sizes."""
    return clone_config(definition["config"], definition["storage"])


def domain_restore(
    connection: Connection, spec: InstanceSpec, source: BackupSource, report: Reporter
) -> InstanceInfo:
    """Its disks into the pool, the machine around them, its old seed, and only then the start."""
    disks, pool_name, made = source.definition["disks"], pool_name_of(connection), []
    needed = sum(source.size_bytes(disk["part"]) for disk in disks)
    connection.call(lambda conn: pool_room_check(conn, pool_name, needed))
    for number, disk in enumerate(disks):
        name = names_of(spec.instance_id)["disk"] if number == 0 else disk_name(spec.instance_id, number)
        span = Span(_SENDING.at(number / len(disks)), _SENDING.at((number + 1) / len(disks)))
        report.undo(UndoStep(UNDO_VOLUME, {"pool": pool_name, "name": name}))
        volume = (pool_name, name, int(disk["capacity_bytes"]))
        size = source.size_bytes(disk["part"])
        volume_send(connection, source.part(disk["part"]), size, volume, report, span)
        made.append(name)
    seed = _seed(source) if source.definition["seed"] else None
    info = domain_create(connection, replace(around(spec, made), auto_start=False), report)
    if seed is not None:
        seed_put(connection, info.engine_id, seed, report)
    if spec.auto_start:
        report.progress(96, "Starting the domain")
        domain_start(connection, info.engine_id)
    return domain_get(connection, info.engine_id)


def _seed(source: BackupSource) -> dict[str, str]:
    data = b""
    for chunk in source.part(_SEED_PART):
        data += chunk
        if len(data) > _SEED_MAX_BYTES:
            raise InvalidState(
                "The cloud-init seed in it is larger than any that LibGo writes.", state="seed"
            )
    return {str(name): str(text) for name, text in json.loads(data).items()}


def _read(connection: Connection, copy: Copy, report: Reporter, span: Span) -> Iterator[bytes]:
    """The file of a copy as libvirt gives it."""
    step = f"Storing the disk {copy.disk.target}"

    def begin(conn: libvirt.virConnect) -> tuple[libvirt.virStream, int]:
        volume = conn.storagePoolLookupByName(copy.pool).storageVolLookupByName(copy.name)
        stream = conn.newStream(0)
        volume.download(stream, 0, 0, 0)
        return stream, int(volume.info()[2])

    stream, size = connection.call(begin, 60)
    count, ended = 0, False
    try:
        while piece := connection.call(lambda conn: stream.recv(_CHUNK)):
            count += len(piece)
            report.progress(span.at(min(1.0, count / (size or 1))), step)
            yield piece
        connection.call(lambda conn: stream.finish())
        ended = True
    finally:
        if not ended:
            connection.call(lambda conn: stream.abort())
