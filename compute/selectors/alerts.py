"""Every read of alerts, their rules, channels and deliveries."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Q, QuerySet, Value, When

from compute.actor import Actor
from compute.errors import NotFound
from compute.models import Alert, AlertChannel, AlertDelivery, AlertRule, AlertsSeen
from compute.sealing import SealedOtherwise, unseal
from compute.selectors.access import project_ids_visible
from compute.selectors.identity import by_id_or_name, words_in
from compute.selectors.page import Page, one_of, order_by, page_bounds, time_text
from compute.states import SITE_ALERT_KINDS, AlertState, ChannelKind, Severity

_SORTS = {"fired_at": "fired_at", "started_at": "started_at", "severity": "weight", "state": "rank"}
_RANK = Case(
    *(
        When(state=state.value, then=Value(rank))
        for rank, state in enumerate((AlertState.FIRING, AlertState.PENDING))
    ),
    default=Value(2),
)
_WEIGHT = Case(
    *(When(severity=word.value, then=Value(weight)) for weight, word in enumerate(reversed(Severity))),
    default=Value(9),
)


@dataclass(frozen=True)
class AlertFilter:
    """Empty means "any"."""

    state: str = ""
    severity: str = ""
    rule: str = ""
    instance: str = ""
    q: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def alerts_page(actor: Actor, wanted: AlertFilter) -> Page:
    """What fires first, the gravest of it on top."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _alerts_visible(actor).select_related("rule")
    if wanted.state:
        rows = rows.filter(state=one_of("state", wanted.state, AlertState))
    if wanted.severity:
        rows = rows.filter(severity=one_of("severity", wanted.severity, Severity))
    if wanted.rule:
        rows = rows.filter(by_id_or_name(wanted.rule, id_column="rule_id", name_column="rule__name"))
    if wanted.instance:
        rows = rows.filter(
            by_id_or_name(wanted.instance, id_column="instance_uid", name_column="subject_name")
        )
    if wanted.q:
        rows = rows.filter(words_in(wanted.q, "subject_name", "message", "rule__name"))
    ordering = order_by(wanted.sort, _SORTS, "id") if wanted.sort else ["rank", "weight", "-fired_at", "id"]
    found = rows.annotate(rank=_RANK, weight=_WEIGHT).order_by(*ordering)[start:end]
    return Page([alert_dict(row, row.rule) for row in found], rows.count(), wanted.page, wanted.page_size)


def alert_get(actor: Actor, alert_id: str) -> Alert:
    """Raises ``NotFound``."""
    rows = _alerts_visible(actor).select_related("rule")
    found = rows.filter(pk=alert_id).first() if _is_id(alert_id) else None
    if found is None:
        raise NotFound("There is no such alert.")
    return found


def alerts_unseen(actor: Actor) -> tuple[int, int]:
    """How many fire, and how many of these are new to the actor."""
    rows = _alerts_visible(actor).filter(state=AlertState.FIRING.value)
    seen_at = AlertsSeen.objects.filter(user_id=actor.user_id).values_list("seen_at", flat=True).first()
    new = rows.filter(fired_at__gt=seen_at) if seen_at else rows
    return rows.count(), new.count()


_BY_NAME = {"name": "name", "created_at": "created_at", "kind": "kind"}


def rules_page(
    actor: Actor, *, page: int = 1, page_size: int = 50, sort: list[str] | None = None, q: str = ""
) -> Page:
    """Of the actor's projects; those of the site are shown to all who may see what they find."""
    start, end = page_bounds(page, page_size)
    rows = _visible(actor, AlertRule.objects.all(), "project_id").filter(words_in(q, "name", "kind"))
    ordering = order_by(sort or ["name"], _BY_NAME, "id")
    found = rows.select_related("project", "node").prefetch_related("channels").order_by(*ordering)[start:end]
    return Page([rule_dict(row) for row in found], rows.count(), page, page_size)


def rule_get(actor: Actor, id_or_name: str | uuid.UUID) -> AlertRule:
    """Raises ``NotFound``."""
    rows = _visible(actor, AlertRule.objects.select_related("project", "node"), "project_id")
    found = rows.filter(by_id_or_name(id_or_name)).order_by("project_id").first()
    if found is None:
        raise NotFound("There is no such alert rule.")
    return found


def channels_page(
    actor: Actor, *, page: int = 1, page_size: int = 50, sort: list[str] | None = None, q: str = ""
) -> Page:
    start, end = page_bounds(page, page_size)
    rows = channels_visible(actor).select_related("project").filter(words_in(q, "name", "kind"))
    rows = rows.order_by(*order_by(sort or ["name"], _BY_NAME, "id"))
    return Page([channel_dict(row, actor) for row in rows[start:end]], rows.count(), page, page_size)


def channels_visible(actor: Actor) -> QuerySet[AlertChannel]:
    return _visible(actor, AlertChannel.objects.all(), "project_id")


def channel_get(actor: Actor, id_or_name: str | uuid.UUID) -> AlertChannel:
    """Raises ``NotFound``."""
    found = channels_visible(actor).select_related("project").filter(by_id_or_name(id_or_name)).first()
    if found is None:
        raise NotFound("There is no such alert channel.")
    return found


def deliveries_page(channel: AlertChannel, *, page: int = 1, page_size: int = 50) -> Page:
    """What was sent, newest first."""
    start, end = page_bounds(page, page_size)
    rows = AlertDelivery.objects.filter(channel=channel)
    found = [delivery_dict(row) for row in rows.order_by("-created_at", "id")[start:end]]
    return Page(found, rows.count(), page, page_size)


def alert_dict(row: Alert, rule: AlertRule) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "rule": {"id": str(rule.pk), "name": rule.name},
        "kind": rule.kind,
        "severity": row.severity,
        "state": row.state,
        "subject": row.subject_name,
        "instance": _id(row.instance_uid),
        "node": _id(row.node_uid),
        "project": _id(row.project_uid),
        "message": row.message,
        "value": row.value,
        "started_at": time_text(row.started_at),
        "fired_at": time_text(row.fired_at),
        "resolved_at": time_text(row.resolved_at),
        "acknowledged_by": row.acknowledged_by or None,
        "acknowledged_at": time_text(row.acknowledged_at),
    }


def rule_dict(row: AlertRule) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "project": {"id": str(row.project_id), "name": row.project.name} if row.project else None,
        "kind": row.kind,
        "severity": row.severity,
        "enabled": row.is_enabled,
        "metric": row.metric or None,
        "above": row.above,
        "threshold": row.threshold,
        "clear_threshold": row.clear_threshold,
        "for_s": row.for_s,
        "instance": _id(row.instance_uid),
        "node": str(row.node_id) if row.node_id else None,
        "action": row.action or None,
        "channels": [channel.name for channel in row.channels.all()],
        "silenced_until": time_text(row.silenced_until),
        "created_at": time_text(row.created_at),
    }


def channel_dict(row: AlertChannel, actor: Actor) -> dict[str, Any]:
    """Where it leads is shown to administrators: an address may hold a token. The secret is never read
    back."""
    config = row.config if actor.is_admin else {}
    return {
        "id": str(row.pk),
        "name": row.name,
        "kind": row.kind,
        "project": {"id": str(row.project_id), "name": row.project.name} if row.project else None,
        "enabled": row.is_enabled,
        "url": hook_url_shown(row) if "url" in config else None,
        "allow_internal": config.get("allow_internal"),
        "recipients": config.get("recipients"),
        "signed": row.kind == ChannelKind.WEBHOOK,
        "created_at": time_text(row.created_at),
    }


def hook_url(row: AlertChannel) -> str:
    """Where its messages go: sealed, because who knows the address of a chat may write there; plain in rows
    from before that. Raises ``SealedOtherwise``."""
    kept = str(row.config.get("url") or "")
    return kept if "://" in kept or not kept else str(unseal(kept))


def hook_url_shown(row: AlertChannel) -> str:
    """Empty when the key is lost: it has to be entered anew."""
    try:
        return hook_url(row)
    except SealedOtherwise:
        return ""


def delivery_dict(row: AlertDelivery) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "event": row.event,
        "state": row.state,
        "attempts": row.attempts,
        "status": row.status,
        "error": row.error or None,
        "next_try_at": time_text(row.next_try_at) if row.state == "queued" else None,
        "created_at": time_text(row.created_at),
        "finished_at": time_text(row.finished_at),
    }


def _alerts_visible(actor: Actor) -> QuerySet[Alert]:
    """Of what has no project members see what is wrong with hosts, not what administrators did there."""
    rows = _visible(actor, Alert.objects.all(), "project_uid")
    if actor.is_admin:
        return rows
    kinds = sorted(kind.value for kind in SITE_ALERT_KINDS)
    return rows.filter(Q(project_uid__isnull=False) | Q(rule__kind__in=kinds))


def _visible(actor: Actor, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """Of one's projects, and of the hosts, which all members see."""
    projects = project_ids_visible(actor)
    if projects is None:
        return rows
    if not projects:
        return rows.none()
    return rows.filter(Q(**{f"{column}__in": projects}) | Q(**{f"{column}__isnull": True}))


def _id(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)


def _is_id(value: str) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True
