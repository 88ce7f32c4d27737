"""What a running domain is, and what its definition says it will be: the difference."""

from __future__ import annotations

from typing import Any

from kvm.engine.device_xml import Element

_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 1000,
    "KiB": 1024,
    "k": 1024,
    "MiB": 1024**2,
    "M": 1024**2,
    "GiB": 1024**3,
}
# Guests give memory back in pieces; what is less apart is on its way.
_MEMORY_NOISE = 1024**2


def pending_of(live: Element, inactive: Element) -> dict[str, Any]:
    """What will be different after the next start, with its new value: ``cpu_cores``, ``max_vcpus``,
    ``memory_bytes``, ``max_memory``, ``boot``, ``firmware``, ``machine``, ``cpu_model``, ``graphics``,
    and for ``disks``, ``media`` and ``networks`` what comes (“+vdb disk-2”) and goes (“-vdb …”)."""
    found: dict[str, Any] = {}
    for name, read in _VALUES.items():
        now, then = read(live), read(inactive)
        if now != then:
            found[name] = then
    memory = memory_bytes(inactive, "currentMemory")
    if abs(memory - memory_bytes(live, "currentMemory")) > _MEMORY_NOISE:
        found["memory_bytes"] = memory
    for name, read_set in _SETS.items():
        now, then = read_set(live), read_set(inactive)
        moves = [f"-{item}" for item in sorted(now - then)] + [f"+{item}" for item in sorted(then - now)]
        if moves:
            found[name] = moves
    return found


def memory_bytes(root: Element, name: str) -> int:
    """``memory`` (the most) or ``currentMemory`` of a domain."""
    element = root.find(f"./{name}")
    if element is None:
        element = root.find("./memory")
    if element is None or not element.text:
        return 0
    return int(element.text) * _UNITS.get(element.get("unit", "KiB"), 1024)


def vcpus_now(root: Element) -> int:
    element = root.find("./vcpu")
    return int(element.get("current") or element.text or 1) if element is not None else 1


def vcpus_most(root: Element) -> int:
    return int(root.findtext("./vcpu") or 1)


def boot_order(root: Element) -> list[str]:
    return [str(item.get("dev")) for item in root.iterfind("./os/boot")]


def firmware(root: Element) -> str:
    """Once a domain was started the kind is gone and the file that was chosen stands in its place."""
    os = root.find("./os")
    if os is None:
        return "bios"
    loader = os.find("./loader")
    is_flash = loader is not None and loader.get("type") == "pflash"
    return "uefi" if os.get("firmware") == "efi" or is_flash else "bios"


def cpu_model(root: Element) -> str:
    """A mode such as ``host-model`` says it all; libvirt fills in what it became."""
    cpu = root.find("./cpu")
    if cpu is None:
        return ""
    mode = str(cpu.get("mode", ""))
    return mode if mode in ("host-passthrough", "host-model", "maximum") else cpu.findtext("./model") or ""


def source_name(device: Element) -> str:
    """The last part of what a disk is made of: a path is nobody's business."""
    source = device.find("./source")
    if source is None:
        return ""
    found = next((source.get(key) for key in ("file", "volume", "dev", "name") if source.get(key)), "")
    return str(found).rsplit("/", 1)[-1]


def nic_source(nic: Element) -> str:
    source = nic.find("./source")
    if source is None:
        return str(nic.get("type", ""))
    found = next((source.get(key) for key in ("network", "bridge", "dev") if source.get(key)), "")
    # A NIC on a network shows the network's bridge too while it runs; the network is what was asked for.
    return str(found or nic.get("type", ""))


def _topology(root: Element) -> dict[str, int]:
    found = root.find("./cpu/topology")
    return {} if found is None else {key: int(found.get(key, 1)) for key in ("sockets", "cores", "threads")}


def _graphics(root: Element) -> str:
    found = root.find("./devices/graphics")
    return "none" if found is None else str(found.get("type", ""))


def _machine(root: Element) -> str:
    found = root.find("./os/type")
    return "" if found is None else str(found.get("machine", ""))


def _target(disk: Element) -> str:
    found = disk.find("./target")
    return "" if found is None else str(found.get("dev", ""))


def _disks(root: Element) -> set[str]:
    found = root.iterfind("./devices/disk")
    return {f"{_target(d)} {source_name(d)}" for d in found if d.get("device", "disk") == "disk"}


def _media(root: Element) -> set[str]:
    found = root.iterfind("./devices/disk")
    return {f"{_target(d)} {source_name(d)}".strip() for d in found if d.get("device", "disk") != "disk"}


def _nics(root: Element) -> set[str]:
    found = []
    for nic in root.iterfind("./devices/interface"):
        mac = nic.find("./mac")
        found.append(f"{nic_source(nic)} {'' if mac is None else mac.get('address', '')}".strip())
    return set(found)


_VALUES = {
    "cpu_cores": vcpus_now,
    "max_vcpus": vcpus_most,
    "max_memory": lambda root: memory_bytes(root, "memory"),
    "boot": boot_order,
    "firmware": firmware,
    "machine": _machine,
    "cpu_model": cpu_model,
    "cpu_topology": _topology,
    "graphics": _graphics,
}
_SETS = {"disks": _disks, "media": _media, "networks": _nics}
