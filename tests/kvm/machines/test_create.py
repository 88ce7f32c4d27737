"""Every way to make a machine, and what is refused before anything is made."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from compute.backends.types import InstanceInfo, Resources, StorageJoin
from compute.errors import InvalidInput, NotFound, PolicyDenied, PoolNotFound, VolumeInUse
from kvm.engine.domain_xml import volume_xml
from kvm.engine.machine import machine_check, machine_facts
from kvm.engine.storage import volume_delete
from tests.attacks.catalogue import attack
from tests.kvm.machines.conftest import MIB, Host

MAC = "52:54:00:aa:bb:01"
_EVIL = '<a href="x">&amp;\']]> ../;$(id)'


def _storage(info: InstanceInfo) -> dict[str, tuple[str, int | None]]:
    return {item.name: (item.format, item.size) for item in info.storage}


def test_a_machine_of_everything(host: Host) -> None:
    """Several disks and NICs, topology and headroom, UEFI with secure boot and a TPM where the host can."""
    facts = machine_facts(host.backend._connection)
    config: dict[str, Any] = {
        "disk": {"format": "qcow2", "bus": "scsi", "cache": "none", "clone": "full"},
        "disks": [{"size": 8 * MIB, "format": "raw", "bus": "sata"}, {"size": 9 * MIB}],
        "networks": [
            "default",
            {"network": "default", "model": "e1000e", "mac_address": "52:54:00:aa:bb:01"},
        ],
        "cpu_model": "qemu64",
        "cpu_topology": {"sockets": 1, "cores": 2, "threads": 1},
        "max_memory": 512 * MIB,
        "graphics": "none",
        "boot": ["network", "hd"],
        "autostart": True,
        "description": _EVIL,
        "os_variant": "debian12",
        "firmware": "uefi" if "uefi" in facts["firmware"] else "bios",
        "secure_boot": facts["secure_boot"],
        "tpm": facts["tpm"],
    }
    info = host.make(**config)
    assert _storage(info)["sdc"] == ("qcow2", 40 * MIB)
    assert _storage(info)["sdd"] == ("raw", 8 * MIB) and _storage(info)["vda"] == ("qcow2", 9 * MIB)
    assert [(n.network, n.mac_address) for n in info.networks][1] == ("default", MAC)
    shown = info.config
    for key in ("boot", "autostart", "os_variant", "firmware", "cpu_model", "cpu_topology", "max_memory"):
        assert shown[key] == config[key], key
    assert shown["description"] == _EVIL, "metacharacters come back as they went in"
    assert bool(shown.get("tpm")) == facts["tpm"] and shown["max_vcpus"] == 2 and info.cpu_cores == 1
    root = host.xml(info.engine_id, libvirt.VIR_DOMAIN_XML_INACTIVE)
    if facts["secure_boot"]:
        assert root.find("./os/firmware/feature[@name='secure-boot']").get("enabled") == "yes"
    assert root.find("./devices/channel/target").get("name") == "org.qemu.guest_agent.0"
    host.backend.instance_start(info.engine_id, host.report())
    assert str(host.backend.instance_get(info.engine_id).state) == "running"
    # Off, undefined with its NVRAM, and nothing of its storage left.
    names = {item.source for item in info.storage}
    host.backend.instance_delete(info.engine_id, keep_storage=False, report=host.report())
    left = host.backend._connection.call(lambda conn: conn.storagePoolLookupByName("default").listVolumes())
    assert not names & set(left)


def test_an_empty_disk_and_a_disk_that_is_there(host: Host) -> None:
    first = host.make(image="", disk={"size": 16 * MIB, "format": "raw"})
    assert _storage(first)["vda"] == ("raw", 16 * MIB)
    source = next(item.source for item in first.storage if item.name == "vda")
    with pytest.raises(VolumeInUse):
        host.make(image="", disk={"volume": source})
    host.backend.storage_detach(first.engine_id, "vda", delete=False, report=host.report())
    second = host.make(image="", disk={"volume": source})
    assert [item.source for item in second.storage if item.name == "vda"] == [source]


def test_a_machine_whose_disk_others_stand_on_is_not_deleted(host: Host) -> None:
    info = host.make()
    source = next(item.source for item in info.storage if item.name == "vda")
    copy = f"libgo-t-{source[-16:]}"

    def linked(conn: libvirt.virConnect) -> None:
        pool = conn.storagePoolLookupByName("default")
        path = pool.storageVolLookupByName(source).path()
        pool.createXML(volume_xml(copy, 40 * MIB, "qcow2", (path, "qcow2")), 0)

    host.backend._connection.call(linked)
    try:
        with pytest.raises(VolumeInUse, match=copy):
            host.backend.instance_delete(info.engine_id, keep_storage=False, report=host.report())
        assert host.backend.instance_get(info.engine_id).name == info.name
    finally:
        host.backend._connection.call(
            lambda conn: volume_delete(conn.storagePoolLookupByName("default"), copy)
        )


def test_windows_gets_hardware_it_knows(host: Host) -> None:
    info = host.make(os_variant="windows11", networks=["default"])
    root = host.xml(info.engine_id, libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert root.find("./clock").get("offset") == "localtime"
    assert root.find("./devices/interface/model").get("type") == "e1000e"
    assert {item.find("./target").get("bus") for item in root.iterfind("./devices/disk")} == {"sata"}
    assert root.find("./features/hyperv/relaxed") is not None


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"disk": {"pool": "libgo-t-none"}}, PoolNotFound, "there are"),
        ({"networks": ["libgo-t-none"]}, InvalidInput, "there is no network"),
        ({"disk": {"size": 2 * MIB}}, InvalidInput, "at least the size of the image"),
        ({"image": "", "disk": {"volume": "libgo-t-none"}}, NotFound, "no volume"),
        ({"cpu_topology": {"cores": 2}, "max_vcpus": 3}, InvalidInput, "has 2 CPUs"),
        ({"max_memory": 64 * MIB}, InvalidInput, "at least what it starts with"),
        ({"cpu_model": "NoSuchCpu"}, InvalidInput, "cpu_model"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    host: Host, config: dict[str, Any], error: type[Exception], says: str
) -> None:
    conn = host.backend._connection
    before = set(conn.call(lambda c: c.storagePoolLookupByName("default").listVolumes()))
    with pytest.raises(error, match=says):
        host.make(**config)
    ours = [step.ref for report in host.reports for step in report.steps]
    host.clean()
    after = set(conn.call(lambda c: c.storagePoolLookupByName("default").listVolumes()))
    assert not {ref["name"] for ref in ours if "name" in ref} & (after - before)


@attack("S45", "a machine on a bridge of the host, as an operator", refused="403")
def test_the_host_s_own_networks_are_for_administrators(host: Host) -> None:
    for nic in ({"bridge": "br0"}, {"type": "direct", "source": "eth0"}):
        with pytest.raises(PolicyDenied) as refused:
            host.backend.config_validate(
                {"image": "libgo-demo", "networks": [nic]}, allow_root_equivalent=False
            )
        assert refused.value.details["rule"] == "host_network"
        host.backend.config_validate({"image": "libgo-demo", "networks": [nic]}, allow_root_equivalent=True)


def test_a_host_without_firmware_or_tpm_says_what_to_install() -> None:
    poor = {"firmware": ["bios"], "secure_boot": False, "tpm": False, "max_vcpus": 1, "cpu_models": []}
    for config, word in (
        ({"firmware": "uefi"}, "ovmf"),
        ({"firmware": "bios", "tpm": True}, "swtpm"),
    ):
        with pytest.raises(Exception, match=word):
            machine_check(config, poor)


@pytest.mark.parametrize("text", ["../x", "a/b", "x\x00", "", "." * 3, "-" * 300, "/etc/passwd"])
def test_a_volume_is_a_name_in_a_pool_and_nothing_else(host: Host, text: str) -> None:
    if not text:
        with pytest.raises(InvalidInput):
            host.backend.storage_validate({"source": text})
        return
    try:
        join = StorageJoin(**host.backend.storage_validate({"source": text}))
    except InvalidInput as refused:
        assert "source" in refused.details["fields"]
        return
    with pytest.raises(NotFound):
        host.backend.storage_attach(host.make().engine_id, join, host.report())


def test_memory_that_can_grow_later(host: Host) -> None:
    info = host.make(max_memory=512 * MIB, resources=Resources(cpu_cores=1, memory_bytes=128 * MIB))
    assert (info.memory_bytes, info.config["max_memory"]) == (128 * MIB, 512 * MIB)
