"""Work on storage pools."""

from __future__ import annotations

from typing import Any

from compute.execution.handlers import Handler, Work, observe
from compute.models import Resource
from compute.selectors.resources import resource_dict
from kvm.engine.pools import PoolWanted
from kvm.handlers.common import kvm

_STORAGE = ("pool", "volume", "image")
_HIDDEN = ("of_host", "project", "size_bytes", "created_at")


def _create(work: Work) -> dict[str, Any]:
    params = work.operation.params
    wanted = PoolWanted(params["name"], params["type"], params["path"], params["source"], params["autostart"])
    kvm(work).pools.create(wanted, params["uuid"], work.report)
    return _shown(work)


def _start(work: Work) -> dict[str, Any]:
    name = work.operation.params["name"]
    work.report.progress(30, f"Starting the pool {name}")
    kvm(work).pools.start(name)
    return _shown(work)


def _stop(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Stopping the pool {params['name']}")
    kvm(work).pools.stop(params["name"], force=params["force"])
    return _shown(work)


def _refresh(work: Work) -> dict[str, Any]:
    name = work.operation.params["name"]
    work.report.progress(30, f"Looking through the pool {name}")
    kvm(work).pools.refresh(name)
    return _shown(work)


def _delete(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Letting libvirt forget the pool {params['name']}")
    kvm(work).pools.delete(params["name"], force=params["force"])
    observe(work, *_STORAGE)
    return {}


def _shown(work: Work) -> dict[str, Any]:
    observe(work, *_STORAGE)
    row = Resource.objects.select_related("node", "project").get(
        node=work.node, kind="pool", name=work.operation.params["name"]
    )
    return {key: value for key, value in resource_dict(row).items() if key not in _HIDDEN}


HANDLERS: dict[str, Handler] = {
    "pool.create": _create,
    "pool.start": _start,
    "pool.stop": _stop,
    "pool.refresh": _refresh,
    "pool.delete": _delete,
}
