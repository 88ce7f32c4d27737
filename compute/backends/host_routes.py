"""Where our own machine sends what: subnets that a new network would take away from it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

_IPV4, _IPV6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
Network = IPv4Network | IPv6Network


def host_subnets(by_gateway_from: int = 24) -> list[tuple[str, IPv4Network]]:
    """Interface and subnet of what it reaches without a gateway, and of what a gateway has for itself alone:
    a wide route by one (a VPN's), of a shorter prefix than that, leaves room for smaller subnets in it.

    Source: ``Documentation/networking`` of Linux, ``/proc/net/route``: addresses as hexadecimal of the
    machine's byte order.
    """
    found = []
    for words in _rows(_IPV4)[1:]:
        if len(words) < 8:
            continue
        address, gateway, mask = (int.from_bytes(bytes.fromhex(words[n]), "little") for n in (1, 2, 7))
        length = bin(mask).count("1")
        if mask and (not gateway or length >= by_gateway_from):
            found.append((words[0], IPv4Network((address, length))))
    return found


def host_subnets_6() -> list[tuple[str, IPv6Network]]:
    """The same of IPv6, without what belongs to every link."""
    found = []
    for words in _rows(_IPV6):
        if len(words) < 10 or words[9] == "lo" or words[1] == "00":
            continue
        subnet = IPv6Network((int(words[0], 16), int(words[1], 16)))
        if not subnet.is_link_local and not subnet.is_multicast:
            found.append((words[9], subnet))
    return found


def _rows(path: Path) -> list[list[str]]:
    """None where there is no such file: another system, or no IPv6."""
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []
