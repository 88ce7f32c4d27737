"""Every read of libvirt's networks: from the mirror; leases also from the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compute.actor import Actor
from compute.errors import NetworkNotFound
from compute.models import Resource
from compute.selectors.page import Page, time_text
from compute.selectors.resource_users import names_used, users_visible
from compute.selectors.resources import resource_dict, resource_get
from compute.selectors.used import UsedFilter, used_page
from compute.services.nodes import node_require
from kvm.selectors.nodes import BACKEND, kvm_of

KIND = "network"
# Words that all backends share, for reads over all of them.
_NOT_SHOWN = ("of_host", "driver", "ipam", "size_bytes", "created_at", "project", "engine_id")


def networks_page(actor: Actor, wanted: UsedFilter) -> Page:
    """Networks with the machines on them, as far as the actor sees them."""
    return used_page(actor, BACKEND, KIND, wanted, network_dicts)


def network_row(actor: Actor, id_or_name: str, node: str = "") -> Resource:
    """By LibGo's id, the name or libvirt's UUID. Raises ``NetworkNotFound``; ``InvalidInput`` when
    several nodes have one of that name."""
    return resource_get(actor, BACKEND, KIND, id_or_name, node=node, absent=NetworkNotFound)


def network_dict(actor: Actor, row: Resource) -> dict[str, Any]:
    """The public shape of one network."""
    return network_dicts(actor, [row])[0]


def network_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    """The public shape of networks."""
    found = list(rows)
    places = [(row.node_id, row.name) for row in found]
    users, used = users_visible(actor, KIND, places), names_used([row.node_id for row in found], KIND)
    return [
        {
            **_shape(row),
            "in_use": row.name in used.get(row.node_id, set()),
            "machines": users[(row.node_id, row.name)],
        }
        for row in found
    ]


def network_leases(actor: Actor, row: Resource) -> list[dict[str, Any]]:
    """Addresses that its DHCP gave out, asked of libvirt now, each with the machine that has it. Who is no
    administrator sees those of their own machines. Raises ``OperationNotSupported``,
    ``BackendUnavailable``."""
    node_require(row.node)
    place = (row.node_id, row.name)
    machines = {user["mac_address"]: user for user in users_visible(actor, KIND, [place])[place]}
    found = []
    for lease in kvm_of(row.node).networks.leases(row.engine_id):
        user = machines.get(lease["mac_address"])
        if user is None and not actor.is_admin:
            continue
        whose = {key: user[key] for key in ("id", "name", "state")} if user else None
        found.append({**lease, "expires_at": time_text(lease["expires_at"]), "machine": whose})
    return sorted(found, key=lambda lease: [int(part) for part in _numbers(lease["ip_address"])])


def _numbers(address: str) -> list[str]:
    return [part for part in address.split(".") if part.isdigit()]


def _shape(row: Resource) -> dict[str, Any]:
    shown = {key: value for key, value in resource_dict(row).items() if key not in _NOT_SHOWN}
    return {"uuid": row.engine_id, **shown}
