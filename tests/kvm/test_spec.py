"""The configuration of a VM, its seed and its XML."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import pycdlib
import pytest

from compute.backends.types import InstanceSpec, Resources
from compute.errors import BackendError, InvalidInput, PolicyDenied
from compute.states import InstanceType
from kvm.engine.agent import answer_read
from kvm.engine.device_xml import DiskPlan
from kvm.engine.domain_xml import DomainPlan, domain_xml, metadata_read, parse
from kvm.engine.logs import _line
from kvm.engine.seed import seed_iso
from kvm.engine.spec import config_check
from tests.attacks.catalogue import attack

_MIB = 1024**2
INSTANCE = "6f1c7a52-8a50-4a6e-9d0f-0d6c4b0d7c11"


def _xml(**config: Any) -> Any:
    checked = config_check({"image": "demo", **config}, allow_root_equivalent=False)
    labels = {"a": "<b>&\"'"}
    spec = InstanceSpec("web", InstanceType.VM, INSTANCE, "op", "p", checked, Resources(), labels)
    disks = (
        DiskPlan("vda", "virtio", "/pool/disk", "qcow2"),
        DiskPlan("sda", "scsi", "/pool/seed.iso", device="cdrom"),
    )
    plan = DomainPlan(spec, "qemu", 2, 4, 256 * _MIB, 512 * _MIB, disks)
    return parse(domain_xml(plan))


@attack(
    "S60",
    "markup in the labels of a machine",
    refused="read back equal",
)
def test_marks_survive_hostile_text() -> None:
    meta = metadata_read(_xml())
    assert (meta["instance"], meta["operation"]) == (INSTANCE, "op")
    assert meta["labels"] == {"a": "<b>&\"'"}


def test_the_definition_has_a_serial_line_a_seed_and_no_open_port() -> None:
    root = _xml(networks=["default", "user"], firmware="uefi")
    assert root.get("type") == "qemu" and root.find("./os").get("firmware") == "efi"
    assert root.findtext("./memory") == str(512 * _MIB) and root.findtext("./currentMemory") == str(
        256 * _MIB
    )
    assert root.find("./vcpu").get("current") == "2" and root.findtext("./vcpu") == "4"
    assert root.find("./devices/serial[@type='pty']") is not None
    assert root.find("./devices/disk[@device='cdrom']/source").get("file") == "/pool/seed.iso"
    assert root.find("./devices/graphics/listen").get("type") == "none"
    assert [nic.get("type") for nic in root.iterfind("./devices/interface")] == ["network", "user"]


def test_the_seed_is_what_cloud_init_looks_for() -> None:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(seed_iso({"user-data": "#cloud-config\n{}\n", "meta-data": "instance-id: x\n"})))
    assert iso.pvd.volume_identifier.strip().lower() == b"cidata"
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, rr_path="/meta-data")
    assert out.getvalue() == b"instance-id: x\n"


def test_a_path_of_the_host_is_never_an_image() -> None:
    with pytest.raises(PolicyDenied) as refused:
        config_check({"image": "/etc/shadow"}, allow_root_equivalent=True)
    assert refused.value.details["rule"] == "host_path"


@pytest.mark.parametrize(
    "config",
    [
        {"image": "a b"},
        {"disk": {"size": 1}},
        {"disk": {"size": "big"}},
        {"disk": {"format": "vmdk"}},
        {"disk": {"color": "red"}},
        {"disk": 7},
        {"network": "../x"},
        {"networks": ["a"] * 9},
        {"networks": [{"model": "x"}]},
        {"cloud_init": {"hostname": "-x-"}},
        {"cloud_init": {"user_data": 7}},
        {"cloud_init": {"surprise": 1}},
        {"firmware": "coreboot"},
        {"machine": "a'/><x"},
        {"cpu_topology": {"cores": 0}},
        {"graphics": "spice"},
        {"boot": ["floppy"]},
        {"autostart": "yes"},
        {"secure_boot": True},
    ],
)
def test_a_bad_value_names_its_field(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        config_check({"image": "demo", **config}, allow_root_equivalent=True)
    key = next(iter(config))
    assert any(name.startswith(f"config.{key}") for name in refused.value.details["fields"])


@attack("S70", "control characters from a guest", refused="taken out")
def test_what_a_guest_says_is_shown_without_its_controls() -> None:
    assert _line(b"\x1b[2J\x1b[01;32mok\x1b[0m\x07\r").text == "ok"
    assert _line(b"half\rwhole").text == "whole"
    assert _line(b"\xff\xfe").text == "��"


@attack(
    "S70",
    "an agent's answer of 9 MB in empty pieces, of nested lists without end, of more than 16 MB",
    refused="refused before it is taken apart: no more memory than the answer itself",
)
@pytest.mark.parametrize(
    "text",
    ['{"return":[' + "{}," * 3_000_000 + "{}]}", "[" * 9_000_000, '{"return":"' + "x" * 17 * _MIB + '"}'],
    ids=["pieces", "depth", "length"],
)
def test_what_an_agent_answers_has_a_bound(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BackendError, match="more than LibGo takes"):
            answer_read(text)
        assert tracemalloc.get_traced_memory()[1] < _MIB
    finally:
        tracemalloc.stop()
    assert answer_read('{"return":{"out-data":"' + "eA==" * _MIB + '"}}')["out-data"], "one long word is none"
