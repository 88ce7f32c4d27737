"""Who uses the networks and volumes of an engine: told by the instances, never by asking the engine."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q

from compute.actor import Actor
from compute.models import Instance, Node
from compute.selectors.access import visible

USED_KINDS = ("network", "volume")
_COLUMNS = ("id", "name", "state", "node_id", "project_id", "networks", "storage")

# (node, name) of what is used.
Place = tuple[uuid.UUID, str]


def projects_using(node: Node) -> dict[tuple[str, str], set[uuid.UUID]]:
    """``{(kind, name): {project}}`` of one node."""
    found: dict[tuple[str, str], set[uuid.UUID]] = defaultdict(set)
    for row in Instance.objects.filter(node=node).values(*_COLUMNS):
        for kind in USED_KINDS:
            for item in _uses(row, kind):
                found[(kind, item["of"])].add(row["project_id"])
    return found


def used_by(row: Instance) -> frozenset[tuple[str, str]]:
    """``{(kind, name)}`` of what one instance uses, whichever addresses it has there."""
    columns = {"networks": row.networks, "storage": row.storage}
    return frozenset((kind, item["of"]) for kind in USED_KINDS for item in _uses(columns, kind))


def names_used(node_ids: Iterable[uuid.UUID], kind: str) -> dict[uuid.UUID, set[str]]:
    """Which names are in use, by node, whoever uses them."""
    found: dict[uuid.UUID, set[str]] = defaultdict(set)
    for row in Instance.objects.filter(node_id__in=set(node_ids)).values(*_COLUMNS):
        found[row["node_id"]].update(item["of"] for item in _uses(row, kind))
    return found


def used_condition(node_ids: Iterable[uuid.UUID], kind: str) -> Q:
    """Rows of :class:`Resource` that some instance uses."""
    wanted = Q(pk=None)
    for node_id, names in names_used(node_ids, kind).items():
        wanted |= Q(node_id=node_id, name__in=names)
    return wanted


def users_visible(actor: Actor, kind: str, places: Iterable[Place]) -> dict[Place, list[dict[str, Any]]]:
    """The instances on these networks (with their addresses) or volumes (with where they are
    mounted) that the actor may see, by name; one query."""
    wanted = set(places)
    found: dict[Place, list[dict[str, Any]]] = {place: [] for place in wanted}
    rows = visible(actor, Instance.objects.filter(node_id__in={node_id for node_id, _ in wanted}))
    for row in rows.order_by("name").values(*_COLUMNS):
        for item in _uses(row, kind):
            place = (row["node_id"], item.pop("of"))
            if place in wanted:
                user = {"id": str(row["id"]), "name": row["name"], "state": row["state"]}
                found[place].append({**user, **item})
    return found


def _uses(row: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """What one instance uses of a kind; ``of`` is its name."""
    if kind == "network":
        return [
            {
                "of": str(item.get("network", "")),
                "ip_address": item.get("ip_address", ""),
                "ipv6_address": item.get("ipv6_address", ""),
                "mac_address": item.get("mac_address", ""),
            }
            for item in row["networks"]
        ]
    return [
        {"of": str(item.get("source", "")), "target": item.get("target", "")}
        for item in row["storage"]
        if item.get("format") == "volume"
    ]
