"""What an engine tells of itself, as far as one may see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from compute.actor import Actor
from compute.errors import NodeNotFound
from compute.models import Instance, Node
from compute.selectors.access import project_ids_visible, visible
from compute.selectors.page import time_text
from compute.selectors.resources import resources_visible
from compute.services.nodes import node_require
from dockerapp.pieces import Piece, freed_by
from dockerapp.selectors.nodes import docker_node, docker_of

_ITEMS_MAX = 500
_PARTS = ("containers", "images", "volumes", "build_cache")


def system_node(actor: Actor, wanted: str) -> Node:
    """The node, for any member of any project. Raises ``NodeNotFound``, ``BackendUnavailable``."""
    node = docker_node(actor, wanted)
    if not actor.is_admin and not project_ids_visible(actor):
        raise NodeNotFound("There is no such node.")
    node_require(node)
    return node


def system_info(actor: Actor, node: str) -> dict[str, Any]:
    """Masked: where things lie on the host, its proxies and registries are for administrators."""
    found = system_node(actor, node)
    info = docker_of(found).system.info()
    private = info.pop("private")
    return {**_where(found), **info, "private": private if actor.is_admin else None}


def system_version(actor: Actor, node: str) -> dict[str, Any]:
    found = system_node(actor, node)
    return {**_where(found), **docker_of(found).system.version()}


def system_disk(actor: Actor, node: str) -> dict[str, Any]:
    """Sums of everything; single things only as far as the actor sees them."""
    found = system_node(actor, node)
    pieces = docker_of(found).system.disk()
    is_seen = _seen(actor, found)
    parts = {kind: disk_part([piece for piece in pieces if piece.kind == kind], is_seen) for kind in _PARTS}
    return {
        **_where(found),
        **parts,
        "total_bytes": sum(part["size_bytes"] for part in parts.values()),
        "reclaimable_bytes": sum(part["reclaimable_bytes"] for part in parts.values()),
        "measured_at": time_text(timezone.now()),
    }


def disk_part(pieces: list[Piece], is_seen: Callable[[Piece], bool]) -> dict[str, Any]:
    """One kind: how many, how much, and the largest first."""
    largest = sorted(pieces, key=lambda piece: -(piece.size_bytes or 0))
    shown = [piece for piece in largest if is_seen(piece)]
    return {
        "count": len(pieces),
        "in_use": sum(1 for piece in pieces if not piece.is_free),
        "size_bytes": freed_by(pieces),
        "reclaimable_bytes": freed_by(piece for piece in pieces if piece.is_free),
        "items": [piece_dict(piece) for piece in shown[:_ITEMS_MAX]],
    }


def piece_dict(piece: Piece) -> dict[str, Any]:
    return {
        "id": piece.engine_id,
        "name": piece.name,
        "size_bytes": piece.size_bytes,
        "in_use": not piece.is_free,
        "tags": piece.details.get("tags", []),
        "state": piece.details.get("state", ""),
        "project": piece.details.get("project_id") or None,
    }


def _seen(actor: Actor, node: Node) -> Callable[[Piece], bool]:
    if actor.is_admin:
        return lambda piece: True
    instances = visible(actor, Instance.objects.filter(node=node))
    known = {"containers": set(instances.values_list("engine_id", flat=True))}
    for kind in ("image", "volume", "network"):
        rows = resources_visible(actor, kind).filter(node=node)
        known[f"{kind}s"] = set(rows.values_list("engine_id", flat=True))
    return lambda piece: piece.engine_id in known.get(piece.kind, ())


def _where(node: Node) -> dict[str, Any]:
    return {"node": {"id": str(node.pk), "name": node.name, "status": str(node.status)}}
