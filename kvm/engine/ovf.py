"""OVF descriptors: written for exports, read (as hostile data) for imports.

Written as OVF 1.1 (DMTF DSP0243), which every hypervisor reads and 2.0 keeps; both are read. The elements
of an ``Item`` stand in the order of the alphabet, because their schema (DSP8023) is a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree
from lxml.builder import ElementMaker

from compute.errors import InvalidInput
from compute.tell import tell

OVF_MAX_BYTES = 2 * 1024**2
_ENVELOPES = ("http://schemas.dmtf.org/ovf/envelope/1", "http://schemas.dmtf.org/ovf/envelope/2")
_OVF = _ENVELOPES[0]
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
_RASD = f"{_CIM}/CIM_ResourceAllocationSettingData"
_VSSD = f"{_CIM}/CIM_VirtualSystemSettingData"
_VMW = "http://www.vmware.com/schema/ovf"
_STREAM_VMDK = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_MIB = 1024**2
# CIM_ResourceAllocationSettingData.ResourceType
_CPU, _MEMORY, _IDE, _SCSI, _NIC, _DISK, _SATA = "3", "4", "5", "6", "10", "17", "20"
_KNOWN = frozenset({_CPU, _MEMORY, _IDE, _SCSI, _NIC, _DISK, _SATA})
_NAMES = {
    "1": tell("other device"),
    "14": tell("floppy drive"),
    "15": tell("CD drive"),
    "16": tell("DVD drive"),
    "23": tell("USB controller"),
}
_NAMES |= {"24": "graphics", "35": "sound", "21": tell("serial port"), "22": tell("parallel port")}
_DISKS_MAX, _NICS_MAX, _CPUS_MAX = 16, 8, 512
_OTHER_64_BIT = "102"


@dataclass(frozen=True)
class OvfDisk:
    """``file`` is its name beside the descriptor; sizes in bytes."""

    file: str
    capacity_bytes: int
    size_bytes: int = 0


@dataclass(frozen=True)
class OvfMachine:
    """What a descriptor says of its one machine. ``bus`` is empty where only others' names for it stand;
    ``notes`` say what was left out."""

    name: str
    cpus: int
    memory_bytes: int
    disks: Sequence[OvfDisk]
    networks: Sequence[str] = ()
    firmware: str = "bios"
    bus: str = ""
    description: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def ovf_xml(machine: OvfMachine) -> bytes:
    """The descriptor; its disks are streamOptimized VMDKs."""
    names = {None: _OVF, "ovf": _OVF, "rasd": _RASD, "vssd": _VSSD, "vmw": _VMW}
    e = ElementMaker(namespace=_OVF, nsmap=names)
    files, disks = e.References(), e.DiskSection(e.Info("The disks"))
    for number, disk in enumerate(machine.disks, 1):
        files.append(_with(e.File(), href=disk.file, id=f"file{number}", size=str(disk.size_bytes)))
        disks.append(
            _with(
                e.Disk(),
                capacity=str(disk.capacity_bytes),
                capacityAllocationUnits="byte",
                diskId=f"vmdisk{number}",
                fileRef=f"file{number}",
                format=_STREAM_VMDK,
            )
        )
    root = e.Envelope(files, disks)
    networks = sorted(set(machine.networks))
    if networks:
        section = e.NetworkSection(e.Info("The networks"))
        section.extend([_with(e.Network(e.Description(name)), name=name) for name in networks])
        root.append(section)
    system = _with(e.VirtualSystem(e.Info("A virtual machine"), e.Name(machine.name)), id=machine.name)
    if machine.description:
        system.append(e.AnnotationSection(e.Info("A note"), e.Annotation(machine.description)))
    kind = _with(
        e.OperatingSystemSection(e.Info("The guest"), e.Description("Other (64-bit)")), id=_OTHER_64_BIT
    )
    system.extend([kind, _hardware(e, machine)])
    root.append(system)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def ovf_read(data: bytes) -> OvfMachine:
    """Raises ``InvalidInput`` for what is no descriptor of one machine. Entities are not resolved, and
    nothing is fetched."""
    root = _parsed(data)
    systems = _all(root, "VirtualSystem")
    if len(systems) != 1:
        raise _wrong(f"describes {len(systems)} machines; LibGo imports one at a time.")
    system = systems[0]
    items = [_item(element) for section in _all(system, "VirtualHardwareSection") for element in section]
    items = [item for item in items if item]
    cpus = [item for item in items if item.get("ResourceType") == _CPU]
    memory = [item for item in items if item.get("ResourceType") == _MEMORY]
    config = {_local_attribute(found, "key"): _local_attribute(found, "value") for found in _vmw(system)}
    names = _all(system, "Name")
    return OvfMachine(
        name=(names[0].text or "").strip()[:200] if names else _local_attribute(system, "id")[:200],
        cpus=min(_CPUS_MAX, max(1, _number(cpus[0].get("VirtualQuantity"), 1))) if cpus else 1,
        memory_bytes=_memory(memory[0]) if memory else 0,
        disks=_disks(root, items),
        networks=[item.get("Connection", "")[:200] for item in items if item.get("ResourceType") == _NIC][
            :_NICS_MAX
        ],
        firmware="uefi" if config.get("firmware") == "efi" else "bios",
        bus=config["libgo.bus"] if config.get("libgo.bus") in ("virtio", "scsi", "sata") else "",
        description=next(((found.text or "")[:1000] for found in _all(system, "Annotation")), ""),
        notes=_left_out(items),
    )


def _hardware(e: ElementMaker, machine: OvfMachine) -> Any:
    section = e.VirtualHardwareSection(e.Info("What the machine has"))
    vssd = ElementMaker(namespace=_VSSD)
    section.append(
        e.System(
            vssd.ElementName("Virtual Hardware Family"),
            vssd.InstanceID("0"),
            vssd.VirtualSystemIdentifier(machine.name),
            vssd.VirtualSystemType("vmx-10"),
        )
    )
    count, mib = str(machine.cpus), str(max(1, machine.memory_bytes // _MIB))
    rows: list[dict[str, str]] = [
        {
            "AllocationUnits": "hertz * 10^6",
            "ElementName": f"{count} CPU",
            "ResourceType": _CPU,
            "VirtualQuantity": count,
        },
        {
            "AllocationUnits": "byte * 2^20",
            "ElementName": f"{mib} MiB",
            "ResourceType": _MEMORY,
            "VirtualQuantity": mib,
        },
        {
            "Address": "0",
            "ElementName": "SCSI controller",
            "ResourceSubType": "lsilogic",
            "ResourceType": _SCSI,
        },
    ]
    for number in range(len(machine.disks)):
        place = {
            "AddressOnParent": str(number if number < 7 else number + 1),
            "ElementName": f"Disk {number + 1}",
        }
        rows.append(
            {**place, "HostResource": f"ovf:/disk/vmdisk{number + 1}", "Parent": "3", "ResourceType": _DISK}
        )
    for number, network in enumerate(machine.networks):
        place = {"AddressOnParent": str(number), "AutomaticAllocation": "true", "Connection": network}
        rows.append(
            {**place, "ElementName": f"NIC {number + 1}", "ResourceSubType": "E1000", "ResourceType": _NIC}
        )
    rasd = ElementMaker(namespace=_RASD)
    for number, row in enumerate(rows, 1):
        values = sorted({**row, "InstanceID": str(number)}.items())
        section.append(e.Item(*[getattr(rasd, key)(value) for key, value in values]))
    vmw = ElementMaker(namespace=_VMW)
    marks = {"libgo.bus": machine.bus} | ({"firmware": "efi"} if machine.firmware == "uefi" else {})
    for key, value in marks.items():
        element = _with(vmw.Config(), required="false")
        element.set(f"{{{_VMW}}}key", key)
        element.set(f"{{{_VMW}}}value", value)
        section.append(element)
    return section


def _with(element: Any, **attributes: str) -> Any:
    for key, value in attributes.items():
        element.set(f"{{{_OVF}}}{key}", value)
    return element


def _parsed(data: bytes) -> Any:
    if len(data) > OVF_MAX_BYTES:
        raise _wrong(f"is larger than {OVF_MAX_BYTES // _MIB} MiB.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _wrong(f"is not well-formed XML ({str(error)[:100]}).") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise _wrong("holds a document type, which no descriptor needs.")
    if root.tag not in [f"{{{space}}}Envelope" for space in _ENVELOPES]:
        raise _wrong("is no OVF envelope.")
    return root


def _disks(root: Any, items: Sequence[dict[str, str]]) -> list[OvfDisk]:
    """In the order of the hardware: the first is what the machine starts from."""
    files = {_local_attribute(item, "id"): item for item in _all(root, "File")}
    known = {_local_attribute(item, "diskId"): item for item in _all(root, "Disk")}
    found = []
    for item in [item for item in items if item.get("ResourceType") == _DISK]:
        disk = known.get(item.get("HostResource", "").rsplit("/", 1)[-1])
        file = files.get(_local_attribute(disk, "fileRef")) if disk is not None else None
        if disk is None or file is None:
            raise _wrong("has a disk whose file it does not name.")
        if _local_attribute(file, "compression") not in ("", "identity"):
            raise _wrong(
                "has a disk that is compressed as a file; LibGo takes streamOptimized VMDKs as they are."
            )
        if _local_attribute(disk, "parentRef") or _local_attribute(file, "chunkSize"):
            raise _wrong("has a disk in several parts; LibGo takes disks of one file each.")
        units = _units(_local_attribute(disk, "capacityAllocationUnits"))
        capacity = _number(_local_attribute(disk, "capacity"), 0) * units
        found.append(
            OvfDisk(_local_attribute(file, "href"), capacity, _number(_local_attribute(file, "size"), 0))
        )
    if not 0 < len(found) <= _DISKS_MAX:
        raise _wrong(f"has {len(found)} disks; LibGo takes 1 to {_DISKS_MAX}.")
    return found


def _memory(item: dict[str, str]) -> int:
    return _number(item.get("VirtualQuantity"), 0) * _units(item.get("AllocationUnits", "byte * 2^20"))


def _units(text: str) -> int:
    """DSP0004 annex C.1: ``byte * 2^20``, ``byte * 10^6``; and the words of older products."""
    words = {"MegaBytes": _MIB, "MB": _MIB, "GigaBytes": 1024**3, "GB": 1024**3, "KiloBytes": 1024}
    if text in words:
        return words[text]
    base, _, power = text.replace(" ", "").removeprefix("byte").removeprefix("*").partition("^")
    if base in ("2", "10") and power.isdigit() and int(power) <= 50:
        return int(int(base) ** int(power))
    return 1


def _item(element: Any) -> dict[str, str]:
    """The parts of an ``Item`` (in OVF 2.0 also ``StorageItem`` and ``EthernetPortItem``) by local name."""
    if not isinstance(element.tag, str) or not _local(element).endswith("Item"):
        return {}
    found: dict[str, str] = {}
    for child in element:
        if isinstance(child.tag, str):
            found.setdefault(_local(child), (child.text or "").strip()[:1000])
    return found


def _left_out(items: Sequence[dict[str, str]]) -> list[str]:
    kinds = {item.get("ResourceType", "") for item in items} - _KNOWN
    names = sorted({_NAMES.get(kind, tell(f"device of type {kind[:20] or 'unknown'}")) for kind in kinds})
    return [f"Left out: {name}." for name in names][:20]


def _vmw(system: Any) -> list[Any]:
    return [item for item in system.iter() if item.tag in (f"{{{_VMW}}}Config", f"{{{_VMW}}}ExtraConfig")]


def _all(root: Any, name: str) -> list[Any]:
    return [item for item in root.iter() if isinstance(item.tag, str) and _local(item) == name]


def _local(element: Any) -> str:
    return str(etree.QName(element).localname)


def _local_attribute(element: Any, name: str) -> str:
    for key, value in element.attrib.items():
        if etree.QName(key).localname == name:
            return str(value)
    return ""


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else default


def _wrong(complaint: str) -> InvalidInput:
    return InvalidInput.field("file", f"the OVF descriptor {complaint}")
