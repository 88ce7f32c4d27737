"""Emptying an engine of what it holds for nothing, thing by thing, on the worker's side."""

from __future__ import annotations

from typing import Any

from compute.errors import BackendTimeout, BackendUnavailable, ComputeError
from compute.execution.handlers import Handler, Work, observe
from compute.execution.mirror import instances_gone
from compute.models import Operation
from compute.states import ACTIVE_OPERATION_STATES
from dockerapp.pieces import KINDS, Piece, freed_by
from dockerapp.selectors.nodes import docker_of

_NAMES_MAX = 500
_RESOURCES = {"networks": "network", "volumes": "volume", "images": "image"}


def _prune(work: Work) -> dict[str, Any]:
    params, system = work.operation.params, docker_of(work.node).system
    kinds = [kind for kind in KINDS if kind in params["kinds"]]
    done: dict[str, list[Piece]] = {}
    kept: list[dict[str, str]] = []
    freed = 0
    try:
        for number, kind in enumerate(kinds):
            at = 5 + 90 * number / len(kinds)
            work.report.progress(at, f"Looking for {kind.replace('_', ' ')} that nothing needs")
            done[kind] = []
            if kind == "build_cache":
                freed = system.build_cache_remove()
            else:
                _kind_prune(work, kind, at, done[kind], kept)
    finally:
        _observe(work, done)
    result: dict[str, Any] = {
        kind: {
            "removed": [piece.name for piece in pieces[:_NAMES_MAX]],
            "count": len(pieces),
            "reclaimed_bytes": freed if kind == "build_cache" else freed_by(pieces),
        }
        for kind, pieces in done.items()
    }
    total = sum(part["reclaimed_bytes"] for part in result.values())
    return {**result, "kept": kept[:_NAMES_MAX], "reclaimed_bytes": total}


def _kind_prune(work: Work, kind: str, at: float, gone: list[Piece], kept: list[dict[str, str]]) -> None:
    system = docker_of(work.node).system
    pieces = system.idle([kind], every_image=work.operation.params["every_image"])
    for number, piece in enumerate(pieces):
        work.report.progress(at + 15 * number / len(pieces), f"Removing {piece.name[:60]}")
        if kind == "containers" and _is_busy(work, piece):
            kept.append({"kind": kind, "name": piece.name, "reason": "Another operation works on it."})
            continue
        try:
            system.remove(piece)
            gone.append(piece)
        except (BackendUnavailable, BackendTimeout):
            raise
        except ComputeError as error:
            kept.append({"kind": kind, "name": piece.name, "reason": error.message[:300]})


def _is_busy(work: Work, piece: Piece) -> bool:
    """Whether an operation is at work on a container: one that is being made does not run yet, and is
    known by its operation's mark only."""
    active = Operation.objects.filter(node=work.node, state__in=sorted(ACTIVE_OPERATION_STATES))
    maker = piece.details.get("operation_id", "")
    return any(
        str(pk) == maker or engine_id == piece.engine_id
        for pk, engine_id in active.values_list("pk", "instance__engine_id")
    )


def _observe(work: Work, done: dict[str, list[Piece]]) -> None:
    """List again what is gone."""
    instances_gone(work.node, [piece.engine_id for piece in done.get("containers", [])])
    observe(work, *(_RESOURCES[kind] for kind in done.keys() & _RESOURCES.keys()))


HANDLERS: dict[str, Handler] = {"system.prune": _prune}
