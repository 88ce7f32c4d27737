"""Make domains. Steps that leave something behind are recorded before they are taken."""

from __future__ import annotations

from dataclasses import replace

import libvirt

from compute.backends.types import InstanceInfo, InstanceSpec, Reporter, UndoStep
from compute.errors import InvalidInput, NameConflict
from kvm.engine import storage
from kvm.engine.cloud_init import seed_files
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import DomainPlan, domain_xml, metadata_read, parse
from kvm.engine.domains import domain_get, lookup, vanished_is_fine
from kvm.engine.names import names_of, serial_log_path
from kvm.engine.networks import network_ensure
from kvm.engine.remove import logs_remove, remove, volume_gone
from kvm.engine.resize import vcpus_of
from kvm.engine.seed import seed_iso
from kvm.engine.virt_type import virt_type_of

UNDO_VOLUME, UNDO_DOMAIN = "volume", "domain"
_MIB = 1024**2
_DEFAULT_MEMORY = 512 * _MIB
_DEFAULT_BLANK = 10 * 1024**3
_VCPUS_SPARE = 8
_CREATE_TIMEOUT_S = 120.0


def domain_create(connection: Connection, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
    """Clone the disk, write the seed, define, start; the caller undoes on any error."""
    pool_name = str(connection.node.options.get("pool_name", "default"))
    vcpus = vcpus_of(spec.resources)
    if "networks" not in spec.config:
        default = str(connection.node.options.get("network_name", "default"))
        spec = replace(spec, config={**spec.config, "networks": [default]})
    report.progress(5, "Looking at the host")
    virt_type = virt_type_of(connection)
    connection.call(lambda conn: _name_is_free(conn, spec.name))
    for network in spec.config.get("networks", []):
        connection.call(lambda conn, network=network: network_ensure(conn, network))  # type: ignore[misc]
    names = names_of(spec.instance_id)
    report.progress(15, f"Copying the disk from {spec.config['image']}")
    for name in (names["disk"], names["seed"]):
        report.undo(UndoStep(UNDO_VOLUME, {"pool": pool_name, "name": name}))
    disk = connection.call(lambda conn: _disk_make(conn, pool_name, names["disk"], spec), _CREATE_TIMEOUT_S)
    seed_path = ""
    if virt_type != "test":
        report.progress(40, "Writing the cloud-init seed")
        seed_path = connection.call(lambda conn: _seed_make(conn, pool_name, names["seed"], spec))
    plan = DomainPlan(
        spec=spec,
        virt_type=virt_type,
        vcpus=vcpus,
        vcpus_max=max(vcpus, min(_VCPUS_SPARE, connection.call(lambda conn: int(conn.getInfo()[2])))),
        memory_bytes=_whole_kib(spec.resources.memory_bytes or _DEFAULT_MEMORY),
        disk_path=disk["path"],
        disk_format=disk["format"],
        iso_path=disk["iso"],
        seed_path=seed_path,
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


def _disk_make(conn: libvirt.virConnect, pool_name: str, name: str, spec: InstanceSpec) -> dict[str, str]:
    pool = storage.pool_ensure(conn, pool_name)
    image = storage.image_find(pool, spec.config["image"])
    wanted = spec.config.get("disk", {})
    asked = wanted.get("size") or spec.resources.storage_bytes
    disk_format = wanted.get("format", "qcow2")
    if image.name().lower().endswith(".iso"):
        disk = storage.disk_blank(pool, name, asked or _DEFAULT_BLANK, disk_format)
        return {"path": disk.path(), "format": disk_format, "iso": image.path()}
    least = int(image.info()[1])
    if asked and asked < least:
        raise InvalidInput.field(
            "config.disk.size", f"must be at least the size of the image, {least} bytes."
        )
    disk = storage.disk_clone(pool, image, name, asked or least, disk_format)
    return {"path": disk.path(), "format": disk_format, "iso": ""}


def _seed_make(conn: libvirt.virConnect, pool_name: str, name: str, spec: InstanceSpec) -> str:
    given = spec.secrets.get("cloud_init") or spec.config.get("cloud_init") or {}
    data = seed_iso(seed_files(given, spec.instance_id, spec.name))
    pool = storage.pool_ensure(conn, pool_name)
    return str(storage.upload(conn, pool, storage.NewVolume(name, "raw", len(data)), data).path())


def _define(conn: libvirt.virConnect, plan: DomainPlan) -> None:
    domain = conn.defineXML(domain_xml(plan))
    if plan.spec.config.get("autostart"):
        domain.setAutostart(1)
