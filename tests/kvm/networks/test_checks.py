"""What a request for a network says is checked before anything is asked of libvirt."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from compute.errors import InvalidInput
from kvm.engine.network_xml import network_apply, network_shape, network_xml, text, tree
from kvm.services.network_checks import network_changed, network_new
from tests.attacks.catalogue import attack

IP = {"address": "10.9.8.1", "netmask": "255.255.255.0"}


def _fields(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        network_new({"name": "lan", **body})
    return dict(refused.value.details["fields"])


def test_what_is_left_away_gets_what_most_networks_have() -> None:
    assert network_new({"name": "lan", "ip": {**IP, "dhcp": {"enabled": True}}}) == {
        "name": "lan",
        "bridge_name": "",
        "forward": {"mode": "nat", "dev": ""},
        "ip": {
            "address": "10.9.8.1",
            "netmask": "255.255.255.0",
            "dhcp": {"enabled": True, "start": "10.9.8.2", "end": "10.9.8.254", "hosts": []},
        },
        "autostart": False,
    }
    assert network_new({"name": "lan", "forward": {"mode": "none"}})["forward"]["mode"] == "isolated"
    high = network_new(
        {"name": "lan", "ip": {"address": "10.9.8.254", "netmask": "24", "dhcp": {"enabled": True}}}
    )
    assert high["ip"]["dhcp"]["end"] == "10.9.8.253", "the range keeps clear of the network's own address"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": "<x>"}, "name"),
        ({"name": "-rf"}, "name"),
        ({"name": "user"}, "name"),
        ({"forward": {"mode": "hostdev"}}, "forward.mode"),
        ({"forward": {"mode": "isolated", "dev": "eth0"}}, "forward.dev"),
        ({"forward": {"dev": "eth0;reboot"}}, "forward.dev"),
        ({"bridge_name": "sixteen-letters-"}, "bridge_name"),
        ({"bridge_name": "../x"}, "bridge_name"),
        ({"forward": {"mode": "bridge"}}, "bridge_name"),
        ({"forward": {"mode": "bridge"}, "bridge_name": "br0", "ip": IP}, "ip"),
        ({"ip": {"address": "10.9.8", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "10.9.8.0", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "10.9.8.255", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "127.0.0.1", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "224.0.0.1", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "10.9.8.1", "netmask": "255.0.255.0"}}, "ip.netmask"),
        ({"ip": {"address": "10.9.8.1", "netmask": "31"}}, "ip.netmask"),
        ({"ip": {**IP, "dhcp": {"start": "10.9.9.2", "end": "10.9.9.9"}}}, "ip.dhcp.start"),
        ({"ip": {**IP, "dhcp": {"start": "10.9.8.20", "end": "10.9.8.10"}}}, "ip.dhcp.end"),
        ({"ip": {**IP, "dhcp": {"start": "10.9.8.1", "end": "10.9.8.10"}}}, "ip.dhcp.start"),
        ({"ip": {**IP, "dhcp": {"enabled": False, "hosts": [{"mac": "x", "ip": "x"}]}}}, "ip.dhcp.enabled"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    assert list(_fields(body)) == [field]


@pytest.mark.parametrize(
    ("host", "field"),
    [
        ({"mac": "52:54:00:00:00", "ip": "10.9.8.9"}, "mac"),
        ({"mac": "01:00:5e:00:00:01", "ip": "10.9.8.9"}, "mac"),
        ({"mac": "52:54:00:00:00:02", "ip": "10.9.9.9"}, "ip"),
        ({"mac": "52:54:00:00:00:02", "ip": "10.9.8.1"}, "ip"),
        ({"mac": "52:54:00:00:00:02", "ip": "10.9.8.9", "name": "a b"}, "name"),
        ({"mac": "52:54:00:00:00:01", "ip": "10.9.8.9"}, "mac"),
        ({"mac": "52:54:00:00:00:02", "ip": "10.9.8.8"}, "ip"),
    ],
)
def test_each_static_host_is_one_that_can_be(host: dict[str, str], field: str) -> None:
    first = {"mac": "52:54:00:00:00:01", "ip": "10.9.8.8", "name": "one"}
    assert list(_fields({"ip": {**IP, "dhcp": {"hosts": [first, host]}}})) == [f"ip.dhcp.hosts.1.{field}"]


def test_a_change_merges_and_a_range_does_not_outlive_its_subnet() -> None:
    now = network_new({"name": "lan", "ip": {**IP, "dhcp": {"start": "10.9.8.10", "end": "10.9.8.20"}}})
    host = {"mac": "52:54:00:00:00:01", "ip": "10.9.8.8", "name": ""}
    changed = network_changed(now, {"ip": {"dhcp": {"hosts": [host]}}})
    assert changed["ip"]["dhcp"] == {**now["ip"]["dhcp"], "hosts": [host]}
    assert network_changed(changed, {"autostart": True})["ip"] == changed["ip"]
    moved = network_changed(now, {"ip": {"address": "10.7.7.1"}})
    assert moved["ip"]["dhcp"]["start"] == "10.7.7.2"
    with pytest.raises(InvalidInput, match="cannot be changed"):
        network_changed(now, {"name": "other"})
    with pytest.raises(InvalidInput, match="is needed"):
        network_changed(now, {"ip": None})
    isolated = network_changed(now, {"ip": None, "forward": {"mode": "isolated"}})
    assert isolated["ip"] is None
    with pytest.raises(InvalidInput, match="must name the bridge"):
        network_changed({**now, "bridge_name": "virbr7"}, {"forward": {"mode": "bridge"}})


def test_what_others_wrote_into_a_network_survives_our_edits() -> None:
    theirs = tree(
        """<network xmlns:x='urn:x' connections='1'><name>lan</name><metadata><x:y>mine</x:y></metadata>
        <forward mode='nat'><nat ipv6='yes'><port start='1024' end='2000'/></nat></forward>
        <bridge name='virbr9' stp='off' delay='3' macTableManager='libvirt'/><mtu size='9000'/>
        <dns><host ip='10.9.8.7'><hostname>db</hostname></host></dns><domain name='lan.test' localOnly='yes'/>
        <ip address='10.9.8.1' prefix='24'><dhcp><range start='10.9.8.10' end='10.9.8.20'>
        <lease expiry='24' unit='hours'/></range><bootp file='pxe.0'/></dhcp></ip>
        <ip family='ipv6' address='fd00::1' prefix='64'/></network>"""
    )
    shape = network_shape(theirs)
    assert shape["ip"]["netmask"] == "255.255.255.0"
    host = {"mac": "52:54:00:00:00:01", "ip": "10.9.8.8", "name": ""}
    wanted = network_changed(
        {"name": "lan", "autostart": False, **shape}, {"ip": {"dhcp": {"hosts": [host]}}}
    )
    network_apply(theirs, wanted)
    after = text(theirs)
    for kept in ("mine", 'ipv6="yes"', "1024", 'stp="off"', "9000", "lan.test", "expiry", "pxe.0", "fd00::1"):
        assert kept in after, kept
    assert network_shape(tree(after)) == {**shape, "ip": wanted["ip"]}


@attack("S60", "markup in names of networks", refused="text in the definition")
def test_names_go_into_the_definition_as_text() -> None:
    wanted = {**network_new({"name": "lan", "ip": IP}), "name": "a'<b>&\""}
    xml = network_xml(wanted, "6c1ed0a4-6a5d-4d2f-9a3e-6d5c5b6f0001")
    assert etree.fromstring(xml).findtext("name") == "a'<b>&\""


def test_kinds_that_only_other_tools_make_are_left_alone() -> None:
    forward = "<forward mode='private' dev='eth0'><interface dev='eth0'/></forward>"
    xml = f"<network><name>lan</name>{forward}</network>"
    theirs = tree(xml)
    wanted = network_changed(
        {"name": "lan", "autostart": False, **network_shape(theirs)}, {"autostart": True}
    )
    network_apply(theirs, wanted)
    assert text(theirs) == text(tree(xml)) and wanted["autostart"] is True
