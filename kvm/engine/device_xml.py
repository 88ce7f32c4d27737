"""Devices of a domain as XML trees.

Source: https://libvirt.org/formatdomain.html#devices
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree
from lxml.builder import E

from kvm.engine.hardware_spec import nic_parts

Element = Any

_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
_LETTERS = [*string.ascii_lowercase, *(a + b for a in string.ascii_lowercase for b in string.ascii_lowercase)]


@dataclass(frozen=True)
class DiskPlan:
    """One disk or CD-ROM drive. ``path`` empty is a drive without a medium; ``block`` a path that is a
    block device; ``target`` what the guest may call it."""

    target: str
    bus: str
    path: str = ""
    format: str = "raw"
    device: str = "disk"
    block: bool = False
    cache: str = ""
    read_only: bool = False
    shareable: bool = False


def target_next(bus: str, taken: Iterable[str]) -> str:
    """The first free name for a disk on this bus: vda, vdb ..."""
    used = set(taken)
    return next(name for letter in _LETTERS if (name := _PREFIX[bus] + letter) not in used)


def disk_element(plan: DiskPlan) -> Element:
    """``<disk>``, a disk or a drive."""
    source = "dev" if plan.block else "file"
    driver = E.driver(name="qemu", type=plan.format)
    if plan.device == "disk":
        driver.set("discard", "unmap")
    if plan.cache:
        driver.set("cache", plan.cache)
    root = E.disk(driver, type="block" if plan.block else "file", device=plan.device)
    if plan.path:
        root.append(E.source(**{source: plan.path}))
    root.append(E.target(dev=plan.target, bus=plan.bus))
    if plan.read_only or plan.device == "cdrom":
        root.append(E.readonly())
    if plan.shareable:
        root.append(E.shareable())
    return root


def nic_element(nic: str | Mapping[str, Any], default_model: str = "virtio") -> Element:
    """``<interface>`` of a NIC as ``nics_check`` gave it."""
    kind, source = nic_parts(nic)
    more = {} if isinstance(nic, str) else nic
    root = E.interface(type=kind)
    if more.get("mac_address"):
        root.append(E.mac(address=str(more["mac_address"])))
    if kind == "direct":
        root.append(E.source(dev=source, mode="bridge"))
    elif kind != "user":
        root.append(E.source(**{kind: source}))
    root.append(E.model(type=str(more.get("model") or default_model)))
    return root


def text_of(element: Element) -> str:
    """The element as XML."""
    return str(etree.tostring(element, encoding="unicode", with_tail=False))
