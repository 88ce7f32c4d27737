"""The worker's side of what is changed on one machine."""

from __future__ import annotations

from typing import Any

from compute.execution.handlers import Handler, Work
from compute.execution.mirror import instance_reread
from kvm.handlers.common import kvm


def _reread(work: Work) -> None:
    """The last step of every change: the truth into the mirror."""
    instance_reread(work.backend, work.node, work.engine_id)


def _disk_change(work: Work) -> dict[str, Any]:
    params = work.operation.params
    kvm(work).machines.disk_change(
        work.engine_id, params["target"], params["size"], params["io_limits"], work.report
    )
    _reread(work)
    return {"name": params["target"]}


def _nic_attach(work: Work) -> dict[str, Any]:
    mac = kvm(work).machines.nic_attach(work.engine_id, work.operation.params["nic"], work.report)
    _reread(work)
    return {"mac_address": mac}


def _nic_detach(work: Work) -> dict[str, Any]:
    mac = work.operation.params["mac_address"]
    kvm(work).machines.nic_detach(work.engine_id, mac, work.report)
    _reread(work)
    return {"mac_address": mac}


def _nic_change(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Limiting the NIC {params['mac_address']}")
    kvm(work).machines.nic_bandwidth(work.engine_id, params["mac_address"], params["bandwidth"])
    _reread(work)
    return {"mac_address": params["mac_address"]}


def _medium_change(work: Work) -> dict[str, Any]:
    params = work.operation.params
    name = kvm(work).machines.medium_change(
        work.engine_id,
        target=params["target"],
        image=params["image"],
        force=params["force"],
        report=work.report,
    )
    _reread(work)
    return {"name": name, "image": params["image"]}


def _drive_remove(work: Work) -> dict[str, Any]:
    target = work.operation.params["target"]
    work.report.progress(30, f"Removing the drive {target}")
    kvm(work).machines.drive_remove(work.engine_id, target)
    _reread(work)
    return {"name": target}


def _define(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, "Checking and defining it")
    diff = kvm(work).machines.xml_write(work.engine_id, params["xml"], params["before"])
    _reread(work)
    return {"diff": diff}


HANDLERS: dict[str, Handler] = {
    "instance.disk_change": _disk_change,
    "instance.nic_attach": _nic_attach,
    "instance.nic_detach": _nic_detach,
    "instance.nic_change": _nic_change,
    "instance.medium_change": _medium_change,
    "instance.drive_remove": _drive_remove,
    "instance.define": _define,
}
