"""The one writer of the audit: who did what, by what and from where, on what, with which result."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from compute.actor import Actor
from compute.models import AuditEvent, Instance
from compute.rows import row_insert
from compute.selectors.masking import mapping_masked
from compute.states import Outcome

_REFUSALS = frozenset(
    "refused revoked PERMISSION_DENIED POLICY_DENIED RESOURCE_LIMIT_EXCEEDED UNAUTHENTICATED".split()
    + ["RATE_LIMITED"]
)
_FAILURES = frozenset(["failed", "timed_out", "cancelled", "interrupted"])
_TEXT_MAX, _ADDRESS_MAX, _AGENT_MAX, _DETAIL_MAX = 255, 64, 120, 500


@dataclass
class Watched:
    """What became known of one request: whether an audit row or an operation was written, and what the
    matrix refused, which a page may have shown beside its form instead of failing."""

    is_told: bool = False
    refused: dict[str, Any] | None = None


# Of the request at work; None outside of one.
_watched: ContextVar[Watched | None] = ContextVar("audit_watched", default=None)


def audit(
    actor: Actor,
    action: str,
    target: str = "",
    *,
    target_uid: uuid.UUID | None = None,
    result: str = "ok",
    details: Mapping[str, Any] | None = None,
    project: uuid.UUID | None = None,
) -> None:
    """Write one row. ``result`` is a word or an error code. ``details`` must hold no secrets; a personal
    token that was used is named by its id. Without ``project`` that of the instance or project which
    ``target_uid`` names is taken."""
    by_token = {"by_token": str(actor.credential.token_id)} if actor.credential.token_id else {}
    audit_told()
    row = AuditEvent(
        user_uid=actor.user_id,
        username=actor.username[:150],
        method=actor.method[:16],
        action=action[:64],
        target=target[:_TEXT_MAX],
        target_uid=target_uid,
        project_uid=project or _project_of(action, target_uid),
        outcome=outcome_of(result).value,
        result=result[:64],
        remote_address=actor.remote_address[:_ADDRESS_MAX],
        user_agent=actor.user_agent[:_AGENT_MAX],
        request_id=actor.request_id[:64],
        details={**(details or {}), **by_token},
    )
    row_insert(row)


def outcome_of(result: str) -> Outcome:
    """Of a word such as ``ok``, ``succeeded``, ``exit 1``, or of an error code."""
    if result in _REFUSALS:
        return Outcome.REFUSED
    if result in _FAILURES or (result.isupper() and "_" in result) or result == "INTERNAL":
        return Outcome.FAILED
    return Outcome.OK


def origin_of(actor: Actor) -> dict[str, str]:
    """What an operation keeps beside address and token, so that its end can be told with who asked."""
    found = {
        "username": actor.username[:150],
        "method": actor.method,
        "user_agent": actor.user_agent[:_AGENT_MAX],
    }
    return {name: value for name, value in found.items() if value}


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"before": {…}, "after": {…}}`` of the fields that differ, secrets masked; empty if none does."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    was, now = mapping_masked(before), mapping_masked(after)
    if not names:
        return {}
    return {
        "before": {name: _short(was.get(name)) for name in names},
        "after": {name: _short(now.get(name)) for name in names},
    }


def stored(row: Model, *names: str) -> dict[str, Any]:
    """What the database has of a row, for ``changes_of`` before and after it is saved; nothing of a new
    one. Never name a column that holds a secret."""
    found: dict[str, Any] | None = type(row)._base_manager.filter(pk=row.pk).values(*names).first()
    return {name: None for name in names} if found is None else found


@contextmanager
def audit_watched() -> Iterator[Watched]:
    """Around one request."""
    seen = Watched()
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


def audit_told() -> None:
    """The request at work needs no row of its own any more."""
    seen = _watched.get()
    if seen is not None:
        seen.is_told = True


def audit_refused(details: Mapping[str, Any]) -> None:
    """The matrix said no to something that the request at work asked for."""
    seen = _watched.get()
    if seen is not None:
        seen.refused = dict(details)


def _short(value: Any) -> Any:
    if isinstance(value, (bool, int, float, type(None))):
        return value
    if isinstance(value, Mapping):
        return {str(key): _short(each) for key, each in mapping_masked(value).items()}
    if isinstance(value, (list, tuple)):
        return [_short(each) for each in value[:50]]
    return str(value)[:_DETAIL_MAX]


def _project_of(action: str, target_uid: uuid.UUID | None) -> uuid.UUID | None:
    noun = action.partition(".")[0]
    if target_uid is None:
        return None
    if noun == "project" or action == "limits.project":
        return target_uid
    if noun != "instance":
        return None
    return Instance.objects.filter(pk=target_uid).values_list("project_id", flat=True).first()
