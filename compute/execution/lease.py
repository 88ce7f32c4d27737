"""Claim, keep and finish an operation: conditional updates in database time, nothing else.

States and who may move them: queued → running by a claim; running → a final state only by the
claimant whose fence is still the row's. An expired lease is taken over with a new fence.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from compute.models import Operation
from compute.models.operation import PAYLOAD_VERSION
from compute.rows import rows_update
from compute.selectors.prepared import Prepared
from compute.states import OperationState

log = structlog.get_logger(__name__)

LEASE_S = 15
HEARTBEAT_S = 4
# What this code can read; while a site is upgraded, newer processes write to the same rows.
READABLE = Q(payload_version__lte=PAYLOAD_VERSION)


def _process() -> str:
    """This one, asked for at each use: what is loaded may be shared with a process that was forked."""
    return f"{socket.gethostname()}:{os.getpid()}"


def lease_end(seconds: float = LEASE_S) -> ExpressionWrapper:
    """``seconds`` from now on the database's clock."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


_NOW, _LEASE_END = Now(), lease_end()


def operation_waiting(operation_id: str) -> Operation | None:
    """With all that its handler needs; None when it waits for nobody any more."""
    found = _WAITING.first(uuid.UUID(operation_id))
    if found is not None and found.instance is not None and found.instance.node_id == found.node_id:
        found.instance.node = found.node
    return found


def operation_claim(operation: Operation) -> bool:
    """Take one that waits; False when someone else has it, it is over, its cancelling was asked for since it
    was read, or it is too new for this worker. What the worker notes is of its own version; ``operation``
    keeps the one of its params."""
    as_read = {
        "pk": operation.pk,
        "state": OperationState.QUEUED.value,
        "fence": operation.fence,
        "cancel_requested": operation.cancel_requested,
        "payload_version__lte": PAYLOAD_VERSION,
    }
    columns = {"state": OperationState.RUNNING.value, "fence": operation.fence + 1, "worker": _process()}
    times = {"lease_until": _LEASE_END, "started_at": _NOW}
    if not rows_update(Operation, as_read, {**columns, **times, "payload_version": PAYLOAD_VERSION}):
        return False
    for name, value in columns.items():
        setattr(operation, name, value)
    return True


def operation_take_over(operation_id: str) -> Operation | None:
    """Take a running operation whose lease ran out, to clean up after it."""
    expired = Q(state=OperationState.RUNNING.value, lease_until__lt=Now())
    taken = Operation.objects.filter(READABLE, expired, pk=operation_id).update(
        fence=F("fence") + 1, worker=_process(), lease_until=lease_end(), started_at=Now()
    )
    return _with_all().get(pk=operation_id) if taken else None


def _with_all() -> QuerySet[Operation]:
    return Operation.objects.select_related("instance", "instance__node", "node", "user")


_WAITING = Prepared(
    lambda key: Operation.objects.select_related("instance", "node", "user").filter(
        pk=key, state=OperationState.QUEUED.value
    )
)


def operation_write(operation_id: Any, fence: int, **columns: Any) -> bool:
    """Write to an operation that is still ours; False when it is not."""
    ours = {"pk": operation_id, "fence": fence, "state": OperationState.RUNNING.value}
    return bool(rows_update(Operation, ours, columns))


def operation_close(operation: Operation, state: OperationState, columns: Mapping[str, Any]) -> bool:
    """The last write: final state and outcome, in the transaction of the caller. False when the operation
    is no longer ours."""
    written = {**columns, "state": state.value, "lease_until": None}
    if not operation_write(operation.pk, operation.fence, finished_at=_NOW, **written):
        return False
    for name, value in written.items():
        setattr(operation, name, value)
    return True


class Heartbeat:
    """One thread per process that renews the leases of all operations running in it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, threading.Event]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hold(self, operation: Operation) -> threading.Event:
        """Keep the lease until ``release``; the event is set once it was lost."""
        lost = threading.Event()
        with self._lock:
            self._held[str(operation.pk)] = (operation.fence, lost)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        return lost

    def release(self, operation: Operation) -> None:
        with self._lock:
            self._held.pop(str(operation.pk), None)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(HEARTBEAT_S):
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._thread = None
                    return
            self._renew(held)
            close_old_connections()

    def _renew(self, held: Mapping[str, tuple[int, threading.Event]]) -> None:
        """All in one transaction: on a busy SQLite each has to wait for its turn to write."""
        gone: list[str] = []
        try:
            with transaction.atomic():
                for operation_id, (fence, _lost) in held.items():
                    if not operation_write(operation_id, fence, lease_until=_LEASE_END):
                        gone.append(operation_id)
        except DatabaseError as error:
            # The lease outlives a few missed beats; the next one tries again.
            log.warning("heartbeat_failed", operations=len(held), reason=str(error))
            return
        with self._lock:
            for operation_id in gone:
                if operation_id in self._held:
                    held[operation_id][1].set()


heartbeat = Heartbeat()
