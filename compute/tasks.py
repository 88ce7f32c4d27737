"""Celery's view of LibGo: bells, not plans. Every task may run twice or never; rows decide."""

from __future__ import annotations

import queue
import threading
from functools import partial

import structlog
from celery import current_app, shared_task
from celery.signals import worker_ready, worker_shutting_down
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from compute.audit_chain import audit_seal
from compute.execution import runner, sessions, sweep
from compute.execution.alerts.evaluate import alerts_evaluate, alerts_prune
from compute.execution.alerts.outbox import deliveries_due, delivery_send
from compute.execution.turns import turn
from compute.execution.usage import usage_prune, usage_roll
from compute.lane import Lane, lane_push
from compute.stages import stage

log = structlog.get_logger(__name__)

_RING_LATER_S = 1
_BELLS_MAX = 2000
# It lives above this module, because it asks services for the children.
PARENT_ADVANCE = "compute.work_tasks.parent_advance"


class _Ringer:
    """Rings in a thread of its own, so that a broker that hangs holds nobody who asks for something. What
    cannot be rung is dropped: the intent is safe in the database, and the sweeper rings again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: queue.Queue[tuple[str, str]] = queue.Queue(_BELLS_MAX)
        self._thread: threading.Thread | None = None

    def ring(self, task: str, operation_id: str) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                self._thread.start()
        try:
            self._bells.put_nowait((task, operation_id))
        except queue.Full:
            log.warning("bell_not_rung", operation=operation_id, reason="The broker takes none.")

    def _run(self) -> None:
        while True:
            task, operation_id = self._bells.get()
            try:
                current_app.send_task(task, (operation_id,), retry=False, ignore_result=True)
            except (BrokerError, RedisError, OSError) as error:
                log.warning("bell_not_rung", operation=operation_id, reason=str(error))


_ringer = _Ringer()


def operation_ring(operation_id: str, *, is_short: bool = False) -> None:
    """Let a worker carry it out, soon; at once, where one has a place in its lane for what is short."""
    stage(operation_id, "committed")
    if not (is_short and lane_push(operation_id)):
        _ringer.ring(operation_run.name, operation_id)


def parent_ring(parent_id: str) -> None:
    """Let a parent go on, or be closed."""
    _ringer.ring(PARENT_ADVANCE, parent_id)


def _parent_told(operation_id: str) -> None:
    parent_id = sweep.parent_of_ended(operation_id)
    if parent_id is not None:
        parent_ring(parent_id)


def _carry_out(operation_id: str) -> None:
    stage(operation_id, "heard")
    if not runner.operation_execute(operation_id):
        operation_run.apply_async((operation_id,), countdown=_RING_LATER_S)
        return
    _parent_told(operation_id)


@shared_task(ignore_result=True)
def operation_run(operation_id: str) -> None:
    """Carry out one operation."""
    _carry_out(operation_id)


@worker_ready.connect
def _lane_start(**kwargs: object) -> None:
    lane = Lane(_carry_out, partial(_ringer.ring, operation_run.name))
    worker_shutting_down.connect(lambda **kwargs: lane.end(), weak=False)
    lane.start()


@shared_task(ignore_result=True)
def operation_recover(operation_id: str) -> None:
    """Close one operation whose worker was lost."""
    runner.operation_recover(operation_id)
    _parent_told(operation_id)


@shared_task(ignore_result=True)
def undo_finish(operation_id: str) -> None:
    """Take back what a dead engine kept."""
    runner.undo_finish(operation_id)


@shared_task(ignore_result=True)
def operations_sweep() -> None:
    """Ring again what was not heard, recover what was lost, let go of what is no more."""
    for operation_id in sweep.operations_unheard():
        operation_run.delay(operation_id)
    for operation_id in sweep.operations_lost() if sweep.looked_lately() else ():
        operation_recover.delay(operation_id)
    for operation_id in sweep.undos_pending():
        undo_finish.delay(operation_id)
    for operation_id in sweep.parents_open():
        parent_ring(operation_id)
    sweep.backends_retire()


@shared_task(ignore_result=True)
def audit_chain() -> None:
    """Tell of sessions whose process was lost, and link the audit's newest rows."""
    if sweep.looked_lately(sweep.SESSIONS):
        sessions.sessions_sweep()
    audit_seal()


@shared_task(ignore_result=True)
def retention_apply() -> None:
    """Drop old records."""
    sweep.retention_apply()
    alerts_prune()


@shared_task(ignore_result=True)
def usage_keep() -> None:
    """Roll the past of usage up, and let go of what is older than it is kept."""
    with turn("usage", 300) as is_ours:
        if is_ours:
            usage_roll()
            usage_prune()


@shared_task(ignore_result=True)
def alerts_look() -> None:
    """Move the alerts, and ring for what is in the outbox."""
    with turn("alerts", 120) as is_ours:
        if is_ours:
            alerts_evaluate()
    for delivery_id in deliveries_due():
        alert_deliver.delay(delivery_id)


@shared_task(ignore_result=True)
def alert_deliver(delivery_id: str) -> None:
    """One try of one delivery."""
    delivery_send(delivery_id)
