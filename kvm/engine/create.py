"""Make domains. Steps that leave something behind are recorded before they are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import libvirt

from compute.backends.types import InstanceInfo, InstanceSpec, Reporter, UndoStep
from compute.errors import InvalidInput, NameConflict
from kvm.cloud_init import seed_files
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.device_xml import DiskPlan, target_next
from kvm.engine.disks import Backed, disk_blank, disk_existing, disk_of_image, pool_of
from kvm.engine.domain_xml import DomainPlan, domain_xml, metadata_read, parse
from kvm.engine.domains import domain_get, lookup, vanished_is_fine
from kvm.engine.hardware_spec import nic_parts
from kvm.engine.host import pool_name_of
from kvm.engine.machine import machine_check, machine_facts
from kvm.engine.names import disk_name, names_of, serial_log_path
from kvm.engine.networks import network_ensure
from kvm.engine.os_variants import OsDefaults, defaults_of
from kvm.engine.remove import logs_remove, remove, volume_gone
from kvm.engine.resize import vcpus_of
from kvm.engine.seed import seed_iso
from kvm.engine.virt_type import virt_type_of

UNDO_VOLUME, UNDO_DOMAIN = "volume", "domain"
_MIB = 1024**2
_DEFAULT_MEMORY = 512 * _MIB
_VCPUS_SPARE = 8
_CREATE_TIMEOUT_S = 120.0


def domain_create(connection: Connection, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
    """Make the disks, write the seed, define, start; the caller undoes on any error."""
    if "networks" not in spec.config:
        default = str(connection.node.options.get("network_name", "default"))
        spec = replace(spec, config={**spec.config, "networks": [default]})
    report.progress(5, "Looking at the host")
    virt_type = virt_type_of(connection)
    connection.call(lambda conn: _name_is_free(conn, spec.name))
    _networks_ready(connection, spec)
    if {"tpm", "firmware", "cpu_model"} & set(spec.config):
        machine_check(spec.config, machine_facts(connection))
    sizing = _sizing(connection, spec)
    disks, has_medium = _disks(connection, spec, report, with_seed=virt_type != "test")
    plan = DomainPlan(
        spec=spec,
        virt_type=virt_type,
        **sizing,
        disks=tuple(disks),
        defaults=defaults_of(str(spec.config.get("os_variant", ""))),
        has_medium=has_medium,
        serial_log=str(serial_log_path(spec.instance_id)) if connection.is_local else "",
    )
    report.progress(55, "Defining the domain")
    report.undo(UndoStep(UNDO_DOMAIN, {"uuid": spec.instance_id, "operation_id": spec.operation_id}))
    # The first definition on a fresh host makes libvirt examine its emulators, which takes a while.
    connection.call(lambda conn: _define(conn, plan), _CREATE_TIMEOUT_S)
    if spec.auto_start:
        report.progress(70, "Starting the domain")
        connection.call(lambda conn: lookup(conn, spec.instance_id).create(), _CREATE_TIMEOUT_S)
    report.progress(95, "Reading it back")
    return domain_get(connection, spec.instance_id)


def _networks_ready(connection: Connection, spec: InstanceSpec) -> None:
    for nic in spec.config["networks"]:
        kind, source = nic_parts(nic)
        if kind == "network":
            connection.call(lambda conn, source=source: network_ensure(conn, source))  # type: ignore[misc]


def _sizing(connection: Connection, spec: InstanceSpec) -> dict[str, int]:
    """``vcpus``, ``vcpus_max``, ``memory_bytes``, ``memory_max_bytes``; raises ``InvalidInput`` for a
    ceiling below what it starts with."""
    config, vcpus = spec.config, vcpus_of(spec.resources)
    memory = _whole_kib(spec.resources.memory_bytes or _DEFAULT_MEMORY)
    topology = config.get("cpu_topology")
    if topology:
        slots = math.prod(topology.values())
        if vcpus > slots or config.get("max_vcpus", slots) != slots:
            raise InvalidInput.field(
                "config.cpu_topology", f"has {slots} CPUs in all; it must hold them all."
            )
    else:
        host = connection.call(lambda conn: int(conn.getInfo()[2]))
        slots = int(config.get("max_vcpus") or max(vcpus, min(_VCPUS_SPARE, host)))
    most = _whole_kib(int(config.get("max_memory") or memory))
    for name, ceiling, start in (("max_vcpus", slots, vcpus), ("max_memory", most, memory)):
        if ceiling < start:
            raise InvalidInput.field(f"config.{name}", f"must be at least what it starts with, {start}.")
    return {"vcpus": vcpus, "vcpus_max": slots, "memory_bytes": memory, "memory_max_bytes": most}


def _disks(
    connection: Connection, spec: InstanceSpec, report: Reporter, *, with_seed: bool
) -> tuple[list[DiskPlan], bool]:
    """All disks and drives in order, and whether an installation medium is among them."""
    default, names = pool_name_of(connection), names_of(spec.instance_id)
    defaults = defaults_of(str(spec.config.get("os_variant", "")))
    config = spec.config
    wanted = [dict(config.get("disk") or {}), *map(dict, config.get("disks", []))]
    if not wanted[0].get("size") and "volume" not in wanted[0] and len(wanted) == 1:
        wanted[0]["size"] = spec.resources.storage_bytes
    report.progress(
        15, f"Copying the disk from {config['image']}" if config.get("image") else "Making the disk"
    )
    made: list[tuple[dict[str, Any], Backed]] = []
    medium = ""
    for number, disk in enumerate(wanted):
        name = names["disk"] if number == 0 else disk_name(spec.instance_id, number)
        if "volume" not in disk:
            report.undo(UndoStep(UNDO_VOLUME, {"pool": disk.get("pool") or default, "name": name}))
        image = str(config.get("image") or "") if number == 0 else ""
        work = partial(_disk_make, default=default, name=name, image=image, wanted=disk)
        backed, iso = connection.call(work, _CREATE_TIMEOUT_S)
        medium = medium or iso
        made.append((disk, backed))
        report.progress(15 + 25 * (number + 1) / len(wanted), "Made its disks")
    seed = ""
    if with_seed:
        report.progress(40, "Writing the cloud-init seed")
        report.undo(UndoStep(UNDO_VOLUME, {"pool": default, "name": names["seed"]}))
        seed = connection.call(lambda conn: _seed_make(conn, default, names["seed"], spec))
    return _disk_plans(made, medium, seed, defaults, with_drive=with_seed), bool(medium)


def _disk_plans(
    made: list[tuple[dict[str, Any], Backed]],
    medium: str,
    seed: str,
    defaults: OsDefaults,
    *,
    with_drive: bool,
) -> list[DiskPlan]:
    """The drives take the first names of their bus, so that guests find the seed where they look first;
    a drive without a medium waits for one, because none can be added while the machine runs."""
    plans: list[DiskPlan] = []
    media = [path for path in (medium, seed) if path]
    if with_drive and not medium:
        media.append("")
    for path in media:
        target = target_next(defaults.cdrom_bus, [plan.target for plan in plans])
        plans.append(DiskPlan(target, defaults.cdrom_bus, path, device="cdrom"))
    for wanted, backed in made:
        bus = str(wanted.get("bus") or defaults.disk_bus)
        plans.append(
            DiskPlan(
                target=target_next(bus, [plan.target for plan in plans]),
                bus=bus,
                path=backed.path,
                format=backed.format,
                block=backed.block,
                cache=str(wanted.get("cache", "")),
                read_only=bool(wanted.get("read_only")),
                shareable=bool(wanted.get("shareable")),
            )
        )
    return sorted(plans, key=lambda plan: plan.device == "cdrom")


def domain_undo(connection: Connection, step: UndoStep) -> None:
    """Take back one step of a create: only volumes named after it, only the domain it marked."""
    connection.settle()
    if step.kind == UNDO_VOLUME:
        if str(step.ref["name"]).startswith(storage.OWN_PREFIX):
            connection.call(lambda conn: volume_gone(conn, step.ref["pool"], step.ref["name"]))
        return

    def method(conn: libvirt.virConnect) -> str:
        with vanished_is_fine():
            domain = lookup(conn, step.ref["uuid"])
            if metadata_read(parse(domain.XMLDesc(0))).get("operation") == step.ref["operation_id"]:
                remove(domain)
                return str(domain.name())
        return ""

    own_name = connection.call(method)
    logs_remove(step.ref["uuid"], own_name)


def _whole_kib(size: int) -> int:
    return size // 1024 * 1024


def _name_is_free(conn: libvirt.virConnect, name: str) -> None:
    try:
        conn.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return
        raise
    raise NameConflict(f"There is already a domain “{name}” on this node.", name=name)


def _disk_make(
    conn: libvirt.virConnect, *, default: str, name: str, image: str, wanted: Mapping[str, Any]
) -> tuple[Backed, str]:
    """The disk, and the path of the medium when the image is an ISO."""
    pool = pool_of(conn, str(wanted.get("pool", "")), default)
    if "volume" in wanted:
        return disk_existing(conn, pool, wanted), ""
    if not image:
        return disk_blank(pool, name, wanted), ""
    found = storage.image_find(storage.pool_ensure(conn, default), image)
    if found.name().lower().endswith(".iso"):
        return disk_blank(pool, name, wanted), str(found.path())
    return disk_of_image(pool, found, name, wanted), ""


def _seed_make(conn: libvirt.virConnect, pool_name: str, name: str, spec: InstanceSpec) -> str:
    given = spec.secrets.get("cloud_init") or spec.config.get("cloud_init") or {}
    data = seed_iso(seed_files(given, spec.instance_id, spec.name))
    pool = storage.pool_ensure(conn, pool_name)
    return str(storage.upload(conn, pool, storage.NewVolume(name, "raw", len(data)), data).path())


def _define(conn: libvirt.virConnect, plan: DomainPlan) -> None:
    domain = conn.defineXML(domain_xml(plan))
    if plan.spec.config.get("autostart"):
        domain.setAutostart(1)
