"""The record of interactive sessions and of single commands: who was in what, from where, how long, and how
it ended.

The process that holds a session writes its beginning and its end. When that process is lost, the sweeper
writes the end: the row of ``OpenSession`` is taken by whoever writes it, so it is written once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from compute.actor import Actor, Credential
from compute.audit import audit
from compute.models import Instance, OpenSession

BEAT_S = 15.0
# Three beats may be missed.
LOST_AFTER = timedelta(seconds=60)
_BATCH = 200
# Has one row in the audit, when it is over; a session has one for its beginning, too.
_TOLD_ONCE = frozenset({"instance.exec", "instance.guest_file_read", "instance.guest_file_write"})


def session_begin(actor: Actor, action: str, instance: Instance, details: Mapping[str, Any]) -> uuid.UUID:
    """Note its beginning, before anything of it happens; the id by which its end is told."""
    with transaction.atomic():
        row = OpenSession.objects.create(
            action=action,
            instance_uid=instance.pk,
            instance_name=instance.name,
            details=dict(details),
            user_uid=actor.user_id,
            username=actor.username[:150],
            method=actor.method[:16],
            remote_address=actor.remote_address[:64],
            user_agent=actor.user_agent[:200],
            request_id=actor.request_id[:64],
            token_uid=actor.credential.token_id,
            began_at=Now(),
            seen_at=Now(),
        )
        if action not in _TOLD_ONCE:
            audit(actor, action, instance.name, target_uid=instance.pk, details=details)
    return row.pk


def session_end(session_id: uuid.UUID, result: str) -> bool:
    """Tell of its end, by now. False when somebody has: it was taken for lost."""
    with transaction.atomic():
        OpenSession.objects.filter(pk=session_id).update(seen_at=Now())
        row = OpenSession.objects.select_for_update().filter(pk=session_id).first()
        return row is not None and _end(row, result)


def sessions_seen(ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Say that these are still open. Those of them that were not taken for lost meanwhile."""
    wanted = list(ids)
    OpenSession.objects.filter(pk__in=wanted).update(seen_at=Now())
    return set(OpenSession.objects.filter(pk__in=wanted).values_list("pk", flat=True))


def sessions_sweep() -> int:
    """Tell of the end of those whose process is gone; how many there were. It is when they were last
    seen."""
    lost = OpenSession.objects.filter(seen_at__lt=Now() - LOST_AFTER)
    ended = 0
    for session_id in list(lost.values_list("pk", flat=True)[:_BATCH]):
        with transaction.atomic():
            row = lost.select_for_update().filter(pk=session_id).first()
            ended += row is not None and _end(row, "interrupted")
    return ended


def _end(row: OpenSession, result: str) -> bool:
    """In the caller's transaction. Only whoever removed the row tells."""
    if not OpenSession.objects.filter(pk=row.pk).delete()[0]:
        return False
    actor = Actor(
        row.user_uid,
        row.username,
        remote_address=row.remote_address,
        request_id=row.request_id,
        credential=Credential(token_id=row.token_uid),
        user_agent=row.user_agent,
        via=row.method,
    )
    details = {**row.details, "began_at": _text(row.began_at), "duration_s": _seconds(row)}
    action = row.action if row.action in _TOLD_ONCE else f"{row.action}.end"
    audit(actor, action, row.instance_name, target_uid=row.instance_uid, result=result, details=details)
    return True


def _seconds(row: OpenSession) -> float:
    return round((row.seen_at - row.began_at).total_seconds(), 1)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
