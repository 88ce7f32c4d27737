"""Every read of volumes: from the mirror; sizes from the engine, only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compute.actor import Actor
from compute.errors import BackendTimeout, BackendUnavailable, VolumeNotFound
from compute.models import Node, Resource
from compute.selectors.page import Page
from compute.selectors.resource_users import names_used, users_visible
from compute.selectors.resources import resource_dict, resource_get
from compute.selectors.used import UsedFilter, used_page
from dockerapp.selectors.nodes import BACKEND, docker_of

KIND = "volume"


def volumes_page(actor: Actor, wanted: UsedFilter) -> Page:
    """Volumes with who uses them, as far as the actor sees them, and the size that was last measured."""
    return used_page(actor, BACKEND, KIND, wanted, volume_dicts)


def volume_row(actor: Actor, wanted: str, node: str = "") -> Resource:
    """By name or LibGo's id. Raises ``VolumeNotFound`` for what is not visible; ``InvalidInput`` when
    several nodes have one of that name."""
    return resource_get(actor, BACKEND, KIND, wanted, node=node, absent=VolumeNotFound)


def volume_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    """The public shape of volumes."""
    found = list(rows)
    places = [(row.node_id, row.name) for row in found]
    users, used = users_visible(actor, KIND, places), names_used([row.node_id for row in found], KIND)
    return [
        {
            "anonymous": False,
            **resource_dict(row),
            "in_use": row.name in used.get(row.node_id, set()),
            "containers": users[(row.node_id, row.name)],
        }
        for row in found
    ]


def volume_detail(actor: Actor, row: Resource) -> dict[str, Any]:
    return volume_dicts(actor, [row])[0]


def volume_sizes_measure(nodes: Iterable[Node]) -> dict[str, str]:
    """Let the engines measure their volumes, within the quick deadline of each, and keep what they
    say; the reasons of those that did not, by the name of the node."""
    problems = {}
    for node in nodes:
        try:
            sizes = docker_of(node).volumes.sizes()
        except (BackendUnavailable, BackendTimeout) as error:
            problems[node.name] = error.message
            continue
        for row in Resource.objects.filter(node=node, kind=KIND, name__in=list(sizes)):
            if row.size_bytes != sizes[row.name]:
                Resource.objects.filter(pk=row.pk).update(size_bytes=sizes[row.name])
    return problems


def docker_nodes(node: Node | None) -> list[Node]:
    """The one that is meant, else all that answer."""
    if node is not None:
        return [node]
    return list(Node.objects.filter(backend=BACKEND, is_enabled=True, is_reachable=True))
