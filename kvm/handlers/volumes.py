"""Work on volumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from compute.errors import ComputeError, InvalidInput, PoolNotFound, VolumeNotFound
from compute.execution.handlers import Handler, Work, observe
from compute.models import Node, Resource
from compute.selectors.resources import resource_dict
from kvm.engine.volumes import Place, VolumeWanted
from kvm.handlers.common import kvm
from kvm.models import VolumeMark

_LISTED = ("pool", "volume", "image")
_HIDDEN = ("domains", "standalone", "created_at")


def _create(work: Work) -> dict[str, Any]:
    params = work.operation.params
    backing = params["backing"]
    wanted = VolumeWanted(
        params["pool"],
        params["name"],
        params["capacity_bytes"],
        params["format"],
        Place(backing["pool"], backing["name"]) if backing else None,
        backing["format"] if backing else "",
    )
    work.report.progress(30, f"Making the volume {params['name']}")
    with marked(work, wanted.place, VolumeMark.VOLUME, params["format"]):
        kvm(work).volumes.create(wanted, work.report)
    return volume_shown(work, wanted.place)


def _clone(work: Work) -> dict[str, Any]:
    params = work.operation.params
    source = params["source"]
    wanted = VolumeWanted(params["pool"], params["name"], params["capacity_bytes"], params["format"])
    with marked(work, wanted.place, VolumeMark.VOLUME, params["format"]):
        kvm(work).volumes.copy(
            Place(source["pool"], source["name"]), wanted, work.report, known=source["known"]
        )
    return volume_shown(work, wanted.place)


def _delete(work: Work) -> dict[str, Any]:
    place = place_of(work)
    work.report.progress(30, f"Removing the volume {place.name}")
    with contextlib.suppress(VolumeNotFound, PoolNotFound):
        kvm(work).volumes.delete(place)
    mark_drop(work.node, place)
    observe(work, *_LISTED)
    return {}


def _resize(work: Work) -> dict[str, Any]:
    params, place = work.operation.params, place_of(work)
    work.report.progress(30, f"Growing the volume {place.name}")
    kvm(work).volumes.resize(place, params["capacity_bytes"], known=params["known"])
    return volume_shown(work, place)


def _wipe(work: Work) -> dict[str, Any]:
    place = place_of(work)
    work.report.progress(10, f"Overwriting the volume {place.name}")
    kvm(work).volumes.wipe(place, known=work.operation.params["known"])
    return volume_shown(work, place)


def _upload(work: Work) -> dict[str, Any]:
    params, place = work.operation.params, place_of(work)
    digest = kvm(work).volumes.upload(place, work.body, params["size"], work.report, known=params["known"])
    if params["sha256"] and params["sha256"] != digest:
        raise InvalidInput.field(
            "sha256", "is not that of what arrived: it was damaged on its way. Send it again."
        )
    return {**volume_shown(work, place), "sha256": digest}


def place_of(work: Work) -> Place:
    return Place(work.operation.params["pool"], work.operation.params["name"])


@contextlib.contextmanager
def marked(work: Work, place: Place, kind: str, volume_format: str) -> Iterator[None]:
    """Whose it is stands before it is made, so no list ever shows it to others; the mark goes when it
    was not made."""
    VolumeMark.objects.update_or_create(
        node=work.node,
        engine_id=place.engine_id,
        defaults={
            "project_id": work.operation.params["project"] or None,
            "kind": kind,
            "format": volume_format,
        },
    )
    try:
        yield
    except ComputeError:
        mark_drop(work.node, place)
        raise


def mark_drop(node: Node, place: Place) -> None:
    VolumeMark.objects.filter(node=node, engine_id=place.engine_id).delete()


def volume_shown(work: Work, place: Place) -> dict[str, Any]:
    """As the API shows it, for the operation's result: without machines, which may be others' to see."""
    observe(work, *_LISTED)
    row = Resource.objects.select_related("node", "project").get(
        node=work.node, kind="volume", engine_id=place.engine_id
    )
    shown = {key: value for key, value in resource_dict(row).items() if key not in _HIDDEN}
    return {**shown, "machines": [], "copies": []}


HANDLERS: dict[str, Handler] = {
    "volume.create": _create,
    "volume.clone": _clone,
    "volume.delete": _delete,
    "volume.resize": _resize,
    "volume.wipe": _wipe,
    "volume.upload": _upload,
}
