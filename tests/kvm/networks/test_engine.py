"""Networks on libvirt's test driver: what needs no host, at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from compute.backends.host_routes import host_subnets
from compute.backends.types import NodeConfig, UndoStep
from compute.errors import InvalidInput, NameConflict, NetworkNotFound, OperationNotSupported
from kvm.backend import KvmBackend
from kvm.engine.networks import UNDO_NETWORK, Networks
from kvm.services.network_checks import network_changed, network_new


@pytest.fixture
def pretend(tmp_path: Any) -> Iterator[KvmBackend]:
    """A libvirt of its own, in this process."""
    path = tmp_path / "node.xml"
    path.write_text("<node><name>t</name></node>")
    made = KvmBackend(NodeConfig("t-net", "t-net", "kvm", f"test://{path}"))
    yield made
    made.close()


def wanted(name: str, subnet: str = "10.77.1.1") -> dict[str, Any]:
    ip = {"address": subnet, "netmask": "24", "dhcp": {"enabled": True}}
    return {**network_new({"name": "x", "ip": ip}), "name": name}


def _made(networks: Networks, body: dict[str, Any]) -> str:
    number = str(uuid.uuid4())
    networks.create(body, number)
    return number


def test_made_listed_changed_and_taken_back(pretend: KvmBackend) -> None:
    networks = pretend.networks
    number = _made(networks, wanted("a <b> & 'c'"))
    (info,) = pretend.resource_list("network")
    assert (info.name, info.engine_id) == ("a <b> & 'c'", number)
    assert info.data["active"] and info.data["of_host"] and info.data["pending_changes"] == {}
    with pytest.raises(NameConflict):
        _made(networks, wanted("a <b> & 'c'", "10.77.2.1"))
    with pytest.raises(InvalidInput, match="overlaps with the network “a <b> & 'c'”"):
        _made(networks, wanted("other", "10.77.1.129"))
    changed = network_changed({"name": info.name, **info.data}, {"ip": {"address": "10.77.3.1"}})
    networks.stop(number, force=False)
    networks.update(number, changed)
    assert networks.list()[0].data["ip"]["address"] == "10.77.3.1"
    networks.start(number)
    with pytest.raises(OperationNotSupported):
        networks.leases(number)
    for _ in range(2):
        # Undoing twice is as good as once.
        pretend.undo(UndoStep(UNDO_NETWORK, {"uuid": number}))
    assert networks.list() == []
    with pytest.raises(NetworkNotFound):
        networks.start(number)


def test_without_an_address_a_free_subnet_is_taken(pretend: KvmBackend) -> None:
    networks = pretend.networks
    first = {**wanted("one"), "ip": None}
    _made(networks, first)
    _made(networks, {**first, "name": "two"})
    _made(networks, {**first, "name": "three", "forward": {"mode": "isolated", "dev": ""}})
    found = {info.name: info.data["ip"] for info in networks.list()}
    assert found["one"]["address"] == "192.168.100.1" and found["two"]["address"] == "192.168.101.1"
    assert found["three"] is None, "an isolated network needs none"


def test_the_hosts_own_subnets_are_known() -> None:
    assert all(subnet.prefixlen > 0 for _, subnet in host_subnets()), "the way out is no subnet"
