"""The reporter: how backend code writes to the operation it works for."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict

from django.db import transaction

from compute.backends.types import UndoStep
from compute.errors import OperationCancelled, OperationInterrupted
from compute.events import operation_progress_send
from compute.execution.failpoint import boundary
from compute.execution.lease import operation_write
from compute.execution.patience import patiently
from compute.models import Operation, OperationLog
from compute.rows import row_insert

# Screens need no more than this many steps of a bar in a second.
_WRITE_EVERY_S = 0.25


class OperationReporter:
    """Writes with the fence of the claim, so a worker that was taken for dead writes nothing. While the
    database is away its callers wait: no step is taken that is not written down."""

    def __init__(self, operation: Operation, lost: threading.Event) -> None:
        self._operation = operation
        self._lost = lost
        self._written_at = 0.0
        self._checked_at = 0.0
        self.undo_steps: list[UndoStep] = [UndoStep(**step) for step in operation.undo_steps]

    def progress(self, percent: float, step: str) -> None:
        bounded = min(100.0, max(self._operation.progress, percent))
        new_step = step[:255] != self._operation.step
        self._operation.progress, self._operation.step = bounded, step[:255]
        now = time.monotonic()
        if new_step or now - self._written_at >= _WRITE_EVERY_S:
            self._written_at = now
            self._write(step if new_step else "", progress=bounded, step=step[:255])
            progress_send(self._operation)
        if new_step:
            boundary(self._operation, step)
        self.checkpoint()

    def log(self, line: str) -> None:
        patiently(lambda: row_insert(OperationLog(operation=self._operation, line=line[:2000])))

    def begin(self) -> None:
        """The first checkpoint: the claim has just read the row."""
        self._checked_at = time.monotonic()
        self._cancel_heard(self._operation.cancel_requested)

    def checkpoint(self) -> None:
        if self._lost.is_set():
            raise OperationInterrupted("Another worker took this operation over.")
        now = time.monotonic()
        if now - self._checked_at < _WRITE_EVERY_S:
            return
        self._checked_at = now
        asked = Operation.objects.filter(pk=self._operation.pk).values("cancel_requested", "fence")
        row = patiently(asked.first)
        if row is None or row["fence"] != self._operation.fence:
            self._lost.set()
            raise OperationInterrupted("Another worker took this operation over.")
        self._cancel_heard(row["cancel_requested"])

    def _cancel_heard(self, is_asked: bool) -> None:
        if is_asked and self._operation.may_cancel:
            raise OperationCancelled("The operation was cancelled.")

    def undo(self, step: UndoStep) -> None:
        self.checkpoint()
        self.undo_steps.append(step)
        self._write(undo_steps=[asdict(item) for item in self.undo_steps])
        boundary(self._operation, f"make {step.kind}")

    def _write(self, line: str = "", **columns: object) -> None:
        """The columns, and a line of the log with them: both or neither."""

        def write() -> bool:
            if not line:
                return operation_write(self._operation.pk, self._operation.fence, **columns)
            with transaction.atomic():
                is_ours = operation_write(self._operation.pk, self._operation.fence, **columns)
                if is_ours:
                    row_insert(OperationLog(operation=self._operation, line=line[:2000]))
            return is_ours

        if not patiently(write):
            self._lost.set()
            raise OperationInterrupted("Another worker took this operation over.")


def progress_send(operation: Operation) -> None:
    """Tell the screens how far it is."""
    project = str(operation.project_id) if operation.project_id else None
    operation_progress_send(
        str(operation.pk),
        project,
        {
            "instance": str(operation.instance_uid) if operation.instance_uid else None,
            "action": operation.action,
            "progress": round(operation.progress, 1),
            "step": operation.step,
            "state": operation.state,
        },
    )
