"""Every read of exports. The shape is that of the API from before Docker, which had them first."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from compute.actor import Actor
from compute.errors import NotFound
from compute.selectors.access import visible
from compute.selectors.page import Page, page_bounds, time_text
from compute.states import OperationState
from kvm.models import Export

STATUS_OF = {
    OperationState.QUEUED: "pending",
    OperationState.RUNNING: "running",
    OperationState.SUCCEEDED: "completed",
    OperationState.CANCELLED: "canceled",
    OperationState.FAILED: "failed",
    OperationState.INTERRUPTED: "failed",
}


def exports_folder() -> Path:
    """Where the files lie, each in a private folder of its own."""
    return Path(settings.VAR_DIR) / "exports"


def export_path(row: Export) -> Path:
    return exports_folder() / str(row.pk) / row.file_name


def exports_page(actor: Actor, *, page: int = 1, page_size: int = 50, instance: str = "") -> Page:
    """Newest first."""
    start, end = page_bounds(page, page_size)
    rows = _visible(actor)
    if instance:
        rows = rows.filter(instance_name=instance)
    found = [export_dict(row) for row in rows.order_by("-created_at", "id")[start:end]]
    return Page(found, rows.count(), page, page_size)


def export_get(actor: Actor, export_id: str | uuid.UUID) -> Export:
    """Raises ``NotFound``."""
    try:
        found = _visible(actor).filter(pk=uuid.UUID(str(export_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound(f"There is no export “{str(export_id)[:100]}”.")
    return found


def export_dict(row: Export) -> dict[str, Any]:
    """The public shape, ``job``."""
    status = export_status(row)
    operation = row.operation
    done = status == "completed"
    return {
        "id": str(row.pk),
        "vmName": row.instance_name,
        "format": row.format,
        "status": status,
        "progress": 100.0 if done else round(operation.progress, 1) if operation else 0.0,
        "step": operation.step if operation and not done else "",
        "startTime": time_text(row.created_at),
        "endTime": time_text(row.finished_at or (operation.finished_at if operation else None)),
        "outputPath": f"/api/v1/exports/{row.pk}/download" if done else None,
        "error": (operation.error_message or None) if operation else None,
        "options": row.options,
        "fileName": row.file_name,
        "sizeBytes": row.size_bytes,
        "sha256": row.sha256 or None,
        "instanceId": str(row.instance_uid),
        "operationId": str(operation.pk) if operation else None,
        "projectId": str(row.project_id) if row.project_id else None,
    }


def export_status(row: Export) -> str:
    """``pending``, ``running``, ``completed``, ``failed``, ``canceled``."""
    if row.finished_at is not None:
        return "completed"
    return STATUS_OF[OperationState(row.operation.state)] if row.operation else "failed"


def _visible(actor: Actor) -> QuerySet[Export]:
    return visible(actor, Export.objects.select_related("operation"))
