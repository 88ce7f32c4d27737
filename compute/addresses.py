"""What an IP address is whose name somebody typed in: LibGo must not be sent to what is inside."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Where clouds tell their machines things, and these are not link-local: Azure (which is no inner address by
# its number), Alibaba, Oracle, AWS and Google.
_CLOUDS = frozenset(
    map(
        ipaddress.ip_address,
        ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_is_public(text: str) -> bool:
    """Whether an IP address belongs to the open network, whatever form it hides in."""
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in _forms(text))


def address_is_never(text: str) -> bool:
    """Where not even an administrator's permission leads: what clouds tell their machines, many at once,
    and nowhere."""
    return any(
        each.is_link_local or each.is_multicast or each.is_unspecified or each in _CLOUDS
        for each in _forms(text)
    )


def _forms(text: str) -> list[Address]:
    """The address, and those that hide in it."""
    found: Address = ipaddress.ip_address(text.partition("%")[0])
    forms = [found]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return [found.ipv4_mapped]
        hidden = [found.sixtofour, *(found.teredo or ())]
        if found in _NAT64 or found.packed[:12] == bytes(12):
            hidden.append(ipaddress.IPv4Address(found.packed[12:]))
        forms += [each for each in hidden if each is not None]
    return forms
