"""Backups: the worker's side. Restoring is making an instance (``handlers._made``), from a backup.

Before the first byte goes to the target a step is recorded that removes the whole backup again, there and
here; it needs the target and no engine, so the runner takes it back here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone

from compute.backends.backup import BackupSpec
from compute.backends.types import InstanceInfo, UndoStep
from compute.backupstore.archive import Manifest, backup_remove
from compute.errors import BackupDamaged, NotFound
from compute.events import Fact, event_publish
from compute.execution.backup_store import backup_row, reader_of, store_of, writer_of
from compute.execution.handlers import Work, handler_register
from compute.models import Backup, BackupTarget, Node, Operation
from compute.sealing import SealedOtherwise, seal, unseal
from compute.selectors.page import time_text
from compute.states import BackupState, OperationState

STEP = "backup_store"
BACKUP, VERIFY, DELETE = "instance.backup", "backup.verify", "backup.delete"


class _Told:
    """Counts what goes through, tells it, and asks now and then whether to go on."""

    def __init__(self, work: Work, total: int = 0) -> None:
        self._work, self._total, self.count = work, total, 0

    def __call__(self, count: int) -> None:
        self.count += count
        if self._total:
            share = 90 * min(1.0, self.count / self._total)
            self._work.report.progress(5 + share, "Reading it back and comparing")
        else:
            self._work.report.checkpoint()


def _backup(work: Work) -> dict[str, Any]:
    row = backup_row(work.operation.params["backup"])
    work.report.progress(1, f"Opening {row.target.name}")
    told = _Told(work)
    writer = writer_of(row, told)
    work.report.undo(UndoStep(STEP, {"backup": str(row.pk), "target": str(row.target_id)}))
    info = work.backend.instance_get(work.engine_id)
    wanted = BackupSpec(str(work.instance.pk), str(work.operation.pk), str(work.instance.project_id))
    definition = work.backend.instance_backup(work.engine_id, wanted, writer, work.report)
    work.report.progress(95, "Writing the manifest")
    kept = _instance(work, info)
    manifest = writer.finish(
        Manifest(
            backup_id=str(row.pk),
            created_at=str(time_text(timezone.now())),
            backend=work.node.backend,
            instance=kept,
            definition=definition,
            libgo={"node": work.node.name, "operation": str(work.operation.pk)},
        )
    )
    _finished(row, manifest, {"definition": definition, "instance": kept})
    return {"backup": str(row.pk), "size_bytes": manifest.size_bytes}


def _instance(work: Work, info: InstanceInfo) -> dict[str, Any]:
    """What is asked for again when it is restored."""
    return {
        "id": str(work.instance.pk),
        "name": work.instance.name,
        "type": str(info.type),
        "image": info.image,
        "project": str(work.instance.project_id),
        "labels": dict(work.instance.labels),
        "annotations": dict(work.instance.annotations),
        "cpu_cores": info.cpu_cores,
        "memory_bytes": info.memory_bytes,
        "storage_bytes": info.storage_bytes,
        "left_out": work.backend.backup_omits(info.config, [asdict(item) for item in info.storage]),
    }


def _finished(row: Backup, manifest: Manifest, definition: dict[str, Any]) -> None:
    parts = [
        {"name": part.name, "size_bytes": part.size_bytes, "sha256": part.sha256} for part in manifest.parts
    ]
    Backup.objects.filter(pk=row.pk).update(
        state=BackupState.READY.value,
        definition=seal(definition),
        size_bytes=manifest.size_bytes,
        parts=parts,
        finished_at=timezone.now(),
    )


def _verify(work: Work) -> dict[str, Any]:
    """Every byte of it, from the target. What is found is written on the row, and fails the operation."""
    row = backup_row(work.operation.params["backup"])
    work.report.progress(2, f"Opening {row.target.name}")
    try:
        # What a restore asks for lies here, under the same key.
        unseal(row.definition)
        count = reader_of(str(row.pk), _Told(work, row.size_bytes or 1)).verify()
    except (BackupDamaged, NotFound, SealedOtherwise) as error:
        Backup.objects.filter(pk=row.pk).update(
            state=BackupState.DAMAGED.value, problem=error.message[:1000], verified_at=timezone.now()
        )
        text = f"A backup of {row.instance_name} cannot be restored: {error.message}"
        event_publish(Fact("backup.damaged", text[:1000], operation=work.operation))
        raise
    Backup.objects.filter(pk=row.pk).update(
        state=BackupState.READY.value, problem="", verified_at=timezone.now()
    )
    return {"backup": str(row.pk), "size_bytes": count, "parts": len(row.parts)}


def _delete(work: Work) -> dict[str, Any]:
    """The row goes when the target has nothing of it any more; see ``backup_settle`` for what fails."""
    row = backup_row(work.operation.params["backup"])
    Backup.objects.filter(pk=row.pk).update(state=BackupState.DELETING.value)
    work.report.progress(10, f"Removing it from {row.target.name}")
    backup_remove(store_of(row.target), str(row.pk))
    row.delete()
    return {"backup": str(work.operation.params["backup"])}


def backup_undo(operation: Operation, step: UndoStep) -> None:
    """Nothing of it stays, in the target and here. Raises what the target does, and is tried again. One that
    was finished when its worker was lost is a backup, and stays."""
    row = Backup.objects.filter(pk=step.ref["backup"]).first()
    if row is not None and row.state != BackupState.CREATING:
        return
    target = BackupTarget.objects.filter(pk=step.ref["target"]).first()
    if target is not None:
        backup_remove(store_of(target), str(step.ref["backup"]))
    if row is not None:
        row.delete()


def backup_result(operation: Operation) -> dict[str, Any] | None:
    """The result of a backup that was whole although its operation did not see the end of it."""
    if operation.action != BACKUP:
        return None
    row = Backup.objects.filter(pk=operation.params.get("backup"), state=BackupState.READY.value).first()
    return {"backup": str(row.pk), "size_bytes": row.size_bytes} if row is not None else None


def backup_settle(operation: Operation) -> None:
    """After a bad end: an operation that never came to record its step leaves no row either, and one that
    was to remove a backup leaves it to be removed again."""
    backup = str(operation.params.get("backup") or "")
    if operation.action == BACKUP and not _has_begun(operation):
        Backup.objects.filter(pk=backup, state=BackupState.CREATING.value).delete()
    if operation.action == DELETE:
        Backup.objects.filter(pk=backup, state=BackupState.DELETING.value).update(
            state=BackupState.DAMAGED.value, problem="Removing it was broken off; do it again."
        )


def _has_begun(operation: Operation) -> bool:
    recorded = Operation.objects.filter(pk=operation.pk).values_list("undo_steps", flat=True).first() or []
    return any(step["kind"] == STEP for step in recorded)


def any_node() -> Node | None:
    """Operations have a node; for work on a target it only says whose turn it is."""
    return Node.objects.order_by("-is_enabled", "-is_local", "name").first()


def unfinished(row: Backup) -> bool:
    """Whether an operation is at work on it."""
    states = [OperationState.QUEUED.value, OperationState.RUNNING.value]
    return Operation.objects.filter(params__backup=str(row.pk), state__in=states).exists()


handler_register(BACKUP, _backup)
handler_register(VERIFY, _verify)
handler_register(DELETE, _delete)
