"""Every read of networks: from the mirror; one network in detail also from its engine."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any

from compute.actor import Actor
from compute.errors import BackendTimeout, BackendUnavailable, NetworkNotFound
from compute.models import Node, Resource
from compute.selectors.access import visible
from compute.selectors.page import Page
from compute.selectors.resource_users import names_used, users_visible
from compute.selectors.resources import resource_dict, resource_get, resources_visible
from compute.selectors.used import UsedFilter, used_page
from dockerapp.selectors.nodes import BACKEND, docker_of

KIND = "network"
# As much of an engine's id as its own tools show.
_PREFIX = re.compile(r"[0-9a-f]{12,63}")


def networks_page(actor: Actor, wanted: UsedFilter) -> Page:
    """Networks with who is on them, as far as the actor sees them."""
    return used_page(actor, BACKEND, KIND, wanted, network_dicts)


def network_row(actor: Actor, id_or_name: str | uuid.UUID, node: str = "") -> Resource:
    """By LibGo's id, the name, the engine's id or 12 and more characters of its beginning. Raises
    ``NetworkNotFound`` for what is not visible; ``InvalidInput`` when several nodes have one."""
    wanted = str(id_or_name)
    if _PREFIX.fullmatch(wanted):
        rows = resources_visible(actor, KIND).filter(node__backend=BACKEND)
        found = list(rows.filter(engine_id__startswith=wanted)[:2])
        if len(found) == 1 and not rows.filter(name=wanted).exists():
            return found[0]
    return resource_get(actor, BACKEND, KIND, wanted, node=node, absent=NetworkNotFound)


def network_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    """The public shape of networks."""
    found = list(rows)
    places = [(row.node_id, row.name) for row in found]
    users, used = users_visible(actor, KIND, places), names_used([row.node_id for row in found], KIND)
    return [
        {
            **_shape(row),
            "in_use": row.name in used.get(row.node_id, set()),
            "containers": users[(row.node_id, row.name)],
        }
        for row in found
    ]


def network_detail(actor: Actor, row: Resource) -> dict[str, Any]:
    """One network as its engine shows it now, with those of its members that the actor sees; as last
    seen (``live`` false) when the engine does not answer. Raises ``NetworkNotFound``."""
    shown = network_dicts(actor, [row])[0]
    try:
        facet = docker_of(row.node).networks
        members = facet.members(row.engine_id, quick=True)
    except (BackendUnavailable, BackendTimeout):
        return {**shown, "live": False}
    addresses = _addresses_by_id(actor, row.node, members)
    for user in shown["containers"]:
        user.update(addresses.get(user["id"], {}))
    return {**shown, "live": True}


def _addresses_by_id(actor: Actor, node: Node, members: dict[str, Any]) -> dict[str, dict[str, str]]:
    rows = visible(actor, node.instances.filter(engine_id__in=list(members)))
    return {
        str(row.pk): {
            "ip_address": members[row.engine_id].ip_address,
            "ipv6_address": members[row.engine_id].ipv6_address,
            "mac_address": members[row.engine_id].mac_address,
        }
        for row in rows
    }


def _shape(row: Resource) -> dict[str, Any]:
    shown = resource_dict(row)
    shown.pop("size_bytes")
    return {"predefined": False, **shown}
