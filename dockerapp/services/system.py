"""Give back what an engine's disk holds for nothing; administrators only, with a look before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Operation
from compute.selectors.access import action_require
from compute.services.resource_work import Work, work_submit
from dockerapp.pieces import KINDS, freed_by
from dockerapp.selectors.nodes import docker_of
from dockerapp.selectors.system import piece_dict
from dockerapp.services.common import where

_ITEMS_MAX = 500


def system_prune(actor: Actor, node: str, given: Mapping[str, Any]) -> Operation:
    """Ask for it. ``given`` says for each of ``KINDS`` whether to; ``unused_images`` takes images with a
    name too. Raises ``InvalidInput`` when nothing is named: nobody empties an engine by leaving words out."""
    action_require(actor, "system.prune")
    kinds = _kinds(given)
    if not kinds:
        raise InvalidInput.field(KINDS[0], f"say what may go: set one of {', '.join(KINDS)} to true.")
    at = where(actor, "system.prune", node=node)
    params = {"kinds": kinds, "every_image": bool(given.get("unused_images"))}
    return work_submit(actor, at, Work("system.prune", at.node.name, params, may_cancel=True))


def system_prune_preview(actor: Actor, node: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What would go, and how much that frees; without a wish all kinds. Changes nothing."""
    action_require(actor, "system.prune")
    at = where(actor, "system.prune", node=node)
    kinds = _kinds(given) or list(KINDS)
    pieces = docker_of(at.node).system.idle(kinds, every_image=bool(given.get("unused_images")))
    parts = {}
    for kind in kinds:
        own = [piece for piece in pieces if piece.kind == kind]
        items = [piece_dict(piece) for piece in sorted(own, key=lambda piece: -(piece.size_bytes or 0))]
        parts[kind] = {"count": len(own), "reclaimable_bytes": freed_by(own), "items": items[:_ITEMS_MAX]}
    return {"dry_run": True, **parts, "reclaimable_bytes": freed_by(pieces)}


def _kinds(given: Mapping[str, Any]) -> list[str]:
    kinds = [kind for kind in KINDS if given.get(kind)]
    return [*kinds, "images"] if given.get("unused_images") and "images" not in kinds else kinds
