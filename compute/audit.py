"""The append-only record: who changed what, from where, with which result."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.models import AuditEvent


def audit(
    actor: Actor,
    action: str,
    target: str = "",
    *,
    target_uid: uuid.UUID | None = None,
    result: str = "ok",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write one row. ``details`` must hold no secrets; a personal token that was used is named by its id."""
    by_token = {"by_token": str(actor.credential.token_id)} if actor.credential.token_id else {}
    AuditEvent.objects.create(
        user_uid=actor.user_id,
        username=actor.username,
        action=action,
        target=target[:255],
        target_uid=target_uid,
        result=result[:64],
        remote_address=actor.remote_address[:64],
        request_id=actor.request_id[:64],
        details={**(details or {}), **by_token},
    )
