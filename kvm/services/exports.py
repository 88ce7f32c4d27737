"""Machines as files: ask for one, take it away, throw it away."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.backends.capabilities import Capability
from compute.errors import InvalidInput, InvalidState, NotFound
from compute.models import Operation
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.services.guards import content_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instances import capability_require
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_cancel, operation_submit
from compute.states import ACTIVE_OPERATION_STATES
from kvm.models import Export
from kvm.selectors.exports import export_get, export_path, exports_folder

FORMATS = ("qcow2", "raw", "vmdk", "vdi", "ova")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_TARGET = re.compile(r"[a-z]{2,8}[0-9]{0,3}")


def instance_export(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``body``: ``format``, ``file_name`` (without ending), ``options`` (``disk``: only this one). Raises
    ``InvalidInput``, ``OperationNotSupported``, ``InstanceBusy``."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    kind, options = _format(body.get("format")), _options(body.get("options"))
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.export", instance.project_id)
        capability_require(instance, Capability.EXPORT)
        node_require(instance.node)
        content_guarded(actor, instance)
        if not instance.engine_id:
            raise InvalidState(f"{instance.name} is still being made.", state=instance.state)
        stem = _stem(body.get("file_name"), instance.name, kind)
        row = Export(
            instance_uid=instance.pk,
            instance_name=instance.name,
            node=instance.node,
            project=instance.project,
            user_id=actor.user_id,
            format=kind,
            options=options,
            file_name=f"{stem}.{_ending(kind)}",
        )
        params = {"export": str(row.pk), "format": kind, "stem": stem, "disk": options.get("disk", "")}
        row.operation = operation_submit(
            actor, Intent("instance.export", instance.node, instance, params, may_cancel=True)
        )
        row.save()
        idempotency_store(actor, idempotency, row.operation)
    return row.operation


def export_of(operation: Operation) -> Export:
    """The row that an operation fills."""
    return Export.objects.select_related("operation").get(operation=operation)


def export_delete(actor: Actor, export_id: str | uuid.UUID) -> str:
    """The file and its row, or the work while it is under way; says which. Raises ``NotFound``,
    ``PermissionDenied``."""
    row = export_get(actor, export_id)
    action_require(actor, "export.delete", row.project_id)
    operation = row.operation
    if operation is not None and operation.state in ACTIVE_OPERATION_STATES:
        operation_cancel(actor, str(operation.pk))
        return f"The export of {row.instance_name} is being cancelled."
    audit(actor, "export.delete", row.instance_name, target_uid=row.pk, details={"file": row.file_name})
    export_remove(row)
    return f"The export of {row.instance_name} is deleted."


def export_remove(row: Export) -> None:
    shutil.rmtree(exports_folder() / str(row.pk), ignore_errors=True)
    row.delete()


def export_download(actor: Actor, export_id: str | uuid.UUID) -> Export:
    """A whole one, whose taking away is recorded. Raises ``InvalidState`` for one that is not there yet."""
    row = export_get(actor, export_id)
    download_allowed(actor, row)
    if row.finished_at is None:
        raise InvalidState("This export is not finished, or did not end well.", state="unfinished")
    if not export_path(row).is_file():
        raise NotFound("The file of this export is not on this host.")
    audit(actor, "export.download", row.instance_name, target_uid=row.pk, details={"file": row.file_name})
    return row


def download_allowed(actor: Actor, row: Export) -> None:
    """Asked again while the file streams. Raises ``PermissionDenied``."""
    action_require(actor, "export.download", row.project_id)


def _format(value: Any) -> str:
    if value not in FORMATS:
        raise InvalidInput.field("format", f"must be one of {', '.join(FORMATS)}.")
    return str(value)


def _options(value: Any) -> dict[str, str]:
    if value in (None, {}):
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput.field("options", "must be an object.")
    for key in value:
        if key != "disk":
            raise InvalidInput.field(f"options.{str(key)[:50]}", "is not known here; accepted: disk.")
    disk = value["disk"]
    if not isinstance(disk, str) or not _TARGET.fullmatch(disk):
        raise InvalidInput.field("options.disk", "must be the target of a disk, such as vda.")
    return {"disk": disk}


def _stem(wanted: Any, name: str, kind: str) -> str:
    if not wanted:
        return re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".-")[:100] or "machine"
    if not isinstance(wanted, str) or not _FILE_NAME.fullmatch(wanted):
        raise InvalidInput.field(
            "file_name", "must be 1 to 100 letters, digits, dots, dashes or underscores."
        )
    return wanted.removesuffix(f".{_ending(kind)}")


def _ending(kind: str) -> str:
    return "img" if kind == "raw" else kind
