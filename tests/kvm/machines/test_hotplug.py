"""What can be changed on a running guest, and what the hypervisor would do without a word."""

from __future__ import annotations

import libvirt
import pytest

from compute.backends.types import NetworkJoin, Resources, StorageJoin
from compute.errors import InvalidInput, InvalidState, NotFound, OperationNotSupported, VolumeInUse
from kvm.engine.storage import volume_or_none
from tests.kvm.machines.conftest import MIB, Host, until

_CONFIG = libvirt.VIR_DOMAIN_XML_INACTIVE
Running = tuple[Host, str]


def _sizes(running: Running) -> dict[str, int | None]:
    host, engine_id = running
    return {item.name: item.size for item in host.backend.instance_get(engine_id).storage}


def test_a_disk_comes_grows_and_goes_while_the_guest_runs(running: Running) -> None:
    host, engine_id = running
    report = host.report()
    join = StorageJoin(**host.backend.storage_validate({"size": 8 * MIB}))
    target = host.backend.storage_attach(engine_id, join, report)
    assert target == "vdb" and _sizes(running)["vdb"] == 8 * MIB

    host.backend.machines.disk_change(engine_id, "vdb", 16 * MIB, {"total_iops_sec": 500}, report)
    assert _sizes(running)["vdb"] == 16 * MIB
    with pytest.raises(InvalidInput, match="never made smaller"):
        host.backend.machines.disk_change(engine_id, "vdb", 8 * MIB, {}, report)
    assert _sizes(running)["vdb"] == 16 * MIB, "a refused change changes nothing"
    for flags in (0, _CONFIG):
        tune = host.xml(engine_id, flags).find("./devices/disk/iotune/total_iops_sec")
        assert tune.text == "500"

    volume = next(d for d in host.backend.instance_get(engine_id).storage if d.name == "vdb").source
    host.backend.storage_detach(engine_id, "vdb", delete=True, report=report)
    assert "vdb" not in _sizes(running)
    found = host.backend._connection.call(
        lambda conn: volume_or_none(conn.storagePoolLookupByName("default"), volume)
    )
    assert found is None
    with pytest.raises(NotFound):
        host.backend.storage_detach(engine_id, "vdb", delete=True, report=report)


def test_a_nic_comes_and_goes_while_the_guest_runs(running: Running) -> None:
    host, engine_id = running
    for _ in range(2):
        host.backend.network_attach(engine_id, NetworkJoin("default"), None, "")  # type: ignore[arg-type]
    networks = host.backend.instance_get(engine_id).networks
    assert [item.network for item in networks] == ["default"], "attaching twice is attaching once"
    with pytest.raises(InvalidInput, match="DHCP"):
        host.backend.network_attach(engine_id, NetworkJoin("default", "10.0.0.7"), None, "")  # type: ignore[arg-type]

    second = host.backend.machines.nic_attach(
        engine_id, {"network": "default", "model": "e1000e"}, host.report()
    )
    with pytest.raises(InvalidInput, match=second):
        host.backend.network_detach(engine_id, "default", force=False)
    for mac in (second, networks[0].mac_address):
        host.backend.machines.nic_detach(engine_id, mac, host.report())
    assert host.backend.instance_get(engine_id).networks == ()
    host.backend.network_detach(engine_id, "default", force=False)


def test_more_is_given_at_once_and_less_cpu_waits(running: Running) -> None:
    host, engine_id = running
    backend = host.backend
    info = backend.instance_update(engine_id, Resources(2, 256 * MIB), host.report())
    assert (info.cpu_cores, info.memory_bytes) == (2, 256 * MIB)
    assert "cpu_cores" not in (info.pending or {})
    # The guest takes the memory in pieces; once it has it, nothing waits any more.
    until(lambda: backend.instance_get(engine_id).pending == {}, "all of it is in force")
    assert backend.instance_resize(engine_id, Resources(cpu_cores=1)) == {"cpu_cores"}
    info = backend.instance_update(engine_id, Resources(cpu_cores=1), host.report())
    assert (info.pending or {})["cpu_cores"] == 1
    assert host.xml(engine_id).find("./vcpu").get("current") == "2", "the running guest keeps what it has"

    assert backend.instance_resize(engine_id, Resources(memory_bytes=1024 * MIB)) == {"memory_bytes"}
    info = backend.instance_update(engine_id, Resources(memory_bytes=1024 * MIB), host.report())
    assert (info.pending or {})["memory_bytes"] == 1024 * MIB
    backend.instance_update(engine_id, Resources(2, 256 * MIB), host.report())


def test_what_others_change_in_the_definition_is_pending_too(running: Running) -> None:
    host, engine_id = running

    def outside(conn: libvirt.virConnect) -> None:
        conn.lookupByUUIDString(engine_id).setVcpusFlags(3, libvirt.VIR_DOMAIN_AFFECT_CONFIG)

    before = dict(host.backend.instance_get(engine_id).pending or {})
    assert "cpu_cores" not in before
    host.backend._connection.call(outside)
    assert (host.backend.instance_get(engine_id).pending or {})["cpu_cores"] == 3
    host.backend.instance_reconfigure(engine_id, {"boot": ["network", "hd"]}, host.report())
    pending = host.backend.instance_get(engine_id).pending or {}
    assert pending["boot"] == ["network", "hd"]
    host.backend.instance_reconfigure(engine_id, {"boot": ["hd"]}, host.report())
    host.backend.instance_update(engine_id, Resources(cpu_cores=2), host.report())


def test_media_are_changed_while_the_guest_runs(running: Running) -> None:
    host, engine_id = running
    with pytest.raises(InvalidInput, match="no ISO"):
        host.backend.machines.medium_change(
            engine_id, target="", image="libgo-demo", force=False, report=host.report()
        )
    drives = [d for d in host.xml(engine_id).iterfind("./devices/disk[@device='cdrom']")]
    assert [d.find("./source") is not None for d in drives] == [True, False], "the seed, and a free drive"
    free = drives[1].find("./target").get("dev")
    seed = drives[0].find("./source").get("file").rsplit("/", 1)[-1]
    found = host.backend.machines.medium_change(
        engine_id, target="", image="", force=False, report=host.report()
    )
    assert found == free, "the cloud-init seed is not what people mean by the CD-ROM drive"
    assert seed.endswith("-seed.iso")
    with pytest.raises(InvalidState, match="while the machine is off"):
        host.backend.machines.drive_remove(engine_id, free)


def test_a_volume_of_a_machine_is_given_to_no_other(running: Running) -> None:
    host, engine_id = running
    mine = host.backend.instance_get(engine_id).storage[0].source
    other = host.make()
    with pytest.raises(VolumeInUse) as refused:
        host.backend.storage_attach(
            other.engine_id, StorageJoin(**host.backend.storage_validate({"source": mine})), host.report()
        )
    assert refused.value.details["users"]
    template = StorageJoin(**host.backend.storage_validate({"source": "libgo-demo"}))
    with pytest.raises(VolumeInUse, match="destroy"):
        host.backend.storage_attach(other.engine_id, template, host.report())


def test_bandwidth_is_set_or_refused_as_a_whole(running: Running) -> None:
    host, engine_id = running
    mac = host.backend.machines.nic_attach(engine_id, "default", host.report())
    try:
        host.backend.machines.nic_bandwidth(engine_id, mac, {"inbound": {"average": 1000}})
    except OperationNotSupported as error:
        assert error.details["capability"] == "bandwidth"
        assert host.xml(engine_id, _CONFIG).find("./devices/interface/bandwidth") is None
    else:
        found = host.xml(engine_id).find("./devices/interface/bandwidth/inbound")
        assert found.get("average") == "1000"
    host.backend.machines.nic_detach(engine_id, mac, host.report())
