"""What must happen even if a bell was not heard or a process died: rung every few seconds."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from compute.audit_chain import audit_cut, audit_seal
from compute.backends.registry import backends_retain
from compute.backends.runtime import runtime_sweep
from compute.execution.lease import lease_end
from compute.execution.usage import usage_prune_gone
from compute.models import Event, IdempotencyKey, Node, Operation, RefreshToken, SignIn, Turn
from compute.selectors.nodes import node_runtime_dir
from compute.states import ACTIVE_OPERATION_STATES, OperationState

RING_AGAIN_AFTER = timedelta(seconds=10)
_BATCH = 200
# Looks come every five seconds; a few may be late without anybody having been away.
_LOOK_S = 14
OPERATIONS, SESSIONS = "look-for-lost", "look-for-lost-sessions"

_KEEP_OPERATIONS = timedelta(days=90)
_KEEP_SIGN_INS = timedelta(days=7)
_KEEP_IDEMPOTENCY = timedelta(days=2)


def operations_unheard() -> list[str]:
    """Queued operations whose bell was rung too long ago; marked as rung now."""
    overdue = Q(dispatched_at=None) | Q(dispatched_at__lt=Now() - RING_AGAIN_AFTER)
    rows = Operation.objects.filter(overdue, state=OperationState.QUEUED.value).order_by("created_at")
    found = [str(pk) for pk in rows.values_list("pk", flat=True)[:_BATCH]]
    Operation.objects.filter(pk__in=found).update(dispatched_at=Now())
    return found


def operations_lost() -> list[str]:
    """Running operations whose lease ran out."""
    rows = Operation.objects.filter(state=OperationState.RUNNING.value, lease_until__lt=Now())
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:_BATCH]]


def looked_lately(what: str = OPERATIONS) -> bool:
    """Whether the look before this one is not long ago; notes this one. If nobody could look for a while,
    the database was away, so whoever holds an operation (or a session) could not keep its lease, and does so
    now."""
    Turn.objects.get_or_create(name=what)
    lately = Turn.objects.filter(name=what, until__gte=Now()).exists()
    Turn.objects.filter(name=what).update(until=lease_end(_LOOK_S))
    return lately


def parents_open() -> list[str]:
    """Operations that go on, or are over, with their children."""
    rows = Operation.objects.filter(is_parent=True, state=OperationState.RUNNING.value)
    return [str(pk) for pk in rows.order_by("created_at").values_list("pk", flat=True)[:_BATCH]]


def parent_of_ended(operation_id: str) -> str | None:
    """The parent of an operation that is over; None when it has none, or goes on."""
    ended = Operation.objects.filter(pk=operation_id).exclude(state__in=sorted(ACTIVE_OPERATION_STATES))
    parent_id = ended.values_list("parent_id", flat=True).first()
    return None if parent_id is None else str(parent_id)


def undos_pending() -> list[str]:
    """Ended operations with steps to take back, on nodes that answer again; marked as rung now, so that
    one that takes long, or never works, is not tried by many at once."""
    overdue = Q(dispatched_at=None) | Q(dispatched_at__lt=Now() - RING_AGAIN_AFTER)
    rows = Operation.objects.filter(overdue, undo_pending=True, node__is_reachable=True)
    found = [str(pk) for pk in rows.order_by("dispatched_at").values_list("pk", flat=True)[:_BATCH]]
    Operation.objects.filter(pk__in=found).update(dispatched_at=Now())
    return found


def backends_retire() -> None:
    """Let go of what leads to nodes that were removed or switched off since, and of private files of
    processes that were killed."""
    known = Node.objects.filter(is_enabled=True).values_list("pk", flat=True)
    backends_retain(str(pk) for pk in known)
    runtime_sweep(node_runtime_dir())


def retention_apply() -> None:
    """Drop what is older than it is kept for."""
    usage_prune_gone()
    now = timezone.now()
    kept = settings.LIBGO["audit"]
    if kept["event_days"]:
        Event.objects.filter(timestamp__lt=now - timedelta(days=kept["event_days"])).delete()
    audit_seal(everything=True)
    if kept["keep_days"]:
        # From midnight, so that there is one cut a day and not one an hour.
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        audit_cut(midnight - timedelta(days=kept["keep_days"]), f"kept for {kept['keep_days']} days")
    IdempotencyKey.objects.filter(created_at__lt=now - _KEEP_IDEMPOTENCY).delete()
    RefreshToken.objects.filter(expires_at__lt=now).delete()
    Session.objects.filter(expire_date__lt=now).delete()
    SignIn.objects.filter(
        Q(ended_at__lt=now - _KEEP_SIGN_INS) | Q(expires_at__lt=now - _KEEP_SIGN_INS)
    ).delete()
    Operation.objects.filter(finished_at__lt=now - _KEEP_OPERATIONS, undo_pending=False).exclude(
        state__in=sorted(ACTIVE_OPERATION_STATES)
    ).delete()
