"""From the body of a request to a network as the engine takes it; every complaint names its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from compute.errors import InvalidInput

MODES = ("nat", "route", "isolated", "open", "bridge")
# Words of older clients.
_ALIASES = {"none": "isolated", "routed": "route", "": "nat"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_RESERVED = frozenset({"user", "none", "new", "map", "bridge", "direct"})
# Linux: at most 15 characters (IFNAMSIZ); a dash in front would look like an option.
_INTERFACE = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_HOSTNAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]{1,63})*")
_PREFIX_MIN, _PREFIX_MAX = 8, 30
# dnsmasq as libvirt sets it up takes no more addresses in one range.
_RANGE_MAX = 65535
_HOSTS_MAX = 1024


def network_new(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a create request, typed: ``name, bridge_name, forward {mode, dev}, ip, autostart``.
    Raises ``InvalidInput``."""
    name = str(body["name"])
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise InvalidInput.field(
            "name",
            "must be 1 to 63 letters, digits, dots, dashes or underscores, start with a letter or digit, "
            "and be no word that means another way to connect.",
        )
    empty: dict[str, Any] = {"bridge_name": "", "forward": {}, "ip": None, "autostart": False}
    return {"name": name, **_checked(empty, body, is_new=True)}


def network_changed(current: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What a network is to be like after the given fields are merged into ``current``."""
    if "name" in body and body["name"] != current["name"]:
        raise InvalidInput.field("name", "of a network cannot be changed; make another one.")
    return {"name": current["name"], **_checked(current, body, is_new=False)}


def _checked(current: Mapping[str, Any], body: Mapping[str, Any], *, is_new: bool) -> dict[str, Any]:
    # What others made of another kind keeps it: only what is asked for is checked.
    forward = dict(current["forward"])
    if is_new or body.get("forward"):
        forward = _forward({**forward, **(body.get("forward") or {})})
    mode = forward["mode"]
    # The name of its own bridge does not follow it to a bridge of the host, nor back.
    turned = (mode == "bridge") != (current["forward"].get("mode") == "bridge")
    known = "" if turned else current["bridge_name"]
    bridge = _interface("bridge_name", body.get("bridge_name", known) or "")
    ip = _ip(current["ip"], body["ip"]) if body.get("ip") else None
    if "ip" not in body:
        # Complaints of an earlier definition are not this request's.
        ip = current["ip"]
    if mode == "bridge":
        if not bridge:
            raise InvalidInput.field("bridge_name", "must name the bridge of the host that it joins.")
        if body.get("ip"):
            raise InvalidInput.field("ip", "a bridge of the host has its own addresses; leave it away.")
        ip = None
    elif ip is None and mode in ("nat", "route", "open") and not is_new:
        raise InvalidInput.field("ip", f"is needed for the mode {mode}.")
    autostart = bool(body.get("autostart", current["autostart"]))
    return {"bridge_name": bridge, "forward": forward, "ip": ip, "autostart": autostart}


def _forward(given: Mapping[str, Any]) -> dict[str, str]:
    mode = str(given.get("mode") or "").lower()
    mode = _ALIASES.get(mode, mode)
    if mode not in MODES:
        raise InvalidInput.field("forward.mode", f"must be one of {', '.join(MODES)}.")
    device = _interface("forward.dev", given.get("dev") or "")
    if device and mode not in ("nat", "route"):
        raise InvalidInput.field("forward.dev", "only the modes nat and route lead to an interface.")
    return {"mode": mode, "dev": device}


def _interface(field: str, value: Any) -> str:
    if value and (not _INTERFACE.fullmatch(str(value)) or str(value) in (".", "..")):
        raise InvalidInput.field(
            field, "must be the name of an interface: up to 15 letters, digits, dots, dashes, underscores."
        )
    return str(value)


def _ip(current: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**(current or {}), **given}
    subnet, address = _subnet(str(merged.get("address") or ""), str(merged.get("netmask") or ""))
    before = (current or {}).get("dhcp") or {}
    asked = given.get("dhcp")
    dhcp = {**before, **(asked or {})}
    moved = current is not None and (merged["address"], merged["netmask"]) != (
        current["address"],
        current["netmask"],
    )
    if moved and not {"start", "end"} & set(asked or {}) and not _range_fits(dhcp, subnet, address):
        # A range that was right for the former subnet does not follow by itself.
        dhcp = {key: value for key, value in dhcp.items() if key not in ("start", "end")}
    return {"address": str(address), "netmask": str(subnet.netmask), "dhcp": _dhcp(dhcp, subnet, address)}


def _subnet(address: str, netmask: str) -> tuple[IPv4Network, IPv4Address]:
    host = _address("ip.address", address)
    try:
        subnet = IPv4Network(f"{host}/{netmask or '24'}", strict=False)
    except ValueError as error:
        raise InvalidInput.field("ip.netmask", "must be such as 255.255.255.0 or 24.") from error
    if not _PREFIX_MIN <= subnet.prefixlen <= _PREFIX_MAX:
        raise InvalidInput.field("ip.netmask", f"must be between /{_PREFIX_MIN} and /{_PREFIX_MAX}.")
    if host in (subnet.network_address, subnet.broadcast_address):
        raise InvalidInput.field("ip.address", f"is no host's address in {subnet}.")
    if host.is_loopback or host.is_multicast or host.is_reserved or host.is_unspecified or host.is_link_local:
        raise InvalidInput.field("ip.address", "is of a kind that no network of machines has.")
    return subnet, host


def _dhcp(given: Mapping[str, Any], subnet: IPv4Network, gateway: IPv4Address) -> dict[str, Any]:
    enabled = given.get("enabled")
    if enabled is None:
        enabled = bool(given)
    if not enabled:
        if given.get("hosts") or (given.get("start") and given.get("end") and "enabled" not in given):
            raise InvalidInput.field("ip.dhcp.enabled", "must be true for a range or hosts.")
        return {"enabled": False, "start": "", "end": "", "hosts": []}
    low, high = _range_default(subnet, gateway)
    start = _inside("ip.dhcp.start", str(given.get("start") or low), subnet)
    end = _inside("ip.dhcp.end", str(given.get("end") or high), subnet)
    if start > end:
        raise InvalidInput.field("ip.dhcp.end", "must not be before the start.")
    if start <= gateway <= end:
        raise InvalidInput.field(
            "ip.dhcp.start", f"to the end holds {gateway}, the network's own address; leave it out."
        )
    if int(end) - int(start) >= _RANGE_MAX:
        raise InvalidInput.field("ip.dhcp.end", f"is too far away: at most {_RANGE_MAX} addresses.")
    hosts = _hosts(list(given.get("hosts") or []), subnet, gateway)
    return {"enabled": True, "start": str(start), "end": str(end), "hosts": hosts}


def _range_default(subnet: IPv4Network, gateway: IPv4Address) -> tuple[IPv4Address, IPv4Address]:
    """The larger side of the subnet beside the network's own address."""
    first, last = subnet.network_address + 1, subnet.broadcast_address - 1
    if int(gateway) - int(first) > int(last) - int(gateway):
        return max(first, gateway - _RANGE_MAX), gateway - 1
    low = gateway + 1 if gateway < last else first
    return low, min(last, low + (_RANGE_MAX - 1))


def _hosts(given: list[Mapping[str, Any]], subnet: IPv4Network, gateway: IPv4Address) -> list[dict[str, str]]:
    if len(given) > _HOSTS_MAX:
        raise InvalidInput.field("ip.dhcp.hosts", f"may hold at most {_HOSTS_MAX} hosts.")
    found: list[dict[str, str]] = []
    for number, item in enumerate(given):
        field = f"ip.dhcp.hosts.{number}"
        host = _host(field, item, subnet, gateway)
        for other in found:
            same = next((key for key in ("mac", "ip", "name") if host[key] and host[key] == other[key]), "")
            if same:
                raise InvalidInput.field(f"{field}.{same}", "is another host's too.")
        found.append(host)
    return found


def _host(field: str, item: Mapping[str, Any], subnet: IPv4Network, gateway: IPv4Address) -> dict[str, str]:
    mac, name = str(item.get("mac") or "").lower(), str(item.get("name") or "")
    if not _MAC.fullmatch(mac):
        raise InvalidInput.field(f"{field}.mac", "must be a unicast address such as 52:54:00:12:34:56.")
    if name and (len(name) > 253 or not _HOSTNAME.fullmatch(name)):
        raise InvalidInput.field(f"{field}.name", "must be a host name: letters, digits and dashes.")
    address = _inside(f"{field}.ip", str(item.get("ip") or ""), subnet)
    if address == gateway:
        raise InvalidInput.field(f"{field}.ip", "is the network's own address.")
    return {"mac": mac, "name": name, "ip": str(address)}


def _inside(field: str, text: str, subnet: IPv4Network) -> IPv4Address:
    address = _address(field, text)
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise InvalidInput.field(field, f"must be an address inside {subnet}.")
    return address


def _range_fits(dhcp: Mapping[str, Any], subnet: IPv4Network, gateway: IPv4Address) -> bool:
    try:
        start, end = IPv4Address(str(dhcp.get("start"))), IPv4Address(str(dhcp.get("end")))
    except ValueError:
        return False
    return start in subnet and end in subnet and not start <= gateway <= end


def _address(field: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise InvalidInput.field(field, "must be an IPv4 address such as 10.20.30.1.") from error
