"""What the definition that a snapshot keeps has, and the domain of now has no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import libvirt
from lxml import etree

from compute.backends.types import BroughtBack
from kvm.engine.domain_xml import Element
from kvm.engine.pending import nic_source
from kvm.engine.storage import volume_at

# A device by what it is and where it leads to.
_Seen = tuple[str, str]
# Only the edit of a definition gives a machine these.
_OF_HOST = ("hostdev", "filesystem", "shmem", "redirdev", "smartcard")
_LINES = ("serial", "parallel", "console", "channel")
_LEADS_OUT = frozenset({"dev", "file", "pipe", "tcp", "udp"})
_FILES = ("kernel", "initrd", "dtb", "loader")
_QEMU = "./{http://libvirt.org/schemas/domain/qemu/1.0}*"


def brought_back(conn: libvirt.virConnect, was: Element, now: Sequence[Element]) -> tuple[BroughtBack, ...]:
    """``now``: the definition, and what runs; a device of either is there."""
    nics = [
        BroughtBack("network" if kind == "network" else "host", source)
        for kind, source in _missing(_nics, was, now)
        if kind != "user"
    ]
    disks = [_disk(conn, kind, source) for kind, source in _missing(_disks, was, now)]
    others = [BroughtBack("host", kind) for kind, _ in _missing(_others, was, now)]
    return (*nics, *disks, *others)


def _missing(
    listed: Callable[[Element], Iterator[_Seen]], was: Element, now: Sequence[Element]
) -> list[_Seen]:
    there = {seen for root in now for seen in listed(root)}
    return [seen for seen in dict.fromkeys(listed(was)) if seen not in there]


def _nics(root: Element) -> Iterator[_Seen]:
    for nic in root.iterfind("./devices/interface"):
        yield str(nic.get("type", "")), nic_source(nic)


def _disks(root: Element) -> Iterator[_Seen]:
    """A disk that was only read, and one that is written now, are two."""
    for disk in root.iterfind("./devices/disk"):
        source = disk.find("./source")
        if source is None or not source.attrib:
            continue
        is_medium = disk.get("device") == "cdrom" or disk.find("./readonly") is not None
        kind = "medium" if is_medium else "volume"
        if disk.get("type") == "file":
            yield kind, str(source.get("file", ""))
        elif disk.get("type") == "volume":
            yield kind, f"{source.get('pool')}/{source.get('volume')}"
        else:
            yield "host", _text(source)


def _disk(conn: libvirt.virConnect, kind: str, where: str) -> BroughtBack:
    if kind == "host" or not where.startswith("/"):
        return BroughtBack(kind, "disk" if kind == "host" else where)
    volume = volume_at(conn, where)
    if volume is None:
        return BroughtBack("host", "disk")
    return BroughtBack(kind, f"{volume.storagePoolLookupByVolume().name()}/{volume.name()}")


def _others(root: Element) -> Iterator[_Seen]:
    for tag in _OF_HOST:
        for device in root.iterfind(f"./devices/{tag}"):
            yield tag, f"{device.get('type')} {_text(device.find('./source'))}"
    for tag in _LINES:
        for device in root.iterfind(f"./devices/{tag}"):
            if device.get("type") in _LEADS_OUT:
                yield tag, f"{device.get('type')} {_text(device.find('./source'))}"
    for tag in _FILES:
        for found in root.iterfind(f"./os/{tag}"):
            yield tag, found.text or ""
    for found in root.iterfind(_QEMU):
        yield "qemu", _text(found)


def _text(element: Element | None) -> str:
    return "" if element is None else str(etree.tostring(element, encoding="unicode")).strip()
