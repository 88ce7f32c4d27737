"""What libvirt shows of a domain, as :class:`InstanceInfo`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import libvirt

from compute.backends.types import InstanceInfo, NetworkInfo, StorageInfo
from compute.states import InstanceState, InstanceType
from kvm.engine.domain_xml import Element, metadata_read, parse

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: InstanceState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: InstanceState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: InstanceState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: InstanceState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: InstanceState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: InstanceState.ERROR,
    libvirt.VIR_DOMAIN_PMSUSPENDED: InstanceState.PAUSED,
}
_WORDS = {
    libvirt.VIR_DOMAIN_RUNNING: "Running",
    libvirt.VIR_DOMAIN_BLOCKED: "Running, waiting for a resource",
    libvirt.VIR_DOMAIN_PAUSED: "Paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "Shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "Shut off",
    libvirt.VIR_DOMAIN_CRASHED: "Crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "Suspended by the guest",
}
_OFF_REASONS = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "Shut off by the guest",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "Forced off",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "Crashed",
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: "Saved to disk",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "Failed to start",
}
_UNITS = {"b": 1, "bytes": 1, "KiB": 1024, "k": 1024, "MiB": 1024**2, "GiB": 1024**3}


def domain_info(domain: libvirt.virDomain, *, detailed: bool) -> InstanceInfo:
    """``detailed`` also asks for addresses and disk sizes, a call for each."""
    state, why = domain.state()
    root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    meta = metadata_read(root)
    running = state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)
    storage = tuple(_disk(domain, disk, detailed) for disk in root.iterfind("./devices/disk"))
    labels = dict(meta.get("labels", {}))
    return InstanceInfo(
        engine_id=domain.UUIDString(),
        name=domain.name(),
        type=InstanceType.VM,
        state=_STATES.get(state, InstanceState.UNKNOWN),
        status=_status(state, why),
        image=meta.get("image", ""),
        instance_id=meta.get("instance", ""),
        operation_id=meta.get("operation", ""),
        project_id=meta.get("project", ""),
        config=_config(root, meta),
        cpu_cores=float(_vcpus(root)),
        memory_bytes=_bytes(root.find("./currentMemory")) or _bytes(root.find("./memory")),
        storage_bytes=sum(item.size or 0 for item in storage if item.format != "cdrom") or None,
        networks=_networks(domain, root, ask=detailed and running),
        storage=storage,
        labels=labels,
        created_at=_time(meta.get("created", "")),
    )


def _status(state: int, why: int) -> str:
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return _OFF_REASONS.get(why, "Shut off")
    return _WORDS.get(state, "Unknown")


def _vcpus(root: Element) -> int:
    element = root.find("./vcpu")
    return int(element.get("current") or element.text or 1) if element is not None else 1


def _bytes(element: Element | None) -> int | None:
    if element is None or not element.text:
        return None
    return int(element.text) * _UNITS.get(element.get("unit", "KiB"), 1024)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _disk(domain: libvirt.virDomain, disk: Element, detailed: bool) -> StorageInfo:
    target = _attribute(disk, "./target", "dev")
    source = _attribute(disk, "./source", "file", "volume", "dev", "name")
    is_cdrom = disk.get("device") == "cdrom"
    size = _disk_size(domain, target) if detailed and source and not is_cdrom else None
    kind = "cdrom" if is_cdrom else _attribute(disk, "./driver", "type")
    return StorageInfo(name=target, source=source.rsplit("/", 1)[-1], target=target, size=size, format=kind)


def _disk_size(domain: libvirt.virDomain, target: str) -> int | None:
    try:
        return int(domain.blockInfo(target)[0])
    except libvirt.libvirtError:
        # Drivers without disks behind them, and disks whose file is gone.
        return None


def _networks(domain: libvirt.virDomain, root: Element, *, ask: bool) -> tuple[NetworkInfo, ...]:
    addresses = _addresses(domain) if ask else {}
    found = []
    for nic in root.iterfind("./devices/interface"):
        mac = _attribute(nic, "./mac", "address")
        name = _attribute(nic, "./source", "network", "bridge", "dev") or str(nic.get("type", ""))
        v4, v6 = addresses.get(mac, ("", ""))
        found.append(NetworkInfo(name, mac, v4, v6))
    return tuple(found)


def _addresses(domain: libvirt.virDomain) -> dict[str, tuple[str, str]]:
    """By MAC address, from libvirt's own DHCP leases."""
    try:
        interfaces = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
    except libvirt.libvirtError:
        return {}
    found = {}
    for item in interfaces.values():
        both = item.get("addrs") or []
        v4 = next((a["addr"] for a in both if a["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4), "")
        v6 = next((a["addr"] for a in both if a["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV6), "")
        found[str(item.get("hwaddr"))] = (v4, v6)
    return found


def _config(root: Element, meta: dict[str, Any]) -> dict[str, Any]:
    """The ``config`` of the public API, as it is in force."""
    os_type = root.find("./os/type")
    nics = [_attribute(nic, "./source", "network") for nic in root.iterfind("./devices/interface")]
    disk = root.find("./devices/disk[@device='disk']")
    shown: dict[str, Any] = {
        "image": meta.get("image", ""),
        "firmware": "uefi" if root.find("./os").get("firmware") == "efi" else "bios",
        "machine": os_type.get("machine", "") if os_type is not None else "",
        "boot": [str(boot.get("dev")) for boot in root.iterfind("./os/boot")],
        "networks": [name for name in nics if name],
        "graphics": _attribute(root, "./devices/graphics", "type") or "none",
        "cpu_model": root.findtext("./cpu/model") or "",
        "virt_type": root.get("type", ""),
    }
    if disk is not None:
        driver, target = disk.find("./driver"), disk.find("./target")
        shown["disk"] = {
            "format": driver.get("type", "") if driver is not None else "",
            "bus": target.get("bus", "") if target is not None else "",
        }
    return {key: value for key, value in shown.items() if value not in ("", [], {})}


def _attribute(element: Element, path: str, *names: str) -> str:
    found = element.find(path)
    if found is None:
        return ""
    return next((str(found.get(name)) for name in names if found.get(name)), "")
