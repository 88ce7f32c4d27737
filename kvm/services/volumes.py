"""Asked-for changes of volumes: what is asked for is checked, whose they are, what is under them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.errors import InvalidInput, InvalidState, NameConflict, VolumeInUse
from compute.models import Instance, Node, Operation, Resource
from compute.selectors.access import action_allowed, action_require
from compute.selectors.resources import resources_visible
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.limits import RESERVES, limits_lock, volume_check
from compute.services.nodes import node_require
from compute.services.resource_work import Where, Work, change_require, count_check, work_submit
from compute.states import ACTIVE_OPERATION_STATES
from compute.tell import tell
from kvm.selectors.marks import own_instance_id
from kvm.selectors.nodes import kvm_of
from kvm.selectors.storage import VOLUME, instances_using, pool_row, users_may_be_gone, volume_row
from kvm.services.common import where
from kvm.services.pools import pool_open_require

CAPACITY_MIN, CAPACITY_MAX = 1024**2, 16 * 1024**4
FORMATS = ("qcow2", "raw")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
# Names that have a meaning of their own.
_OURS = ("libgo-vm-", "libgo-upload-")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def volume_create(
    actor: Actor,
    pool: str,
    body: Mapping[str, Any],
    *,
    node: str = "",
    project: str | None = None,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Ask for a new volume of a project, empty or a thin copy of ``backing_store`` (a volume of the same
    pool, or ``pool/name``). Raises ``InvalidInput``, ``NameConflict``, ``ResourceLimitExceeded``."""
    row = pool_row(actor, pool, node)
    at = where(actor, "volume.create", node=str(row.node_id), project=project)
    pool_open_require(row)
    name, backing = volume_name_check("name", body.get("name")), None
    wanted_format = str(body.get("format") or "qcow2")
    least = CAPACITY_MIN
    if body.get("backing_store"):
        base = _backing(actor, row, str(body["backing_store"]))
        backing = {"pool": base.data["pool"], "name": base.name, "format": base.data["format"]}
        least = max(CAPACITY_MIN, int(base.data["capacity"]))
        if wanted_format != "qcow2":
            raise InvalidInput.field("format", "must be qcow2 for a thin copy.")
    capacity = capacity_check(
        "capacity_bytes", body.get("capacity_bytes") or (least if backing else None), least
    )
    params = {
        "pool": row.name,
        "name": name,
        "capacity_bytes": capacity,
        "format": format_check(wanted_format),
        "backing": backing,
        "project": str(at.project.pk),
    }
    return new_submit(actor, at, Work("volume.create", f"{row.name}/{name}", params), idempotency)


def volume_clone(
    actor: Actor,
    pool: str,
    name: str,
    body: Mapping[str, Any],
    *,
    node: str = "",
    project: str | None = None,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Ask for a full copy that stands on its own, in the same pool or another. Its content becomes the
    project's, so the right to take content out of the source is needed."""
    source = volume_row(actor, pool, name, node)
    content_require(actor, source)
    target = pool_row(actor, str(body.get("pool") or source.data["pool"]), str(source.node_id))
    whose = project if project is not None else str(source.project_id or "") or None
    at = where(actor, "volume.clone", node=str(source.node_id), project=whose)
    pool_open_require(target)
    params = {
        "source": ref_of(source),
        "pool": target.name,
        "name": volume_name_check("name", body.get("name")),
        "capacity_bytes": int(source.data["capacity"]),
        "format": format_check(str(body.get("format") or "qcow2")),
        "project": str(at.project.pk),
    }
    audit(actor, "volume.clone", source.engine_id, details={"to": params["name"]})
    work = Work("volume.clone", f"{target.name}/{params['name']}", params, may_cancel=True)
    return new_submit(actor, at, work, idempotency)


def volume_delete(actor: Actor, pool: str, name: str, *, node: str = "") -> Operation:
    """Ask for removal, with the content. Raises ``VolumeInUse``, ``PermissionDenied``."""
    row = volume_row(actor, pool, name, node)
    at = change_require(actor, row, "volume.delete")
    unused_require(actor, row)
    return work_submit(actor, at, Work("volume.delete", row.engine_id, ref_of(row)))


def volume_resize(actor: Actor, pool: str, name: str, capacity_bytes: int, *, node: str = "") -> Operation:
    """Ask for more room; less is refused, because what is behind the new end would be lost."""
    row = volume_row(actor, pool, name, node)
    at = change_require(actor, row, "volume.update")
    now = int(row.data["capacity"])
    if capacity_bytes < now:
        raise InvalidInput.field(
            "capacity_bytes", f"must be at least {now}, what it has now: volumes are never made smaller."
        )
    capacity_check("capacity_bytes", capacity_bytes, now)
    params = {**ref_of(row), "capacity_bytes": capacity_bytes}
    with transaction.atomic():
        owner = row.created_by_id or actor.user_id
        params[RESERVES] = volume_check(at.project, owner, at.node, capacity_bytes - now)
        return work_submit(actor, at, Work("volume.resize", row.engine_id, params))


def volume_wipe(actor: Actor, pool: str, name: str, *, node: str = "") -> Operation:
    """Ask for its content to be overwritten. Raises ``VolumeInUse``."""
    row = volume_row(actor, pool, name, node)
    at = change_require(actor, row, "volume.wipe")
    unused_require(actor, row)
    return work_submit(actor, at, Work("volume.wipe", row.engine_id, ref_of(row)))


def volume_upload(
    actor: Actor, pool: str, name: str, *, node: str = "", size: int | None = None, sha256: str = ""
) -> Operation:
    """Ask for its content to be replaced by the body of this request; this process carries it out."""
    row = volume_row(actor, pool, name, node)
    at = change_require(actor, row, "volume.upload")
    unused_require(actor, row)
    if row.data["format"] not in (*FORMATS, "iso"):
        raise InvalidState(
            f"Nothing is uploaded into a {row.data['format']} volume; make a qcow2 or raw one."
        )
    params = {**ref_of(row), "size": size, "sha256": sha256_check("sha256", sha256)}
    return work_submit(actor, at, Work("volume.upload", row.engine_id, params, may_cancel=True, here=True))


def volume_download(actor: Actor, pool: str, name: str, *, node: str = "") -> Resource:
    """The row, once the actor may take its content. Raises ``PermissionDenied``, ``InvalidState``."""
    row = volume_row(actor, pool, name, node)
    content_require(actor, row)
    audit(actor, "volume.download", row.engine_id)
    return row


def volume_bytes(row: Resource) -> int:
    """How much a download sends. Raises ``InvalidState`` while a machine writes to it."""
    return kvm_of(row.node).volumes.download_size(row.data["pool"], row.name)


def volume_piece(row: Resource, offset: int, length: int) -> bytes:
    return kvm_of(row.node).volumes.download_piece(row.data["pool"], row.name, offset, length)


def content_require(actor: Actor, row: Resource) -> None:
    """What is in a volume leaves it: ``export`` in its project; of the host's, administrators."""
    action_require(actor, "volume.content", row.project_id)


def unused_require(actor: Actor, row: Resource) -> None:
    """Raises ``VolumeInUse`` naming the machines that the actor sees; the worker asks the engine again, and
    alone where the mirror may be behind."""
    is_old = users_may_be_gone(row)
    users, copies = [] if is_old else instances_using(row), row.data.get("copies", [])
    own = own_instance_id(row.name)
    if own:
        users += list(Instance.objects.filter(pk=own).exclude(pk__in=[user.pk for user in users]))
    if users:
        seen = [user for user in users if actor.is_admin or _sees(actor, user)]
        names = ", ".join(user.name for user in seen[:10]) or tell("machines that you do not see")
        raise VolumeInUse(
            f"{row.name} belongs to {names}. Detach it, or delete the machine, first.",
            machines=[{"id": str(user.pk), "name": user.name} for user in seen],
        )
    if row.data.get("in_use") and not is_old:
        visible = resources_visible(actor, VOLUME).filter(node=row.node, engine_id__in=copies)
        names = ", ".join(visible.values_list("name", flat=True)[:10]) or tell("volumes that you do not see")
        raise VolumeInUse(f"{row.name} is what {names} stand on: without it they are broken.")


def new_submit(actor: Actor, at: Where, work: Work, idempotency: Idempotency | None) -> Operation:
    """One of those that make a volume: its name must be free, and its room within the limits."""
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        count_check(at, "volume")
        volume_name_free(at.node, str(work.params["pool"]), str(work.params["name"]))
        node_require(at.node, for_new=True)
        room = int(work.params["capacity_bytes"])
        params = {**work.params, RESERVES: volume_check(at.project, actor.user_id, at.node, room)}
        reserving = Work(work.action, work.target, params, work.may_cancel, work.here)
        return work_submit(actor, at, reserving, idempotency=idempotency)


def volume_name_free(node: Node, pool: str, name: str) -> None:
    """Raises ``NameConflict``, whose ever it is; call under ``limits_lock``."""
    place = f"{pool}/{name}"
    active = Operation.objects.filter(
        node=node,
        target=place,
        action__in=("volume.create", "volume.clone", "image.create", "image.upload", "image.finish"),
        state__in=sorted(ACTIVE_OPERATION_STATES),
    )
    if active.exists() or Resource.objects.filter(node=node, kind=VOLUME, engine_id=place).exists():
        raise NameConflict(
            f"There is already a volume “{name}” in the pool {pool}; take another name.", name=name
        )


def ref_of(row: Resource) -> dict[str, Any]:
    """What a worker needs to find a volume, and which format it must have."""
    return {"pool": row.data["pool"], "name": row.name, "known": row.data["format"]}


def volume_name_check(key: str, value: Any) -> str:
    name = str(value or "")
    if not _NAME.fullmatch(name) or name.startswith(_OURS):
        raise InvalidInput.field(
            key,
            "must be 1 to 128 letters, digits and . _ + -, begin with a letter or digit, and not be like the "
            "names that LibGo gives.",
        )
    return name


def capacity_check(key: str, value: Any, least: int = CAPACITY_MIN) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= CAPACITY_MAX:
        raise InvalidInput.field(key, f"must be from {least} to {CAPACITY_MAX} bytes.")
    return value


def format_check(value: str) -> str:
    if value not in FORMATS:
        raise InvalidInput.field("format", f"must be one of {', '.join(FORMATS)}.")
    return value


def sha256_check(key: str, value: str) -> str:
    if value and not _SHA256.fullmatch(value.lower()):
        raise InvalidInput.field(key, "must be a SHA-256: 64 hexadecimal digits.")
    return value.lower()


def _backing(actor: Actor, pool: Resource, wanted: str) -> Resource:
    """What a thin copy may stand on: a volume that the actor may read the content of, or an image."""
    at, _, name = wanted.rpartition("/")
    if "/" in at or not name:
        raise InvalidInput.field("backing_store", "must be the name of a volume, or pool/name; never a path.")
    row = volume_row(actor, at or pool.name, name, str(pool.node_id))
    is_image = resources_visible(actor, "image").filter(node=row.node, engine_id=row.engine_id).exists()
    if not is_image:
        content_require(actor, row)
    return row


def _sees(actor: Actor, instance: Instance) -> bool:
    return action_allowed(actor, "instance.read", instance.project_id)
