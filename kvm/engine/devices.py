"""Plug and unplug disks, NICs and media, on running machines and on those that are off."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import libvirt

from compute.backends.types import NetworkJoin, Reporter, UndoStep
from compute.errors import (
    InvalidInput,
    InvalidState,
    NetworkNotFound,
    NotFound,
    OperationNotSupported,
    PoolNotFound,
)
from compute.tell import tell
from kvm.engine import storage
from kvm.engine.connection import Connection
from kvm.engine.device_xml import DiskPlan, Element, disk_element, nic_element, target_next, text_of
from kvm.engine.disks import Backed, disk_blank, disk_existing, paths_of, pool_of, users_of
from kvm.engine.domain_xml import metadata_read, parse
from kvm.engine.domains import lookup
from kvm.engine.edit import affected
from kvm.engine.hardware_spec import nic_parts
from kvm.engine.host import pool_name_of
from kvm.engine.names import disk_name, names_of, stem_of
from kvm.engine.networks import network_ensure
from kvm.engine.os_variants import defaults_of
from kvm.engine.pending import nic_source

UNDO_DISK = "disk"
# How long a guest may take to let go of a device, and how often it is asked.
_RELEASE_S, _ASK_AGAIN_S = 20.0, 5.0
_ATTACH_TIMEOUT_S = 120.0
_LIVE, _CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG


def disk_attach(connection: Connection, engine_id: str, wanted: Mapping[str, Any], report: Reporter) -> str:
    """A new disk (``size``) or an existing ``volume``, at once and for every start; its target name.

    ``wanted`` as ``disk_check`` gave it. Raises ``VolumeNotFound``, ``VolumeInUse``, ``InvalidState``
    when a running machine has no free slot.
    """
    default = pool_name_of(connection)
    name = "" if "volume" in wanted else disk_name(engine_id, secrets.token_hex(4))
    if name:
        step = {"uuid": engine_id, "pool": wanted.get("pool") or default, "name": name}
        report.undo(UndoStep(UNDO_DISK, step))
    report.progress(20, "Making the disk" if name else f"Looking at the volume {wanted['volume']}")

    def make(conn: libvirt.virConnect) -> Backed:
        lookup(conn, engine_id)
        pool = pool_of(conn, str(wanted.get("pool", "")), default)
        return disk_blank(pool, name, wanted) if name else disk_existing(conn, pool, wanted)

    backed = connection.call(make, _ATTACH_TIMEOUT_S)
    report.progress(60, "Plugging it in")
    return connection.call(
        lambda conn: _plug_disk(lookup(conn, engine_id), wanted, backed), _ATTACH_TIMEOUT_S
    )


def _plug_disk(domain: libvirt.virDomain, wanted: Mapping[str, Any], backed: Backed) -> str:
    inactive = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if backed.path in paths_of(inactive) | paths_of(parse(domain.XMLDesc(0))):
        raise InvalidInput.field("volume", "is a disk of this machine already.")
    bus = str(wanted.get("bus") or defaults_of(metadata_read(inactive).get("os", "")).disk_bus)
    target = target_next(bus, _targets(domain))
    plan = DiskPlan(
        target=target,
        bus=bus,
        path=backed.path,
        format=backed.format,
        block=backed.block,
        cache=str(wanted.get("cache", "")),
        read_only=bool(wanted.get("read_only")),
        shareable=bool(wanted.get("shareable")),
    )
    _plug(domain, text_of(disk_element(plan)))
    return target


def disk_detach(
    connection: Connection, engine_id: str, target: str, *, delete_storage: bool, report: Reporter
) -> None:
    """Gone from the running machine (once its guest let go) and from every start. With
    ``delete_storage`` also its volume, if it was made for this machine. Raises ``NotFound``;
    ``InvalidState`` when the guest keeps it: it then stays plugged."""

    def is_it(device: Element) -> bool:
        found = device.find("./target")
        return device.tag == "disk" and found is not None and found.get("dev") == target

    paths = connection.call(lambda conn: _disk_paths(lookup(conn, engine_id), target))
    _unplug(connection, engine_id, is_it, tell(f"the disk {target}"), report)
    if delete_storage:
        report.progress(90, "Deleting its volume")
        connection.call(lambda conn: _volumes_delete(conn, engine_id, paths), _ATTACH_TIMEOUT_S)


def disk_grow(connection: Connection, engine_id: str, target: str, size: int, report: Reporter) -> None:
    """``size`` bytes afterwards. Raises ``InvalidInput`` for less than it has: what lies behind the
    new end would be cut off, and hypervisors do that without a word."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        _disk_require(domain, target)
        now = int(domain.blockInfo(target)[0])
        if size < now:
            raise InvalidInput.field(
                "size", f"must be at least {now} bytes, what {target} has: a disk is never made smaller."
            )
        if size == now:
            return
        if domain.isActive():
            domain.blockResize(target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            storage.disk_volume(conn, target, _disk_path(domain, target), "resize").resize(size, 0)

    report.progress(30, f"Growing {target}")
    connection.call(method, _ATTACH_TIMEOUT_S)


def disk_limits(connection: Connection, engine_id: str, target: str, limits: Mapping[str, int]) -> None:
    """Bytes and operations a second, 0 is no limit; what is not named stays."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        _disk_require(domain, target)
        domain.setBlockIoTune(target, dict(limits), affected(domain))

    connection.call(method)


def nic_attach(connection: Connection, engine_id: str, nic: str | Mapping[str, Any], report: Reporter) -> str:
    """A NIC at once and for every start, as ``nic_check`` gave it; its MAC address."""
    kind, source = nic_parts(nic)
    mac = "" if isinstance(nic, str) else str(nic.get("mac_address", ""))
    given = {"mac_address": mac or _mac_new()}
    whole = {**({kind: source or "user"} if isinstance(nic, str) else nic), **given}
    if kind == "user":
        whole = {**whole, "network": "user"}
        whole.pop("user", None)
    report.progress(30, f"Plugging a NIC into {source or kind}")

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if kind == "network":
            _network_there(conn, source)
        root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        defaults = defaults_of(metadata_read(root).get("os", ""))
        _plug(domain, text_of(nic_element(whole, defaults.nic_model)))

    connection.call(method, _ATTACH_TIMEOUT_S)
    return str(given["mac_address"])


def nic_detach(connection: Connection, engine_id: str, mac: str, report: Reporter) -> None:
    """Gone from the running machine and from every start. Raises as ``disk_detach``."""

    def is_it(device: Element) -> bool:
        found = device.find("./mac")
        return device.tag == "interface" and found is not None and str(found.get("address")).lower() == mac

    _unplug(connection, engine_id, is_it, tell(f"the NIC {mac}"), report)


def network_join(connection: Connection, engine_id: str, join: NetworkJoin) -> None:
    """A NIC on a libvirt network. Guests ask for their addresses themselves, so none can be chosen
    here: raises ``InvalidInput`` for one, and ``NetworkNotFound``."""
    for name in ("ip_address", "ipv6_address", "aliases"):
        if getattr(join, name):
            raise InvalidInput.field(
                name, "is not chosen here: a machine gets it from its network's DHCP. Reserve it there."
            )
    macs = connection.call(lambda conn: _macs_on(lookup(conn, engine_id), join.network))
    if not macs:
        nic_attach(connection, engine_id, join.network, _Quiet())


def network_leave(connection: Connection, engine_id: str, network: str) -> None:
    """Its NIC on this network, or the one with this MAC address, unplugged; none is fine. Raises
    ``InvalidInput`` when it has several there."""
    macs = connection.call(lambda conn: _macs_on(lookup(conn, engine_id), network))
    if len(macs) > 1:
        raise InvalidInput.field(
            "network", f"has several NICs of this machine; name one by its MAC address: {', '.join(macs)}."
        )
    if macs:
        nic_detach(connection, engine_id, macs[0], _Quiet())


def nic_bandwidth(
    connection: Connection, engine_id: str, mac: str, limits: Mapping[str, Mapping[str, int]]
) -> None:
    """``inbound`` and ``outbound`` in KiB/s; an empty direction is without a limit. Raises
    ``OperationNotSupported`` where the host's kernel cannot shape traffic, and changes nothing then."""
    params = {
        f"{way}.{key}": int(limits[way].get(key, 0)) for way in limits for key in ("average", "peak", "burst")
    }

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        try:
            # One after the other: libvirt takes only one of the two flags here.
            for flag in (_LIVE, _CONFIG):
                if affected(domain) & flag:
                    domain.setInterfaceParameters(mac, params, flag)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_INTERNAL_ERROR:
                raise
            raise OperationNotSupported(
                "The host cannot limit the bandwidth of a NIC: its kernel lacks the modules for traffic "
                "shaping (sch_htb, sch_sfq).",
                capability="bandwidth",
            ) from error

    connection.call(method)


def medium_change(
    connection: Connection, engine_id: str, *, target: str, image: str, force: bool, report: Reporter
) -> str:
    """The ISO ``image`` in a CD-ROM drive, or no medium when it is empty; the drive's name. A machine
    without a free drive gets one while it is off. Raises ``ImageNotFound``, ``InvalidState``."""
    default, seed = pool_name_of(connection), names_of(engine_id)["seed"]
    report.progress(30, f"Inserting {image}" if image else "Taking the medium out")

    def method(conn: libvirt.virConnect) -> str:
        domain = lookup(conn, engine_id)
        path = _iso_path(conn, default, image) if image else ""
        drive = _drive(domain, target, seed)
        if drive is None:
            return _drive_add(domain, path)
        plan = DiskPlan(_target(drive), str(drive.find("./target").get("bus")), path, device="cdrom")
        flags = affected(domain) | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if force else 0)
        domain.updateDeviceFlags(text_of(disk_element(plan)), flags)
        return plan.target

    return connection.call(method, _ATTACH_TIMEOUT_S)


def disk_undo(connection: Connection, step: UndoStep) -> None:
    """Take back a disk that an operation made: unplug what can be unplugged now, delete the volume.
    One that a guest holds on to stays, with its content, where people can see it."""

    ref = step.ref

    def method(conn: libvirt.virConnect) -> None:
        name = str(ref["name"])
        if not name.startswith(stem_of(ref["uuid"])):
            return
        try:
            pool = pool_of(conn, str(ref["pool"]), pool_name_of(connection))
        except PoolNotFound:
            return
        volume = storage.volume_or_none(pool, name)
        if volume is None:
            return
        _undo_unplug(conn, str(ref["uuid"]), str(volume.path()))
        if not users_of(conn, volume.path()):
            volume.delete(0)

    connection.call(method, _ATTACH_TIMEOUT_S)


def _undo_unplug(conn: libvirt.virConnect, engine_id: str, path: str) -> None:
    try:
        domain = conn.lookupByUUIDString(engine_id)
        for flag, from_xml in ((_CONFIG, libvirt.VIR_DOMAIN_XML_INACTIVE), (_LIVE, 0)):
            if flag == _LIVE and not domain.isActive():
                continue
            for disk in parse(domain.XMLDesc(from_xml)).iterfind("./devices/disk"):
                if path in {
                    source.get(key) for source in disk.iterfind("./source") for key in ("file", "dev")
                }:
                    domain.detachDeviceFlags(text_of(disk), flag)
    except libvirt.libvirtError:
        # The domain is gone, or keeps it; whether it does is looked at by the caller.
        return


def _plug(domain: libvirt.virDomain, xml: str) -> None:
    try:
        domain.attachDeviceFlags(xml, affected(domain))
    except libvirt.libvirtError as error:
        if "No more available PCI slots" in str(error):
            raise InvalidState(
                "The running machine has no free slot for another device. Shut it down and add it then: free "
                "slots are made when it starts.",
                state="running",
            ) from error
        raise


def _unplug(
    connection: Connection, engine_id: str, is_it: Callable[[Element], bool], what: str, report: Reporter
) -> None:
    """First out of the running machine, then out of its definition: a guest that keeps the device
    leaves both as they were."""

    def find(domain: libvirt.virDomain, flag: int) -> Element | None:
        root = parse(domain.XMLDesc(flag))
        return next((device for device in root.find("./devices") if is_it(device)), None)

    def ask(conn: libvirt.virConnect) -> bool:
        """Whether it is still plugged, after asking the guest to let go."""
        domain = lookup(conn, engine_id)
        device = find(domain, 0) if domain.isActive() else None
        if device is None:
            return False
        try:
            domain.detachDeviceFlags(text_of(device), _LIVE)
        except libvirt.libvirtError as error:
            # An earlier request is still under way in the guest, or has just been done.
            if "in the process of unplug" not in str(error) and find(domain, 0) is not None:
                raise
        return find(domain, 0) is not None

    def forget(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        device = find(domain, libvirt.VIR_DOMAIN_XML_INACTIVE) if domain.isPersistent() else None
        if device is not None:
            domain.detachDeviceFlags(text_of(device), _CONFIG)

    def is_there(conn: libvirt.virConnect) -> bool:
        domain = lookup(conn, engine_id)
        return any(find(domain, flag) is not None for flag in (0, libvirt.VIR_DOMAIN_XML_INACTIVE))

    if not connection.call(is_there):
        raise NotFound(f"The machine has not {what}.")
    report.progress(20, f"Asking the guest to let go of {what}")
    _released(connection, ask, lambda conn: find(lookup(conn, engine_id), 0) is not None, what, report)
    report.progress(80, f"Taking {what} out of its definition")
    connection.call(forget)


def _released(
    connection: Connection,
    ask: Callable[[libvirt.virConnect], bool],
    is_plugged: Callable[[libvirt.virConnect], bool],
    what: str,
    report: Reporter,
) -> None:
    deadline, asked_at = time.monotonic() + _RELEASE_S, -_ASK_AGAIN_S
    asked_at = time.monotonic()
    plugged = connection.call(ask)
    while plugged:
        now = time.monotonic()
        if now >= deadline:
            raise InvalidState(
                f"The guest did not let go of {what} within {_RELEASE_S:g} s, so it stays plugged in. Take "
                "it out of use inside the guest (unmount it), wait until the guest has started, or shut it "
                "down first.",
                state="running",
            )
        report.checkpoint()
        time.sleep(0.2)
        if now - asked_at >= _ASK_AGAIN_S:
            asked_at, plugged = now, connection.call(ask)
        else:
            plugged = connection.call(is_plugged)


def _targets(domain: libvirt.virDomain) -> list[str]:
    roots = [parse(domain.XMLDesc(flag)) for flag in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]
    return [str(item.get("dev")) for root in roots for item in root.iterfind("./devices/disk/target")]


def _target(disk: Element) -> str:
    return str(disk.find("./target").get("dev"))


def _disk_require(domain: libvirt.virDomain, target: str) -> Element:
    flag = 0 if domain.isActive() else libvirt.VIR_DOMAIN_XML_INACTIVE
    for disk in parse(domain.XMLDesc(flag)).iterfind("./devices/disk"):
        if _target(disk) == target and disk.get("device", "disk") == "disk":
            return disk
    raise NotFound(f"The machine has no disk {target}.", device=target)


def _disk_path(domain: libvirt.virDomain, target: str) -> str:
    source = _disk_require(domain, target).find("./source")
    path = "" if source is None else source.get("file") or source.get("dev") or ""
    if not path:
        raise OperationNotSupported(f"The disk {target} is no volume of this host.", capability="volume")
    return str(path)


def _disk_paths(domain: libvirt.virDomain, target: str) -> set[str]:
    found = set()
    for flag in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        for disk in parse(domain.XMLDesc(flag)).iterfind("./devices/disk"):
            if _target(disk) == target:
                if disk.get("device", "disk") != "disk":
                    raise InvalidInput.field("dev", f"{target} is no disk but a {disk.get('device')} drive.")
                found |= {
                    str(s.get(k)) for s in disk.iterfind("./source") for k in ("file", "dev") if s.get(k)
                }
    return found


def _volumes_delete(conn: libvirt.virConnect, engine_id: str, paths: set[str]) -> None:
    for path in sorted(paths):
        volume = storage.volume_at(conn, path)
        if volume is not None and volume.name().startswith(stem_of(engine_id)) and not users_of(conn, path):
            volume.delete(0)


def _macs_on(domain: libvirt.virDomain, network: str) -> list[str]:
    """MAC addresses of its NICs on a network, or the one that ``network`` itself is; plugged or defined."""
    found: dict[str, None] = {}
    for flag in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        for nic in parse(domain.XMLDesc(flag)).iterfind("./devices/interface"):
            mac = nic.find("./mac")
            address = "" if mac is None else str(mac.get("address")).lower()
            if network.lower() == address or nic_source(nic) == network:
                found[address] = None
    return list(found)


class _Quiet:
    """For work whose handler tells its progress itself."""

    def progress(self, percent: float, step: str) -> None:
        return None

    def log(self, line: str) -> None:
        return None

    def checkpoint(self) -> None:
        return None

    def undo(self, step: UndoStep) -> None:
        return None


def _mac_new() -> str:
    """In the range that QEMU's guests use."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def _network_there(conn: libvirt.virConnect, name: str) -> None:
    try:
        network_ensure(conn, name)
    except InvalidInput as error:
        raise NetworkNotFound(error.message.partition(": ")[2].capitalize(), network=name) from error


def _iso_path(conn: libvirt.virConnect, pool_name: str, image: str) -> str:
    found = storage.image_find(storage.pool_ensure(conn, pool_name), image)
    if not found.name().lower().endswith(".iso"):
        raise InvalidInput.field("image", f"{image} is no ISO; only those go into a CD-ROM drive.")
    return str(found.path())


def _drive(domain: libvirt.virDomain, target: str, seed: str) -> Element | None:
    """The drive of this name; without a name the first one that holds not the cloud-init seed."""
    drives = list(parse(domain.XMLDesc(0)).iterfind("./devices/disk[@device='cdrom']"))
    if target:
        found = next((drive for drive in drives if _target(drive) == target), None)
        if found is None:
            raise NotFound(f"The machine has no CD-ROM drive {target}.", device=target)
        return found
    return next((drive for drive in drives if not any(p.endswith(seed) for p in _paths(drive))), None)


def _paths(disk: Element) -> list[str]:
    sources = disk.iterfind("./source")
    return [str(source.get(key)) for source in sources for key in ("file", "dev") if source.get(key)]


def _drive_add(domain: libvirt.virDomain, path: str) -> str:
    if domain.isActive():
        raise InvalidState(
            "The machine has no free CD-ROM drive, and none can be added while it runs. Shut it down first.",
            state="running",
        )
    root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    bus = defaults_of(metadata_read(root).get("os", "")).cdrom_bus
    plan = DiskPlan(target_next(bus, _targets(domain)), bus, path, device="cdrom")
    domain.attachDeviceFlags(text_of(disk_element(plan)), _CONFIG)
    return plan.target


def drive_remove(connection: Connection, engine_id: str, target: str) -> None:
    """A CD-ROM drive out of the machine, while it is off. Raises ``NotFound``, ``InvalidState``."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        drive = _drive(domain, target, "")
        if domain.isActive():
            raise InvalidState(
                "A CD-ROM drive is removed only while the machine is off; take its medium out instead.",
                state="running",
            )
        domain.detachDeviceFlags(text_of(drive), _CONFIG)

    connection.call(method)
