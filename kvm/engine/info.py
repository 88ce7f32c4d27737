"""What libvirt shows of a domain, as :class:`InstanceInfo`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import libvirt

from compute.backends.types import InstanceInfo, NetworkInfo, StorageInfo
from compute.states import InstanceState, InstanceType
from kvm.engine.agent import addresses_of
from kvm.engine.domain_xml import Element, metadata_read, parse
from kvm.engine.hardware_spec import IO_LIMITS
from kvm.engine.pending import (
    boot_order,
    cpu_model,
    firmware,
    memory_bytes,
    nic_source,
    pending_of,
    source_name,
    vcpus_most,
    vcpus_now,
)

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
    # libvirt does not know who ended it.
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "QEMU crashed or was killed, as the system does when memory runs out",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "Failed to start",
}


def domain_info(domain: libvirt.virDomain, *, detailed: bool) -> InstanceInfo:
    """``detailed`` also asks for addresses, disk sizes, autostart, a saved state and what waits for
    the next start: a call for each. CPU, memory and ``config`` are those of the definition; disks and
    NICs those that are plugged now."""
    observed_at = datetime.now(timezone.utc)
    state, why = domain.state()
    inactive = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    live = parse(domain.XMLDesc(0)) if detailed and domain.isActive() else inactive
    meta = metadata_read(inactive)
    is_saved = detailed and state == libvirt.VIR_DOMAIN_SHUTOFF and bool(domain.hasManagedSaveImage(0))
    running = state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)
    storage = tuple(_disk(domain, disk, detailed) for disk in live.iterfind("./devices/disk"))
    config = _config(inactive, live, meta)
    is_persistent = detailed and bool(domain.isPersistent())
    if is_persistent:
        config |= {
            key: True for key, told in (("autostart", domain.autostart()), ("saved", is_saved)) if told
        }
    return InstanceInfo(
        observed_at=observed_at,
        engine_id=domain.UUIDString(),
        name=domain.name(),
        type=InstanceType.VM,
        state=_STATES.get(state, InstanceState.UNKNOWN),
        status="Saved to disk" if is_saved else _status(state, why),
        image=meta.get("image", ""),
        instance_id=meta.get("instance", ""),
        operation_id=meta.get("operation", ""),
        project_id=meta.get("project", ""),
        config=config,
        cpu_cores=float(vcpus_now(inactive)),
        memory_bytes=memory_bytes(inactive, "currentMemory") or None,
        storage_bytes=sum(item.size or 0 for item in storage if item.format != "cdrom") or None,
        networks=_networks(domain, live, ask=detailed and running),
        storage=storage,
        labels=dict(meta.get("labels", {})),
        created_at=_time(meta.get("created", "")),
        pending=(pending_of(live, inactive) if is_persistent else {}) if detailed else None,
    )


def _status(state: int, why: int) -> str:
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return _OFF_REASONS.get(why, "Shut off")
    return _WORDS.get(state, "Unknown")


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _disk(domain: libvirt.virDomain, disk: Element, detailed: bool) -> StorageInfo:
    target, source = _attribute(disk, "./target", "dev"), source_name(disk)
    is_cdrom = disk.get("device") == "cdrom"
    size = _disk_size(domain, target) if detailed and source and not is_cdrom else None
    kind = "cdrom" if is_cdrom else _attribute(disk, "./driver", "type")
    return StorageInfo(name=target, source=source, target=target, size=size, format=kind)


def _disk_size(domain: libvirt.virDomain, target: str) -> int | None:
    try:
        return int(domain.blockInfo(target)[0])
    except libvirt.libvirtError:
        # Drivers without disks behind them, and disks whose file is gone.
        return None


def _networks(domain: libvirt.virDomain, root: Element, *, ask: bool) -> tuple[NetworkInfo, ...]:
    macs = {_attribute(nic, "./mac", "address") for nic in root.iterfind("./devices/interface")}
    addresses = _addresses(domain) if ask and macs else {}
    if ask and macs - addresses.keys() and _has_agent(root):
        addresses = {**addresses_of(domain), **addresses}
    found = []
    for nic in root.iterfind("./devices/interface"):
        mac = _attribute(nic, "./mac", "address")
        v4, v6 = addresses.get(mac, ("", ""))
        found.append(NetworkInfo(nic_source(nic), mac, v4, v6))
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


def _has_agent(live: Element) -> bool:
    """Whether something in the guest holds the agent's channel open; costs no question to it."""
    path = "./devices/channel/target[@name='org.qemu.guest_agent.0']"
    return _attribute(live, path, "state") == "connected"


def _config(root: Element, live: Element, meta: dict[str, Any]) -> dict[str, Any]:
    """The ``config`` of the public API: what the next start uses, and under ``devices`` what is plugged
    now."""
    os_type = root.find("./os/type")
    disk = root.find("./devices/disk[@device='disk']")
    shown: dict[str, Any] = {
        "image": meta.get("image", ""),
        "description": root.findtext("./description") or "",
        "os_variant": meta.get("os", ""),
        "firmware": firmware(root),
        "secure_boot": _attribute(root, "./os/loader", "secure") == "yes" or _wants_secure_boot(root),
        "tpm": root.find("./devices/tpm") is not None,
        "machine": os_type.get("machine", "") if os_type is not None else "",
        "boot": boot_order(root),
        "networks": [_nic_wish(nic) for nic in root.iterfind("./devices/interface")],
        "graphics": _attribute(root, "./devices/graphics", "type") or "none",
        "cpu_model": cpu_model(root),
        "cpu_topology": _topology(root),
        "max_vcpus": vcpus_most(root),
        "max_memory": memory_bytes(root, "memory"),
        "virt_type": root.get("type", ""),
        "devices": {
            "disks": [_disk_shown(item) for item in live.iterfind("./devices/disk[@device='disk']")],
            "drives": [_disk_shown(item) for item in live.iterfind("./devices/disk[@device='cdrom']")],
            "nics": [_nic_shown(item) for item in live.iterfind("./devices/interface")],
        },
    }
    if disk is not None:
        driver, target = disk.find("./driver"), disk.find("./target")
        shown["disk"] = {
            "format": driver.get("type", "") if driver is not None else "",
            "bus": target.get("bus", "") if target is not None else "",
        }
    return {key: value for key, value in shown.items() if value not in ("", [], {}, False)}


def _wants_secure_boot(root: Element) -> bool:
    found = root.find("./os/firmware/feature[@name='secure-boot']")
    return found is not None and found.get("enabled") == "yes"


def _topology(root: Element) -> dict[str, int]:
    found = root.find("./cpu/topology")
    return {} if found is None else {key: int(found.get(key, 1)) for key in ("sockets", "cores", "threads")}


def _nic_wish(nic: Element) -> str | dict[str, str]:
    """As it would be asked for; a plain one is the name of its network. Without its MAC address, which
    only this machine may have."""
    kind, model = str(nic.get("type", "")), _attribute(nic, "./model", "type")
    source = nic_source(nic)
    if kind in ("network", "user") and model in ("virtio", ""):
        return source
    key = kind if kind in ("bridge", "direct") else "network"
    return {key: source, **({"model": model} if model else {})}


def _nic_shown(nic: Element) -> dict[str, Any]:
    limits = {
        way: {key: int(found.get(key, 0)) for key in ("average", "peak", "burst") if found.get(key)}
        for way in ("inbound", "outbound")
        if (found := nic.find(f"./bandwidth/{way}")) is not None
    }
    return {
        "mac_address": _attribute(nic, "./mac", "address"),
        "type": str(nic.get("type", "")),
        "source": nic_source(nic),
        "model": _attribute(nic, "./model", "type"),
        **({"bandwidth": limits} if limits else {}),
    }


def _disk_shown(disk: Element) -> dict[str, Any]:
    tune = disk.find("./iotune")
    limits = {} if tune is None else {name: int(tune.findtext(f"./{name}") or 0) for name in IO_LIMITS}
    limits = {name: value for name, value in limits.items() if value}
    return {
        "target": _attribute(disk, "./target", "dev"),
        "bus": _attribute(disk, "./target", "bus"),
        "source": source_name(disk),
        "format": _attribute(disk, "./driver", "type"),
        "cache": _attribute(disk, "./driver", "cache"),
        "read_only": disk.find("./readonly") is not None,
        "shareable": disk.find("./shareable") is not None,
        **({"io_limits": limits} if limits else {}),
    }


def _attribute(element: Element, path: str, *names: str) -> str:
    found = element.find(path)
    if found is None:
        return ""
    return next((str(found.get(name)) for name in names if found.get(name)), "")
