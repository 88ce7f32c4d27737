"""Which subnets operators may give to networks: the host would send there what is meant for others."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from compute.backends.host_routes import host_subnets, host_subnets_6
from compute.models import Node
from compute.tell import tell

RULE_SUBNET = "network_subnet"
_PRIVATE = (
    ip_network("10.0.0.0/8"),
    ip_network("172.16.0.0/12"),
    ip_network("192.168.0.0/16"),
    ip_network("fc00::/7"),
)
_PREFIX_MIN = {4: 16, 6: 48}
# The engine's own bridges: it refuses by itself what overlaps with them, and a stack keeps what it has.
_ENGINES = re.compile(r"docker0|br-[0-9a-f]{12}")
Network = IPv4Network | IPv6Network


def subnet_problem(node: Node, subnet: Network) -> str:
    """Why an operator may not have it, as a sentence; "" where nothing is against it."""
    private = any(subnet.version == block.version and subnet.subnet_of(block) for block in _PRIVATE)  # type: ignore[arg-type]
    if not private or subnet.prefixlen < _PREFIX_MIN[subnet.version]:
        return tell(
            f"Only administrators may take the subnet {subnet}: the host would send there what is meant for "
            "others. Take a private one of /16 (IPv6: /48) or smaller."
        )
    if node.is_local and _is_held(subnet):
        return tell(
            f"Only administrators may take the subnet {subnet}: the host itself reaches others there. Take "
            "another one, or none: then the engine chooses."
        )
    return ""


def _is_held(subnet: Network) -> bool:
    """Whether our own machine reaches a part of it, other than by the engine."""
    held: list[tuple[str, Network]] = [*host_subnets(by_gateway_from=1), *host_subnets_6()]
    return any(
        other.version == subnet.version and other.overlaps(subnet) and not _ENGINES.fullmatch(name)
        for name, other in held
    )
