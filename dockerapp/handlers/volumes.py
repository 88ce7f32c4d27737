"""What is done to volumes, on the worker's side."""

from __future__ import annotations

from typing import Any

from compute.backends.types import UndoStep
from compute.errors import VolumeInUse
from compute.execution.handlers import Handler, Work, observe
from compute.models import Resource
from compute.sealing import unseal
from compute.selectors.resources import resource_dict
from dockerapp.engine.claims import UNDO_VOLUME
from dockerapp.engine.volumes import Volumes, VolumeWanted, volume_absent
from dockerapp.selectors.nodes import docker_of


def _create(work: Work) -> dict[str, Any]:
    params, operation = work.operation.params, work.operation
    wanted = VolumeWanted(**{**params, "options": unseal(params["options"])})
    work.report.progress(10, f"Making the volume {wanted.name}")
    work.report.undo(UndoStep(UNDO_VOLUME, {"name": wanted.name, "operation_id": str(operation.pk)}))
    _volumes(work).create(wanted, project_id=str(operation.project_id), operation_id=str(operation.pk))
    observe(work, "volume")
    row = Resource.objects.select_related("node", "project").get(
        node=work.node, kind="volume", name=wanted.name
    )
    return {**resource_dict(row), "in_use": False, "containers": []}


def _delete(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Removing the volume {params['name']}")
    if not _is_same(work, params):
        observe(work, "volume")
        raise volume_absent(params["name"])
    _volumes(work).remove(params["name"], force=params["force"])
    observe(work, "volume")
    return {}


def _prune(work: Work) -> dict[str, Any]:
    """What is in use by now stays, and what was made anew for somebody else."""
    things, removed, freed = work.operation.params["things"], [], 0
    try:
        for number, thing in enumerate(things):
            work.report.progress(100 * number / len(things), f"Removing {thing['name'][:40]}")
            if not _is_same(work, thing):
                continue
            try:
                _volumes(work).remove(thing["name"])
                removed.append(thing["name"])
                freed += thing["size_bytes"] or 0
            except VolumeInUse:
                work.report.log(f"{thing['name']} is in use by now and stays.")
    finally:
        observe(work, "volume")
    return {"removed": removed, "reclaimed_bytes": freed}


def _is_same(work: Work, thing: dict[str, Any]) -> bool:
    """Whether the name still means what it meant when this was asked for: names may change hands."""
    mark = _volumes(work).mark(thing["name"])
    return mark is not None and mark[0] == thing["mark"]


def _volumes(work: Work) -> Volumes:
    return docker_of(work.node).volumes


HANDLERS: dict[str, Handler] = {
    "volume.create": _create,
    "volume.delete": _delete,
    "volume.prune": _prune,
}
