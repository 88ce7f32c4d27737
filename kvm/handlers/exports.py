"""Machines as files."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from compute.backends.types import ExportSpec
from compute.errors import NotFound
from compute.execution.handlers import Handler, Work
from kvm.models import Export
from kvm.selectors.exports import exports_folder


def _export(work: Work) -> dict[str, Any]:
    params = work.operation.params
    row = Export.objects.filter(pk=params["export"]).first()
    if row is None:
        raise NotFound("This export was deleted before it began.")
    exports_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = ExportSpec(
        format=params["format"],
        folder=str(exports_folder() / str(row.pk)),
        stem=params["stem"],
        operation_id=str(work.operation.pk),
        disk=params["disk"],
    )
    made = work.backend.instance_export(work.engine_id, wanted, work.report)
    row.file_name, row.size_bytes, row.sha256 = made.file_name, made.size_bytes, made.sha256
    row.finished_at = timezone.now()
    row.save(update_fields=["file_name", "size_bytes", "sha256", "finished_at"])
    return {
        "export": str(row.pk),
        "file_name": made.file_name,
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "download": f"/api/v1/exports/{row.pk}/download",
    }


HANDLERS: dict[str, Handler] = {"instance.export": _export}
