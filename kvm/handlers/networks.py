"""What is done to libvirt's networks, on the worker's side."""

from __future__ import annotations

from typing import Any

from compute.actor import SYSTEM
from compute.backends.types import UndoStep
from compute.errors import NetworkNotFound
from compute.execution.handlers import Handler, Work, observe
from compute.models import Resource
from kvm.engine.networks import UNDO_NETWORK
from kvm.handlers.common import kvm
from kvm.selectors.networks import KIND, network_dict


def _create(work: Work) -> dict[str, Any]:
    """The network's UUID is the operation's, so that undoing finds no other one."""
    wanted, uuid = work.operation.params, str(work.operation.pk)
    work.report.progress(10, f"Making the network {wanted['name']}")
    work.report.undo(UndoStep(UNDO_NETWORK, {"uuid": uuid}))
    kvm(work).networks.create(wanted, uuid)
    return _shown(work, uuid)


def _update(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Changing the network {work.operation.target}")
    kvm(work).networks.update(params["uuid"], params["wanted"])
    return _shown(work, params["uuid"])


def _start(work: Work) -> dict[str, Any]:
    uuid = work.operation.params["uuid"]
    work.report.progress(30, f"Starting the network {work.operation.target}")
    kvm(work).networks.start(uuid)
    return _shown(work, uuid)


def _stop(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Stopping the network {work.operation.target}")
    cut_off = kvm(work).networks.stop(params["uuid"], force=params["force"])
    if cut_off:
        work.report.log(
            f"Cut off: {', '.join(cut_off)}. Their NICs stay off when the network starts again, until the "
            "machines are stopped and started."
        )
    return {**_shown(work, params["uuid"]), "cut_off": cut_off}


def _delete(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Removing the network {work.operation.target}")
    kvm(work).networks.remove(params["uuid"], force=params["force"])
    observe(work, KIND)
    return {}


def _shown(work: Work, uuid: str) -> dict[str, Any]:
    observe(work, KIND)
    row = Resource.objects.select_related("node", "project").filter(node=work.node, kind=KIND, engine_id=uuid)
    found = row.first()
    if found is None:
        raise NetworkNotFound(f"The network “{work.operation.target}” is not there any more.")
    return network_dict(SYSTEM, found)


HANDLERS: dict[str, Handler] = {
    "network.create": _create,
    "network.update": _update,
    "network.start": _start,
    "network.stop": _stop,
    "network.delete": _delete,
}
