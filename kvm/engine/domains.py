"""Make, change and remove domains. Steps that leave something behind are recorded before they are taken."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt

from compute.backends.types import InstanceInfo, InstanceSpec, Reporter, Resources, UndoStep
from compute.errors import InstanceNotFound, InvalidInput, InvalidState, NameConflict
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import DomainPlan, domain_xml, metadata_read, parse
from kvm.engine.info import domain_info
from kvm.engine.seed import seed_iso
from kvm.engine.spec import meta_data, user_data
from kvm.engine.virt_type import virt_type_of

UNDO_VOLUME, UNDO_DOMAIN = "volume", "domain"
SERIAL_LOGS = Path("/var/log/libvirt/qemu")
_MIB = 1024**2
_DEFAULT_MEMORY = 512 * _MIB
_DEFAULT_BLANK = 10 * 1024**3
_VCPUS_SPARE = 8
_CREATE_TIMEOUT_S = 120.0
_PRESS_AGAIN_S = 4.0
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_UP = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN)


def domain_list(connection: Connection) -> list[InstanceInfo]:
    def method(conn: libvirt.virConnect) -> list[InstanceInfo]:
        found = []
        for domain in conn.listAllDomains(0):
            with _vanished_is_fine():
                found.append(domain_info(domain, detailed=False))
        return found

    return connection.call(method)


def domain_get(connection: Connection, engine_id: str) -> InstanceInfo:
    return connection.call(lambda conn: domain_info(lookup(conn, engine_id), detailed=True))


def lookup(conn: libvirt.virConnect, engine_id: str) -> libvirt.virDomain:
    """By UUID. Raises ``InstanceNotFound`` for anything that is none."""
    try:
        return conn.lookupByUUIDString(str(uuid.UUID(engine_id)))
    except ValueError as error:
        raise InstanceNotFound("libvirt has no such domain.") from error


def domain_create(connection: Connection, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
    """Clone the disk, write the seed, define, start; the caller undoes on any error."""
    pool_name = str(connection.node.options.get("pool_name", "default"))
    vcpus = _vcpus(spec.resources)
    if "networks" not in spec.config:
        default = str(connection.node.options.get("network_name", "default"))
        spec = replace(spec, config={**spec.config, "networks": [default]})
    report.progress(5, "Looking at the host")
    virt_type = virt_type_of(connection)
    connection.call(lambda conn: _name_is_free(conn, spec.name))
    for network in spec.config.get("networks", []):
        connection.call(lambda conn, network=network: network_ensure(conn, network))  # type: ignore[misc]
    names = _names(spec.instance_id)
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
            connection.call(lambda conn: _volume_gone(conn, step.ref["pool"], step.ref["name"]))
        return

    def method(conn: libvirt.virConnect) -> str:
        with _vanished_is_fine():
            domain = lookup(conn, step.ref["uuid"])
            if metadata_read(parse(domain.XMLDesc(0))).get("operation") == step.ref["operation_id"]:
                _remove(domain)
                return str(domain.name())
        return ""

    own_name = connection.call(method)
    _logs_remove(step.ref["uuid"], own_name)


def domain_delete(connection: Connection, engine_id: str, *, keep_storage: bool) -> None:
    """Off, undefined, and the volumes made for it alone gone; absent is fine."""
    pool_name = str(connection.node.options.get("pool_name", "default"))

    def method(conn: libvirt.virConnect) -> str:
        ours, name = "", ""
        with _vanished_is_fine():
            domain = lookup(conn, engine_id)
            name = domain.name()
            ours = str(metadata_read(parse(domain.XMLDesc(0))).get("instance", ""))
            _remove(domain)
        if ours and ours == str(uuid.UUID(engine_id)):
            names = _names(ours)
            for key in ("seed",) if keep_storage else ("seed", "disk"):
                _volume_gone(conn, pool_name, names[key])
        return name if ours else ""

    try:
        own_name = connection.call(method, _CREATE_TIMEOUT_S)
    except InstanceNotFound:
        return
    _logs_remove(engine_id, own_name)


def domain_start(connection: Connection, engine_id: str) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        state = domain.state()[0]
        if state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)
        elif state not in _UP:
            for network in _networks_of(domain):
                network_ensure(conn, network)
            domain.create()

    connection.call(method, _CREATE_TIMEOUT_S)


def domain_stop(
    connection: Connection, engine_id: str, timeout_s: float, force: bool, report: Reporter
) -> None:
    """The power button, pressed again now and then, for ``timeout_s``; then the plug."""
    deadline = time.monotonic() + (0 if force else timeout_s)
    pressed_at = -math.inf
    while connection.call(lambda conn: lookup(conn, engine_id).isActive()):
        now = time.monotonic()
        if now >= deadline:
            report.progress(80, "Forcing it off")
            connection.call(lambda conn: _destroy(lookup(conn, engine_id)), _CREATE_TIMEOUT_S)
            return
        if now - pressed_at >= _PRESS_AGAIN_S:
            pressed_at = now
            connection.call(lambda conn: _press_power(lookup(conn, engine_id)))
        report.checkpoint()
        time.sleep(0.2)


def domain_pause(connection: Connection, engine_id: str, *, paused: bool) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        is_paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        if paused and not is_paused:
            domain.suspend()
        elif not paused and is_paused:
            domain.resume()

    connection.call(method)


def domain_rename(connection: Connection, engine_id: str, name: str) -> None:
    """Called ``name`` afterwards. libvirt renames only what is off: raises ``InvalidState``."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if domain.name() == name:
            return
        if domain.isActive():
            raise InvalidState("Shut it down first: a VM is renamed only while it is off.", state="running")
        domain.rename(name, 0)

    connection.call(method)


def domain_reset(connection: Connection, engine_id: str) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        domain.reset(0)
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    connection.call(method)


def resize_waits(connection: Connection, engine_id: str, wanted: Resources) -> frozenset[str]:
    """Which limits cannot be applied to the running domain."""

    def method(conn: libvirt.virConnect) -> frozenset[str]:
        domain = lookup(conn, engine_id)
        if not domain.isActive():
            return frozenset()
        waits = set()
        if wanted.memory_bytes is not None and wanted.memory_bytes > domain.maxMemory() * 1024:
            waits.add("memory_bytes")
        if wanted.cpu_cores is not None and _vcpus(wanted) != domain.vcpusFlags(
            libvirt.VIR_DOMAIN_AFFECT_LIVE
        ):
            # Guests give vCPUs back only if they cooperate, so less waits for the next start too.
            live_max = domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
            fewer = _vcpus(wanted) < domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
            if fewer or _vcpus(wanted) > live_max:
                waits.add("cpu_cores")
        return frozenset(waits)

    return connection.call(method)


def domain_update(connection: Connection, engine_id: str, wanted: Resources) -> InstanceInfo:
    """New limits in the configuration, and live where that is possible."""
    waits = resize_waits(connection, engine_id, wanted)

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        live = bool(domain.isActive())
        if wanted.memory_bytes is not None:
            _memory_set(domain, wanted.memory_bytes // 1024, live and "memory_bytes" not in waits)
        if wanted.cpu_cores is not None:
            _vcpus_set(domain, _vcpus(wanted), live and "cpu_cores" not in waits)

    connection.call(method)
    return domain_get(connection, engine_id)


def network_ensure(conn: libvirt.virConnect, name: str) -> None:
    """Started afterwards. Raises ``InvalidInput`` when there is none of that name."""
    if name == "user":
        return
    try:
        network = conn.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
        known = ", ".join(sorted(item.name() for item in conn.listAllNetworks(0))) or "none"
        raise InvalidInput.field(
            "config.network", f"there is no network “{name}”; there are: {known}."
        ) from error
    if not network.isActive():
        with contextlib.suppress(libvirt.libvirtError):
            # Two creates may start it at once; what counts is that it runs afterwards.
            network.create()
        if not network.isActive():
            network.create()


def serial_log_path(instance_id: str) -> Path:
    """Where virtlogd keeps what the guest says on its serial line."""
    return SERIAL_LOGS / f"libgo-{uuid.UUID(instance_id)}-serial.log"


def _names(instance_id: str) -> dict[str, str]:
    stem = f"{storage.OWN_PREFIX}{uuid.UUID(instance_id)}"
    return {"disk": f"{stem}.disk", "seed": f"{stem}-seed.iso"}


def _vcpus(resources: Resources) -> int:
    cores = resources.cpu_cores or 1
    if cores != int(cores) or cores < 1:
        raise InvalidInput.field("resources.cpu.cores", "must be a whole number for a VM.")
    return int(cores)


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
    given = spec.config.get("cloud_init", {})
    files = {"user-data": user_data(given), "meta-data": meta_data(given, spec.instance_id, spec.name)}
    if given.get("network_config"):
        files["network-config"] = given["network_config"]
    data = seed_iso(files)
    pool = storage.pool_ensure(conn, pool_name)
    return str(storage.upload(conn, pool, storage.NewVolume(name, "raw", len(data)), data).path())


def _define(conn: libvirt.virConnect, plan: DomainPlan) -> None:
    domain = conn.defineXML(domain_xml(plan))
    if plan.spec.config.get("autostart"):
        domain.setAutostart(1)


def _remove(domain: libvirt.virDomain) -> None:
    _destroy(domain)
    if not domain.isPersistent():
        return
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        # Drivers without NVRAM refuse the flag.
        domain.undefine()


def _destroy(domain: libvirt.virDomain) -> None:
    try:
        if domain.isActive():
            domain.destroy()
    except libvirt.libvirtError as error:
        # It went off by itself in between.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _press_power(domain: libvirt.virDomain) -> None:
    try:
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        # The test driver knows only the plain call.
        domain.shutdown()


def _volume_gone(conn: libvirt.virConnect, pool_name: str, name: str) -> None:
    try:
        pool = conn.storagePoolLookupByName(pool_name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return
        raise
    if not pool.isActive():
        pool.create(0)
    storage.volume_delete(pool, name)


def _logs_remove(engine_id: str, own_name: str) -> None:
    """The serial log and what virtlogd rotated out of it; with the name of a domain that was ours
    also what QEMU said about it."""
    path = serial_log_path(engine_id)
    with contextlib.suppress(OSError):
        for found in path.parent.glob(f"{path.name}*"):
            found.unlink(missing_ok=True)
        if own_name:
            (SERIAL_LOGS / f"{own_name}.log").unlink(missing_ok=True)


def _networks_of(domain: libvirt.virDomain) -> list[str]:
    root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return [str(item.get("network")) for item in root.iterfind("./devices/interface/source[@network]")]


def _memory_set(domain: libvirt.virDomain, kib: int, live: bool) -> None:
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    maximum = _kib(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("./memory"))
    if live:
        domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if kib > maximum:
        domain.setMemoryFlags(kib, config | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
    domain.setMemoryFlags(kib, config)


def _kib(element: object) -> int:
    return int(getattr(element, "text", 0) or 0)


def _vcpus_set(domain: libvirt.virDomain, count: int, live: bool) -> None:
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if live and count > domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE):
        domain.setVcpusFlags(count, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if count > domain.vcpusFlags(config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM):
        domain.setVcpusFlags(count, config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    domain.setVcpusFlags(count, config)


@contextlib.contextmanager
def _vanished_is_fine() -> Iterator[None]:
    """Domains may go while they are looked at; that is no error."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def active_require(connection: Connection, engine_id: str) -> None:
    """Raises ``InvalidState`` unless the domain runs."""

    def method(conn: libvirt.virConnect) -> bool:
        return bool(lookup(conn, engine_id).isActive())

    if not connection.call(method):
        raise InvalidState("The VM does not run.", state="stopped")
