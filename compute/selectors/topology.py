"""Who is on which network, over all backends, from the mirror alone: three queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.actor import Actor
from compute.models import Instance, Node, Resource
from compute.selectors.access import visible
from compute.selectors.resources import resources_visible


@dataclass
class NetworkSeen:
    """``known`` is False for what instances name that is no network of the engine: a bridge of the host,
    QEMU's own. ``subnets`` as text."""

    name: str
    id: str = ""
    driver: str = ""
    subnets: tuple[str, ...] = ()
    active: bool = True
    known: bool = True


@dataclass
class MemberSeen:
    """An instance with the networks it is on, and its address there (empty when none is known)."""

    id: str
    name: str
    type: str
    state: str
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass
class HostSeen:
    """One node. ``alone`` are the instances without any network."""

    node: Node
    networks: list[NetworkSeen]
    members: list[MemberSeen]
    alone: list[MemberSeen]


def topology(actor: Actor, *, node: str = "") -> list[HostSeen]:
    """Nodes by name, with what the actor sees of their networks; those without anything are left out."""
    nodes = {row.pk: row for row in Node.objects.order_by("name")}
    networks: dict[uuid.UUID, list[NetworkSeen]] = defaultdict(list)
    for row in resources_visible(actor, "network").order_by("name"):
        networks[row.node_id].append(_network(row))
    members: dict[uuid.UUID, list[MemberSeen]] = defaultdict(list)
    rows = visible(actor, Instance.objects.order_by("name"))
    for item in rows.values("id", "name", "type", "state", "node_id", "networks"):
        members[item["node_id"]].append(_member(item))
    wanted = [row for row in nodes.values() if node in ("", row.name, str(row.pk))]
    hosts = [_host(row, networks[row.pk], members[row.pk]) for row in wanted]
    return [host for host in hosts if host.networks or host.alone]


def _host(node: Node, networks: list[NetworkSeen], members: Iterable[MemberSeen]) -> HostSeen:
    joined = [member for member in members if member.addresses]
    alone = [member for member in members if not member.addresses]
    known = {network.name for network in networks}
    others = sorted({name for member in joined for name in member.addresses} - known)
    return HostSeen(node, [*networks, *(NetworkSeen(name, known=False) for name in others)], joined, alone)


def _network(row: Resource) -> NetworkSeen:
    subnets = tuple(str(pool["subnet"]) for pool in row.data.get("ipam") or [] if pool.get("subnet"))
    return NetworkSeen(
        name=row.name,
        id=str(row.pk),
        driver=str(row.data.get("driver", "")),
        subnets=subnets,
        active=bool(row.data.get("active", True)),
    )


def _member(item: Mapping[str, Any]) -> MemberSeen:
    addresses: dict[str, str] = {}
    for joined in item["networks"]:
        name = str(joined.get("network", ""))
        if name:
            addresses.setdefault(name, str(joined.get("ip_address") or joined.get("ipv6_address") or ""))
    return MemberSeen(str(item["id"]), item["name"], item["type"], item["state"], addresses)
