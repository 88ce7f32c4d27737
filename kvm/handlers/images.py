"""Work on the library of templates and ISOs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from compute.backends.types import UndoStep
from compute.errors import ComputeError, ImageNotFound, PoolNotFound, VolumeNotFound
from compute.execution.handlers import Handler, Work, observe
from compute.models import Resource
from compute.selectors.resources import resource_dict
from kvm.engine.fetch import fetched
from kvm.engine.images import UPLOAD_MAX_BYTES, ImageWanted, staging_of
from kvm.engine.volumes import UNDO_MADE, Place, VolumeWanted
from kvm.handlers.common import kvm
from kvm.handlers.volumes import mark_drop, marked, place_of
from kvm.models import ImageUpload, VolumeMark

_LISTED = ("pool", "volume", "image")
_HIDDEN = ("domains", "standalone", "created_at")
_FORGOTTEN_AFTER = timedelta(hours=24)


def _upload(work: Work) -> dict[str, Any]:
    """The body of a request."""
    return _taken_in(work, work.body, work.operation.params["size"])


def _create(work: Work) -> dict[str, Any]:
    source = work.operation.params["source"]
    if "url" in source:
        work.report.progress(1, "Asking the server")
        with fetched(source["url"], source["allowed"], UPLOAD_MAX_BYTES) as found:
            return _taken_in(work, found.chunks, found.size)
    place, images = place_of(work), kvm(work).images
    if "engine_id" in source:
        origin, known = images.disk_of(source["engine_id"])
    else:
        origin, known = Place(source["pool"], source["name"]), source["known"]
    kept_as = "raw" if known == "iso" else "qcow2"
    images.name_require(place, is_iso=known == "iso")
    with marked(work, place, VolumeMark.IMAGE, kept_as):
        wanted = VolumeWanted(place.pool, place.name, 0, kept_as)
        kvm(work).volumes.copy(origin, wanted, work.report, known=known)
    return _shown(work, place)


def _taken_in(work: Work, chunks: Any, size: int | None) -> dict[str, Any]:
    """From a stream into the library."""
    images, wanted = kvm(work).images, _wanted(work)
    most = size if size is not None else UPLOAD_MAX_BYTES

    def told(got: int) -> None:
        work.report.progress(60 * got / size if size else 30, f"{got // 1024**2} MiB have arrived")

    staging = images.stage(str(work.operation.pk), wanted.place, work.report)
    digest = images.write(staging, wanted, chunks, most, told)
    return {**_finished(work, staging, wanted, digest), "sha256": digest}


def _finished(work: Work, staging: Place, wanted: ImageWanted, digest: str) -> dict[str, Any]:
    with marked(work, wanted.place, VolumeMark.IMAGE, wanted.format or "qcow2"):
        found = kvm(work).images.finish(staging, wanted, digest, work.report)
    VolumeMark.objects.filter(node=work.node, engine_id=wanted.place.engine_id).update(format=found.format)
    return _shown(work, wanted.place)


def _stage(work: Work) -> dict[str, Any]:
    params, wanted = work.operation.params, _wanted(work)
    _forgotten_drop(work)
    kvm(work).images.stage(params["upload"], wanted.place, work.report)
    ImageUpload.objects.create(
        pk=params["upload"],
        node=work.node,
        project_id=params["project"] or None,
        user_uid=params["user"],
        pool=params["pool"],
        name=params["name"],
        format=params["format"],
        sha256=params["sha256"],
        size_bytes=params["size_bytes"],
    )
    return {"upload": {"id": params["upload"], "offset": 0, "size_bytes": params["size_bytes"]}}


def _finish(work: Work) -> dict[str, Any]:
    """What was uploaded in pieces; refused or not, nothing of the upload is left."""
    params, wanted = work.operation.params, _wanted(work)
    staging = staging_of(params["upload"], params["pool"])
    work.report.undo(UndoStep(UNDO_MADE, {"pool": staging.pool, "name": staging.name}))
    try:
        kvm(work).volumes.free_require(wanted.place)
        return _finished(work, staging, wanted, "")
    finally:
        ImageUpload.objects.filter(pk=params["upload"]).delete()


def _unstage(work: Work) -> dict[str, Any]:
    params = work.operation.params
    ImageUpload.objects.filter(pk=params["upload"]).delete()
    kvm(work).images.unstage(staging_of(params["upload"], params["pool"]))
    return {}


def _delete(work: Work) -> dict[str, Any]:
    place = place_of(work)
    work.report.progress(30, f"Removing the image {place.name}")
    try:
        kvm(work).images.delete(place)
    except (VolumeNotFound, PoolNotFound) as error:
        observe(work, *_LISTED)
        raise ImageNotFound(f"There is no image “{place.name}” any more.", image=place.name) from error
    mark_drop(work.node, place)
    observe(work, *_LISTED)
    return {}


def _forgotten_drop(work: Work) -> None:
    """Uploads that nobody went on with."""
    rows = ImageUpload.objects.filter(node=work.node, updated_at__lt=timezone.now() - _FORGOTTEN_AFTER)
    for row in rows:
        try:
            kvm(work).images.unstage(staging_of(str(row.pk), row.pool))
        except ComputeError as error:
            work.report.log(f"The old upload {row.name} could not be removed: {error.message}")
            continue
        row.delete()


def _wanted(work: Work) -> ImageWanted:
    params = work.operation.params
    return ImageWanted(place_of(work), params["format"], params["sha256"])


def _shown(work: Work, place: Place) -> dict[str, Any]:
    observe(work, *_LISTED)
    row = Resource.objects.select_related("node", "project").get(
        node=work.node, kind="image", engine_id=place.engine_id
    )
    shown = {key: value for key, value in resource_dict(row).items() if key not in _HIDDEN}
    return {**shown, "machines": [], "copies": []}


HANDLERS: dict[str, Handler] = {
    "image.upload": _upload,
    "image.create": _create,
    "image.stage": _stage,
    "image.finish": _finish,
    "image.unstage": _unstage,
    "image.delete": _delete,
}
