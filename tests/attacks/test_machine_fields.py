"""Markup and structure in every field that a machine is made of: text in its definition, or refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from compute.backends.types import InstanceSpec, Resources
from compute.errors import ComputeError
from compute.states import InstanceType
from kvm.engine.device_xml import DiskPlan
from kvm.engine.domain_xml import DomainPlan, domain_xml, parse
from kvm.engine.spec import _CHECKS, config_check
from tests.attacks.catalogue import attack

_MIB = 1024**2
# Each field that can be given, with what it may be.
CONFIG: dict[str, Any] = {
    "image": "demo",
    "disk": {"size": 2**30, "format": "qcow2", "pool": "default", "bus": "virtio", "cache": "none"},
    "disks": [{"volume": "data", "bus": "scsi", "read_only": True, "shareable": False}],
    "networks": [{"network": "default", "model": "virtio", "mac_address": "52:54:00:12:34:56"}, "user"],
    "firmware": "uefi",
    "secure_boot": False,
    "tpm": False,
    "machine": "q35",
    "cpu_model": "Skylake-Client",
    "cpu_topology": {"sockets": 1, "cores": 2, "threads": 1},
    "max_vcpus": 4,
    "max_memory": 512 * _MIB,
    "graphics": "vnc",
    "boot": ["hd", "network"],
    "autostart": True,
    "description": "what it is for",
    "os_variant": "debian12",
}
HOSTILE = {
    "markup": "<devices><disk/></devices>",
    "quotes": "a\"'&<b>",
    "the end of a section": "]]>",
    "a comment": "--><b/><!--",
    "an entity": "&xxe;",
    "a newline": "a\nb",
    "NUL": "a\x00b",
    "an escape": "a\x1b[31m",
    "the other way round": "a\u202eb",
    "half a letter": "a\ud800",
    "a path": "../../etc/shadow",
    "an option": "a,readonly=off",
}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _leaves(inner, (*path, key))
    if not isinstance(value, (dict, list)):
        yield path


def _with(path: tuple[Any, ...], text: Any) -> dict[str, Any]:
    changed = copy.deepcopy(CONFIG)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return changed


def _elements(config: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Each element of its definition with the names of its attributes. Raises what the check raises."""
    checked = config_check(config, allow_root_equivalent=False)
    spec = InstanceSpec("web", InstanceType.VM, "i", "op", "p", checked, Resources(), {"a": "b"})
    disks = (DiskPlan("vda", "virtio", "/pool/disk", "qcow2"),)
    root = parse(domain_xml(DomainPlan(spec, "qemu", 2, 4, 256 * _MIB, 512 * _MIB, disks)))
    return [(str(element.tag), sorted(element.keys())) for element in root.iter()]


def test_every_field_is_tried() -> None:
    assert set(_CHECKS) - set(CONFIG) == {"network", "cloud_init"}, "network is networks; the seed is no XML"
    assert _elements(CONFIG)


@attack(
    "S60",
    "markup, quotes, sections, newlines, NUL, escapes, marks and half letters in each field of a machine",
    refused="400 naming the field, or text in the definition: no element and no attribute more",
)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_field_of_a_machine_becomes_structure(text: str) -> None:
    plain, taken = _elements(CONFIG), []
    for path in _leaves(CONFIG):
        try:
            assert _elements(_with(path, text)) == plain, path
            taken.append(path[0])
        except ComputeError as error:
            assert str(path[0]).removesuffix("s") in error.message or error.details, (path, error.message)
    assert set(taken) <= {"description", "disks"}, "the others take words of a list or of letters alone"
