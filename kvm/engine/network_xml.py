"""Network XML, built and edited as trees. What LibGo does not know survives an edit.

Source: https://libvirt.org/formatnetwork.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from lxml import etree
from lxml.builder import E

from kvm.engine.domain_xml import Element, parse

ISOLATED = "isolated"
MODES = frozenset({"nat", "route", ISOLATED, "open", "bridge"})
# Elements of a network in the order in which libvirt's schema likes them.
_AFTER_FORWARD = ("forward", "bridge", "mac", "domain", "dns", "ip")


def network_xml(wanted: Mapping[str, Any], uuid: str) -> str:
    """A new network. ``wanted``: ``{name, bridge_name, forward {mode, dev}, ip, autostart}``, checked."""
    root = E.network(E.name(wanted["name"]), E.uuid(uuid))
    network_apply(root, wanted)
    return text(root)


def network_apply(root: Element, wanted: Mapping[str, Any]) -> None:
    """Make a definition say what is wanted; everything else in it stays. Of kinds that LibGo does not
    make (of other tools: private, passthrough, hostdev …) nothing is touched."""
    if wanted["forward"]["mode"] not in MODES:
        return
    _forward(root, wanted["forward"])
    _bridge(root, wanted["forward"]["mode"], wanted["bridge_name"])
    _ip(root, wanted["ip"])


def network_shape(root: Element) -> dict[str, Any]:
    """``bridge_name, forward, ip`` of a definition; ``ip`` is its first IPv4 address, None without."""
    forward, bridge, ip = root.find("./forward"), root.find("./bridge"), _ip_element(root)
    mode = str(forward.get("mode", "nat")) if forward is not None else ISOLATED
    return {
        "bridge_name": str(bridge.get("name", "")) if bridge is not None else "",
        "forward": {"mode": mode, "dev": _device(forward)},
        "ip": None if ip is None else _ip_shape(ip),
    }


def subnet_of(ip: Mapping[str, Any] | None) -> IPv4Network | None:
    """The subnet of a network's ``ip``; None without one."""
    if not ip:
        return None
    try:
        return IPv4Interface(f"{ip['address']}/{ip['netmask']}").network
    except ValueError:
        # Somebody else's definition, in words that libvirt reads and we do not.
        return None


def host_xml(host: Mapping[str, str]) -> str:
    """One DHCP host, as ``net.update`` takes it."""
    return text(_host(host))


def range_xml(dhcp: Mapping[str, Any]) -> str:
    return text(E.range(start=dhcp["start"], end=dhcp["end"]))


def text(root: Element) -> str:
    return str(etree.tostring(root, encoding="unicode"))


def tree(xml: str) -> Element:
    return parse(xml)


def _device(forward: Element | None) -> str:
    if forward is None:
        return ""
    inner = forward.find("./interface")
    return str(forward.get("dev") or (inner.get("dev") if inner is not None else "") or "")


def _ip_element(root: Element) -> Element | None:
    for item in root.iterfind("./ip"):
        if item.get("family", "ipv4") == "ipv4":
            return item
    return None


def _ip_shape(ip: Element) -> dict[str, Any]:
    given, prefix = str(ip.get("netmask") or ""), str(ip.get("prefix") or "")
    dhcp, ranges = ip.find("./dhcp"), ip.find("./dhcp/range")
    hosts = [] if dhcp is None else [_host_shape(item) for item in dhcp.iterfind("./host")]
    return {
        "address": str(ip.get("address", "")),
        "netmask": given or (str(IPv4Network(f"0.0.0.0/{prefix}").netmask) if prefix.isdigit() else ""),
        "dhcp": {
            "enabled": dhcp is not None,
            "start": str(ranges.get("start", "")) if ranges is not None else "",
            "end": str(ranges.get("end", "")) if ranges is not None else "",
            "hosts": hosts,
        },
    }


def _host_shape(host: Element) -> dict[str, str]:
    return {key: str(host.get(key) or "") for key in ("mac", "name", "ip")}


def _forward(root: Element, wanted: Mapping[str, str]) -> None:
    element = root.find("./forward")
    mode, device = wanted["mode"], wanted["dev"]
    if mode == ISOLATED:
        if element is not None:
            root.remove(element)
        return
    if element is None:
        element = _placed(root, E.forward())
    if element.get("mode", "nat") != mode:
        # Address ranges and ports of NAT, and lists of host interfaces, belong to the mode they were for.
        for child in list(element):
            element.remove(child)
    element.set("mode", mode)
    if device == _device(element):
        return
    element.attrib.pop("dev", None)
    for child in element.findall("./interface"):
        element.remove(child)
    if device:
        element.set("dev", device)


def _bridge(root: Element, mode: str, name: str) -> None:
    element = root.find("./bridge")
    if element is None:
        element = _placed(root, E.bridge())
    if name:
        element.set("name", name)
    else:
        # libvirt finds one.
        element.attrib.pop("name", None)
    if mode == "bridge":
        # A bridge of the host keeps its own settings.
        for key in ("stp", "delay"):
            element.attrib.pop(key, None)
        mac = root.find("./mac")
        if mac is not None:
            root.remove(mac)
    else:
        element.set("stp", element.get("stp", "on"))
        element.set("delay", element.get("delay", "0"))


def _ip(root: Element, wanted: Mapping[str, Any] | None) -> None:
    element = _ip_element(root)
    if wanted is None:
        if element is not None:
            root.remove(element)
        return
    if element is None:
        element = _placed(root, E.ip())
    element.set("address", wanted["address"])
    element.set("netmask", wanted["netmask"])
    element.attrib.pop("prefix", None)
    dhcp, wanted_dhcp = element.find("./dhcp"), wanted["dhcp"]
    if not wanted_dhcp["enabled"]:
        if dhcp is not None:
            element.remove(dhcp)
        return
    if dhcp is None:
        dhcp = etree.SubElement(element, "dhcp")
    _range(dhcp, wanted_dhcp)
    _hosts(dhcp, wanted_dhcp["hosts"])


def _range(dhcp: Element, wanted: Mapping[str, Any]) -> None:
    element = dhcp.find("./range")
    if element is None:
        element = E.range()
        dhcp.insert(0, element)
    element.set("start", wanted["start"])
    element.set("end", wanted["end"])


def _hosts(dhcp: Element, wanted: list[Mapping[str, str]]) -> None:
    """Hosts that stay keep what else stands in them (lease times)."""
    kept = {tuple(sorted(host.items())) for host in wanted}
    known = set()
    for element in dhcp.findall("./host"):
        shape = tuple(sorted(_host_shape(element).items()))
        if shape in kept:
            known.add(shape)
        else:
            dhcp.remove(element)
    for host in wanted:
        if tuple(sorted(host.items())) not in known:
            dhcp.append(_host(host))


def _host(host: Mapping[str, str]) -> Element:
    return E.host(**{key: value for key, value in host.items() if value})


def _placed(root: Element, element: Element) -> Element:
    """Insert where libvirt's own order has it."""
    order = list(_AFTER_FORWARD)
    later = set(order[order.index(element.tag) + 1 :])
    for number, child in enumerate(root):
        if child.tag in later:
            root.insert(number, element)
            return element
    root.append(element)
    return element
