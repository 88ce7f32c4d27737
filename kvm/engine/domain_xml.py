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
from kvm.engine.device_xml import DiskPlan, disk_element, nic_element
from kvm.engine.os_variants import OsDefaults

NAMESPACE = "urn:libgo:instance:1"
_META = ElementMaker(namespace=NAMESPACE, nsmap={"libgo": NAMESPACE})

Element = Any


# PCIe slots that are free when the machine starts: each takes one more disk or NIC while it runs.
_SPARE_PORTS = 6


@dataclass(frozen=True)
class DomainPlan:
    """What create decided: ``virt_type`` is kvm, qemu or test. Disks are in their order, CD-ROM drives
    among them."""

    spec: InstanceSpec
    virt_type: str
    vcpus: int
    vcpus_max: int
    memory_bytes: int
    memory_max_bytes: int
    disks: tuple[DiskPlan, ...]
    defaults: OsDefaults = OsDefaults()
    has_medium: bool = False
    serial_log: str = ""


def domain_xml(plan: DomainPlan) -> str:
    """The whole definition of a new domain."""
    config = plan.spec.config
    root = E.domain(
        E.name(plan.spec.name),
        E.uuid(plan.spec.instance_id),
        E.metadata(_metadata(plan.spec)),
        E.memory(str(plan.memory_max_bytes), unit="b"),
        E.currentMemory(str(plan.memory_bytes), unit="b"),
        E.vcpu(str(plan.vcpus_max), current=str(plan.vcpus)),
        type=plan.virt_type,
    )
    if config.get("description"):
        root.insert(2, E.description(config["description"]))
    root.append(_os(plan))
    if plan.virt_type != "test":
        root.append(_features(plan))
        cpu = _cpu(plan, config)
        if cpu is not None:
            root.append(cpu)
    root.append(E.clock(offset=plan.defaults.clock))
    root.extend([E.on_poweroff("destroy"), E.on_reboot("restart"), E.on_crash("destroy")])
    root.append(_devices(plan, config))
    return str(etree.tostring(root, encoding="unicode"))


def volume_xml(
    name: str, capacity_bytes: int, volume_format: str, backing: tuple[str, str] | None = None
) -> str:
    """A volume; ``backing`` is (path, format) of the image it is a thin copy of."""
    root = E.volume(E.name(name), E.capacity(str(capacity_bytes), unit="bytes"))
    target = E.target(E.format(type=volume_format))
    if volume_format == "qcow2":
        # libvirt's default is the older version, which cannot grow while it holds snapshots.
        target.append(E.compat("1.1"))
    root.append(target)
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
    """Our own element of a domain: ``instance, operation, project, image, created, os?, labels``."""
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
    if spec.config.get("os_variant"):
        element.set("os", str(spec.config["os_variant"]))
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
        if config.get("secure_boot"):
            root.append(E.firmware(*(E.feature(enabled="yes", name=name) for name in _SECURE)))
    order = config.get("boot") or (["cdrom", "hd"] if plan.has_medium else ["hd"])
    root.extend([E.boot(dev=device) for device in order])
    return root


_SECURE = ("secure-boot", "enrolled-keys")


def _features(plan: DomainPlan) -> Element:
    root = E.features(E.acpi(), E.apic())
    if plan.spec.config.get("secure_boot"):
        root.append(E.smm(state="on"))
    if plan.defaults.hyperv:
        root.append(
            E.hyperv(E.relaxed(state="on"), E.vapic(state="on"), E.spinlocks(state="on", retries="8191"))
        )
    return root


CPU_MODES = ("host-passthrough", "host-model", "maximum")


def _cpu(plan: DomainPlan, config: Mapping[str, Any]) -> Element | None:
    topology, model = config.get("cpu_topology"), config.get("cpu_model")
    if model in CPU_MODES:
        root = E.cpu(mode=model)
    elif model:
        root = E.cpu(E.model(model, fallback="allow"), mode="custom", match="exact")
    elif plan.virt_type == "kvm":
        root = E.cpu(mode="host-passthrough")
    elif topology:
        root = E.cpu()
    else:
        return None
    if topology:
        every = {"sockets": 1, "cores": 1, "threads": 1, **topology}
        root.append(E.topology(**{key: str(value) for key, value in every.items()}))
    return root


def _devices(plan: DomainPlan, config: Mapping[str, Any]) -> Element:
    devices = E.devices()
    networks = config.get("networks", [])
    if plan.virt_type != "test" and config.get("machine", "q35").endswith("q35"):
        devices.extend(_root_ports(plan, len(networks)))
    if any(disk.bus == "scsi" for disk in plan.disks):
        devices.append(E.controller(type="scsi", model="virtio-scsi", index="0"))
    devices.extend([disk_element(disk) for disk in plan.disks])
    devices.extend([nic_element(nic, plan.defaults.nic_model) for nic in networks])
    if plan.virt_type == "test":
        return devices
    devices.append(_serial(plan))
    devices.append(E.console(E.target(type="serial", port="0"), type="pty"))
    devices.append(E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix"))
    if config.get("graphics", "vnc") == "vnc":
        # No port and no password: the console reaches it through libvirt itself.
        devices.append(E.graphics(E.listen(type="none"), type="vnc"))
        devices.append(E.video(E.model(type="vga")))
    if config.get("tpm"):
        devices.append(E.tpm(E.backend(type="emulator", version="2.0"), model="tpm-crb"))
    devices.append(E.memballoon(E.stats(period="5"), model="virtio"))
    devices.append(E.rng(E.backend("/dev/urandom", model="random"), model="virtio"))
    return devices


def _root_ports(plan: DomainPlan, nics: int) -> list[Element]:
    """A slot for every device behind PCIe and some more: libvirt adds none while the machine runs."""
    disks = sum(disk.bus == "virtio" for disk in plan.disks)
    # SCSI and USB controllers, the serial bus of the agent's channel, balloon, random numbers.
    needed = 5 + disks + nics
    root = E.controller(type="pci", index="0", model="pcie-root")
    return [root, *(E.controller(type="pci", model="pcie-root-port") for _ in range(needed + _SPARE_PORTS))]


def _serial(plan: DomainPlan) -> Element:
    serial = E.serial(E.target(port="0"), type="pty")
    if plan.serial_log:
        serial.append(E.log(file=plan.serial_log, append="on"))
    return serial
