"""Domain and volume XML, built as trees and never by pasting text.

Source: https://libvirt.org/formatdomain.html and formatstorage.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lxml import etree
from lxml.builder import E, ElementMaker

from compute.backends.types import InstanceSpec

NAMESPACE = "urn:libgo:instance:1"
_META = ElementMaker(namespace=NAMESPACE, nsmap={"libgo": NAMESPACE})

Element = Any


@dataclass(frozen=True)
class DomainPlan:
    """What create decided: ``virt_type`` is kvm, qemu or test; paths are of volumes in the pool."""

    spec: InstanceSpec
    virt_type: str
    vcpus: int
    vcpus_max: int
    memory_bytes: int
    disk_path: str
    disk_format: str
    seed_path: str = ""
    iso_path: str = ""
    serial_log: str = ""


def domain_xml(plan: DomainPlan) -> str:
    """The whole definition of a new domain."""
    config = plan.spec.config
    root = E.domain(
        E.name(plan.spec.name),
        E.uuid(plan.spec.instance_id),
        E.metadata(_metadata(plan.spec)),
        E.memory(str(plan.memory_bytes), unit="b"),
        E.currentMemory(str(plan.memory_bytes), unit="b"),
        E.vcpu(str(plan.vcpus_max), current=str(plan.vcpus)),
        type=plan.virt_type,
    )
    root.append(_os(plan))
    if plan.virt_type != "test":
        root.append(E.features(E.acpi(), E.apic()))
        cpu = _cpu(plan, config)
        if cpu is not None:
            root.append(cpu)
    root.append(E.clock(offset="utc"))
    root.extend([E.on_poweroff("destroy"), E.on_reboot("restart"), E.on_crash("destroy")])
    root.append(_devices(plan, config))
    return str(etree.tostring(root, encoding="unicode"))


def volume_xml(
    name: str, capacity_bytes: int, volume_format: str, backing: tuple[str, str] | None = None
) -> str:
    """A volume; ``backing`` is (path, format) of the image it is a thin copy of."""
    root = E.volume(E.name(name), E.capacity(str(capacity_bytes), unit="bytes"))
    root.append(E.target(E.format(type=volume_format)))
    if backing is not None:
        root.append(E.backingStore(E.path(backing[0]), E.format(type=backing[1])))
    return str(etree.tostring(root, encoding="unicode"))


def pool_xml(name: str, path: str) -> str:
    """A pool that is a folder."""
    return str(etree.tostring(E.pool(E.name(name), E.target(E.path(path)), type="dir"), encoding="unicode"))


def parse(xml: str) -> Element:
    """Parse what libvirt gave us; entities and network access stay off."""
    return etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, no_network=True))


def metadata_read(root: Element) -> dict[str, Any]:
    """Our own element of a domain: ``instance, operation, project, image, created, labels``."""
    found = root.find(f"./metadata/{{{NAMESPACE}}}instance")
    if found is None:
        return {}
    labels = {str(item.get("key")): item.text or "" for item in found.iterfind(f"{{{NAMESPACE}}}label")}
    return {**dict(found.attrib), "labels": labels}


def _metadata(spec: InstanceSpec) -> Element:
    element = _META.instance(
        instance=spec.instance_id,
        operation=spec.operation_id,
        project=spec.project_id,
        image=str(spec.config.get("image", "")),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    for key, value in sorted(spec.labels.items()):
        element.append(_META.label(value, key=key))
    return element


def _os(plan: DomainPlan) -> Element:
    config = plan.spec.config
    if plan.virt_type == "test":
        return E.os(E.type("hvm"))
    root = E.os(E.type("hvm", arch="x86_64", machine=config.get("machine", "q35")))
    if config.get("firmware") == "uefi":
        root.set("firmware", "efi")
    order = config.get("boot") or (["cdrom", "hd"] if plan.iso_path else ["hd"])
    root.extend([E.boot(dev=device) for device in order])
    return root


def _cpu(plan: DomainPlan, config: Mapping[str, Any]) -> Element | None:
    topology = config.get("cpu_topology")
    if config.get("cpu_model"):
        root = E.cpu(E.model(config["cpu_model"], fallback="allow"), mode="custom", match="exact")
    elif plan.virt_type == "kvm":
        root = E.cpu(mode="host-passthrough")
    elif topology:
        root = E.cpu()
    else:
        return None
    if topology:
        root.append(E.topology(**{key: str(value) for key, value in topology.items()}))
    return root


def _devices(plan: DomainPlan, config: Mapping[str, Any]) -> Element:
    disk = config.get("disk") or {}
    devices = E.devices(_disk(plan, disk))
    if plan.seed_path or plan.iso_path:
        # Cloud kernels have no AHCI driver: a CD-ROM on SATA would be invisible to them.
        devices.append(E.controller(type="scsi", model="virtio-scsi", index="0"))
    for target, path in (("sda", plan.iso_path), ("sdb", plan.seed_path)):
        if path:
            devices.append(_cdrom(target, path))
    devices.extend([_nic(name) for name in config.get("networks", [])])
    if plan.virt_type == "test":
        return devices
    devices.append(_serial(plan))
    devices.append(E.console(E.target(type="serial", port="0"), type="pty"))
    devices.append(E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix"))
    if config.get("graphics", "vnc") == "vnc":
        # No port and no password: the console reaches it through libvirt itself.
        devices.append(E.graphics(E.listen(type="none"), type="vnc"))
        devices.append(E.video(E.model(type="vga")))
    devices.append(E.memballoon(E.stats(period="5"), model="virtio"))
    devices.append(E.rng(E.backend("/dev/urandom", model="random"), model="virtio"))
    return devices


def _disk(plan: DomainPlan, disk: Mapping[str, Any]) -> Element:
    bus = disk.get("bus", "virtio")
    target = {"virtio": "vda", "scsi": "sdc", "sata": "sdc", "ide": "hda"}[bus]
    driver = E.driver(name="qemu", type=plan.disk_format, discard="unmap")
    if disk.get("cache"):
        driver.set("cache", disk["cache"])
    return E.disk(
        driver, E.source(file=plan.disk_path), E.target(dev=target, bus=bus), type="file", device="disk"
    )


def _cdrom(target: str, path: str) -> Element:
    return E.disk(
        E.driver(name="qemu", type="raw"),
        E.source(file=path),
        E.target(dev=target, bus="scsi"),
        E.readonly(),
        type="file",
        device="cdrom",
    )


def _nic(network: str) -> Element:
    if network == "user":
        return E.interface(E.model(type="virtio"), type="user")
    return E.interface(E.source(network=network), E.model(type="virtio"), type="network")


def _serial(plan: DomainPlan) -> Element:
    serial = E.serial(E.target(port="0"), type="pty")
    if plan.serial_log:
        serial.append(E.log(file=plan.serial_log, append="on"))
    return serial
