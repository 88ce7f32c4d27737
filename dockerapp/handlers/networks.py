"""What is done to networks, on the worker's side."""

from __future__ import annotations

from typing import Any

from compute.backends.types import UndoStep
from compute.errors import NetworkInUse
from compute.execution.handlers import Handler, Work, observe
from compute.models import Resource
from compute.selectors.resources import resource_dict
from dockerapp.engine.claims import UNDO_NETWORK
from dockerapp.engine.networks import Networks, NetworkWanted
from dockerapp.selectors.nodes import docker_of


def _create(work: Work) -> dict[str, Any]:
    params, operation = work.operation.params, work.operation
    wanted = NetworkWanted(**{**params, "ipam": tuple(params["ipam"])})
    work.report.progress(10, f"Making the network {wanted.name}")
    work.report.undo(UndoStep(UNDO_NETWORK, {"name": wanted.name, "operation_id": str(operation.pk)}))
    engine_id = _networks(work).create(
        wanted, project_id=str(operation.project_id), operation_id=str(operation.pk)
    )
    observe(work, "network")
    row = Resource.objects.select_related("node", "project").get(
        node=work.node, kind="network", engine_id=engine_id
    )
    shown = resource_dict(row)
    shown.pop("size_bytes")
    return {**shown, "in_use": False, "containers": []}


def _delete(work: Work) -> dict[str, Any]:
    work.report.progress(30, f"Removing the network {work.operation.target}")
    _networks(work).remove(work.operation.params["engine_id"])
    observe(work, "network")
    return {}


def _prune(work: Work) -> dict[str, Any]:
    """Each by its engine id, which no other network ever gets; what is in use by now stays."""
    things, removed = work.operation.params["things"], []
    try:
        for number, thing in enumerate(things):
            work.report.progress(100 * number / len(things), f"Removing {thing['name']}")
            try:
                _networks(work).remove(thing["engine_id"])
                removed.append(thing["name"])
            except NetworkInUse:
                work.report.log(f"{thing['name']} is in use by now and stays.")
    finally:
        observe(work, "network")
    return {"removed": removed, "reclaimed_bytes": 0}


def _networks(work: Work) -> Networks:
    return docker_of(work.node).networks


HANDLERS: dict[str, Handler] = {
    "network.create": _create,
    "network.delete": _delete,
    "network.prune": _prune,
}
