"""Asked-for changes of the library: uploads, copies of volumes and machines, addresses, removal.

Images of an operator are their project's; administrators who name no project make the host's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.errors import ImageInUse, InvalidInput, InvalidState, NotFound
from compute.models import Instance, Operation
from compute.selectors.access import action_allowed, action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_config
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.limits import limits_lock
from compute.services.resource_work import Where, Work, change_require, work_submit
from compute.states import InstanceState
from compute.tell import tell
from kvm.models import ImageUpload
from kvm.selectors.nodes import kvm_of
from kvm.selectors.storage import image_row, instances_using, pool_row, users_may_be_gone, volume_row
from kvm.services.common import where
from kvm.services.pools import pool_open_require
from kvm.services.volumes import content_require, ref_of, sha256_check, volume_name_check, volume_name_free

UPLOAD_MAX_BYTES = 1024**4
FORMATS = ("qcow2", "raw", "iso", "vmdk", "vdi")
_SOURCES = ("volume", "instance", "url")
_UPLOADS_MAX = 20


@dataclass(frozen=True)
class Place:
    """Where and for whom: node and project as the caller named them, and the key of the request."""

    node: str = ""
    project: str | None = None
    idempotency: Idempotency | None = None


def image_upload(actor: Actor, place: Place, body: Mapping[str, Any], *, size: int | None) -> Operation:
    """Ask for the body of this request to become an image; this process carries it out."""
    at, params = _new(actor, place, body)
    if size is not None and size > UPLOAD_MAX_BYTES:
        raise InvalidInput(f"Images of at most {UPLOAD_MAX_BYTES} bytes are taken.")
    params["size"] = size
    work = Work("image.upload", f"{params['pool']}/{params['name']}", params, may_cancel=True, here=True)
    return _submit(actor, at, work, None)


def image_create(actor: Actor, place: Place, body: Mapping[str, Any]) -> Operation:
    """Ask for an image from one of: ``volume`` (``pool/name``), ``instance`` (a machine that is off: its
    first disk, flattened), ``url`` (administrators, where the site allows it)."""
    sources = [key for key in _SOURCES if body.get(key)]
    if len(sources) != 1:
        raise InvalidInput.field(
            "volume", f"is needed, or one of {', '.join(_SOURCES[1:])}; exactly one of them."
        )
    at, params = _new(actor, place, body)
    params["source"] = _source(actor, at, sources[0], str(body[sources[0]]))
    target = f"{params['pool']}/{params['name']}"
    audit(actor, "image.create", target, details={"from": sources[0]})
    work = Work("image.create", target, params, may_cancel=True)
    return _submit(actor, at, work, place.idempotency)


def image_delete(actor: Actor, wanted: str, *, node: str = "") -> Operation:
    """Ask for removal. Raises ``ImageInUse`` naming the machines that stand on it, as far as the actor
    sees them; the worker asks the engine again, and alone where the mirror may be behind."""
    row = image_row(actor, wanted, node)
    at = change_require(actor, row, "disk_image.delete")
    if row.data.get("in_use") and not users_may_be_gone(row):
        users = [user for user in instances_using(row) if _sees(actor, user)]
        names = ", ".join(user.name for user in users[:10]) or tell("volumes or machines that you do not see")
        raise ImageInUse(
            f"{row.name} is what {names} stand on: without it their disks are broken. Delete them first.",
            machines=[{"id": str(user.pk), "name": user.name} for user in users],
        )
    return work_submit(actor, at, Work("image.delete", row.engine_id, ref_of(row)))


def upload_start(actor: Actor, place: Place, body: Mapping[str, Any]) -> Operation:
    """Ask for an upload that comes in pieces and can be taken up again; its ``id`` is in the result."""
    at, params = _new(actor, place, body)
    size = body.get("size_bytes")
    if not isinstance(size, int) or not 0 < size <= UPLOAD_MAX_BYTES:
        raise InvalidInput.field("size_bytes", f"must be from 1 to {UPLOAD_MAX_BYTES}.")
    if ImageUpload.objects.filter(user_uid=actor.user_id).count() >= _UPLOADS_MAX:
        raise InvalidState(f"{_UPLOADS_MAX} of your uploads are not over. Finish or cancel some first.")
    params |= {"size_bytes": size, "upload": str(uuid.uuid4()), "user": str(actor.user_id)}
    work = Work("image.stage", f"{params['pool']}/{params['name']}", params)
    return _submit(actor, at, work, place.idempotency)


def upload_get(actor: Actor, upload_id: str) -> ImageUpload:
    """One's own, or for administrators anyone's. Raises ``NotFound``."""
    rows = ImageUpload.objects.select_related("node", "project")
    if not actor.is_admin:
        rows = rows.filter(user_uid=actor.user_id)
    found = rows.filter(pk__in=_uuids(upload_id)).first()
    if found is None:
        raise NotFound("There is no such upload: it is over, or was cancelled.", upload=upload_id[:64])
    if not actor.is_admin and found.project_id:
        action_require(actor, "disk_image.create", found.project_id)
    return found


def uploads_of(actor: Actor) -> list[dict[str, Any]]:
    rows = ImageUpload.objects.select_related("node", "project").filter(user_uid=actor.user_id)
    return [upload_dict(row) for row in rows.order_by("-updated_at")]


def upload_dict(row: ImageUpload) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "node": row.node.name,
        "project": row.project.name if row.project else None,
        "pool": row.pool,
        "name": row.name,
        "format": row.format,
        "size_bytes": row.size_bytes,
        "offset": row.received_bytes,
    }


def upload_claim(actor: Actor, upload_id: str, offset: int) -> tuple[ImageUpload, uuid.UUID]:
    """The upload, for one who will write behind ``offset``: nobody else may then. Raises
    ``InvalidState`` with the right ``offset`` when it is another one."""
    row, writer = upload_get(actor, upload_id), uuid.uuid4()
    if row.received_bytes != offset:
        raise InvalidState(
            f"{row.received_bytes} bytes have arrived; go on from there, not from {offset}.",
            offset=row.received_bytes,
        )
    ImageUpload.objects.filter(pk=row.pk).update(writer=writer)
    return row, writer


def upload_piece(row: ImageUpload, writer: uuid.UUID, offset: int, piece: bytes) -> int:
    """Write one piece; returns what has arrived then. Raises ``InvalidState`` when somebody else took
    the upload over, ``InvalidInput`` beyond its size."""
    if offset + len(piece) > row.size_bytes:
        raise InvalidInput(f"That is more than the {row.size_bytes} bytes that were announced.")
    if not ImageUpload.objects.filter(pk=row.pk, writer=writer, received_bytes=offset).exists():
        raise InvalidState("This upload goes on elsewhere, or is over. Ask where it stands.")
    kvm_of(row.node).images.append_piece(str(row.pk), row.pool, row.name, row.format, offset, piece)
    got = offset + len(piece)
    rows = ImageUpload.objects.filter(pk=row.pk, writer=writer, received_bytes=offset)
    # ``update`` leaves ``auto_now`` alone, and when it was last heard of is what its life depends on.
    for fresh in rows:
        fresh.received_bytes = got
        fresh.save(update_fields=["received_bytes", "updated_at"])
    return got


def upload_finish(actor: Actor, row: ImageUpload) -> Operation:
    """Ask for what has arrived to be checked and put into the library."""
    params = {
        "upload": str(row.pk),
        "pool": row.pool,
        "name": row.name,
        "format": row.format,
        "sha256": row.sha256,
        "project": str(row.project_id or ""),
    }
    whose = str(row.project_id) if row.project_id else None
    at = where(actor, "disk_image.create", node=str(row.node_id), project=whose)
    return work_submit(actor, at, Work("image.finish", f"{row.pool}/{row.name}", params, may_cancel=True))


def upload_cancel(actor: Actor, upload_id: str) -> Operation:
    """Ask for what has arrived to be thrown away."""
    row = upload_get(actor, upload_id)
    whose = str(row.project_id) if row.project_id else None
    at = where(actor, "disk_image.create", node=str(row.node_id), project=whose)
    params = {"upload": str(row.pk), "pool": row.pool}
    return work_submit(actor, at, Work("image.unstage", f"{row.pool}/{row.name}", params))


def _new(actor: Actor, place: Place, body: Mapping[str, Any]) -> tuple[Where, dict[str, Any]]:
    """What every way to a new image needs: ``pool, name, format, sha256, project``."""
    at = where(actor, "disk_image.create", node=place.node, project=place.project)
    wanted = str(body.get("format") or "")
    if wanted and wanted not in FORMATS:
        raise InvalidInput.field("format", f"must be one of {', '.join(FORMATS)}.")
    default = str(node_config(at.node).options.get("pool_name", "default"))
    pool = pool_row(actor, str(body.get("pool") or default), str(at.node.pk))
    pool_open_require(pool)
    is_hosts = actor.is_admin and place.project is None
    return at, {
        "pool": pool.name,
        "name": volume_name_check("name", body.get("name")),
        "format": wanted,
        "sha256": sha256_check("sha256", str(body.get("sha256") or "")),
        "project": "" if is_hosts else str(at.project.pk),
    }


def _source(actor: Actor, at: Where, kind: str, wanted: str) -> dict[str, Any]:
    if kind == "url":
        action_require(actor, "image.download")
        allowed = list(settings.LIBGO["libvirt"]["image_sources"])
        kvm_of(at.node).images.url_require(wanted, allowed)
        return {"url": wanted, "allowed": allowed}
    if kind == "instance":
        row = instance_get(actor, wanted)
        action_require(actor, "instance.export", row.project_id)
        if row.node_id != at.node.pk:
            raise InvalidInput.field("instance", f"is on {row.node.name}; make the template there.")
        if row.state not in (InstanceState.STOPPED.value, InstanceState.CREATED.value):
            raise InvalidState(f"{row.name} is {row.state}. Stop it first: a template is made of its disk.")
        return {"engine_id": row.engine_id}
    pool, _, name = wanted.rpartition("/")
    source = volume_row(actor, pool or str(at.node.pk), name, str(at.node.pk))
    content_require(actor, source)
    return ref_of(source)


def _submit(actor: Actor, at: Where, work: Work, idempotency: Idempotency | None) -> Operation:
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        volume_name_free(at.node, str(work.params["pool"]), str(work.params["name"]))
        return work_submit(actor, at, work, idempotency=idempotency)


def _sees(actor: Actor, instance: Instance) -> bool:
    return action_allowed(actor, "instance.read", instance.project_id)


def _uuids(text: str) -> list[uuid.UUID]:
    try:
        return [uuid.UUID(text)]
    except ValueError:
        return []
