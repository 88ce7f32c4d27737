"""ok → pending → firing → resolved: one alert that is not over for each rule and thing.

Evaluated every few seconds by whoever has the turn; all that is remembered stands in the database, so a
restart in between changes nothing. What one look finds about one rule is told together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import override

from compute.events import Fact, events_publish
from compute.execution.alerts.conditions import Condition, Look, conditions_of
from compute.models import Alert, AlertDelivery, AlertRule, Instance, Node
from compute.selectors.alerts import alert_dict
from compute.states import AlertKind, AlertState
from compute.tell import tell

log = structlog.get_logger(__name__)

_ACTIVE = (AlertState.PENDING.value, AlertState.FIRING.value)
# Of one rule at once; a rule that matches more says nothing more by more rows.
_PER_RULE_MAX = 1000
_TOLD_MAX = 50
_KEEP = timedelta(days=90)


@dataclass
class _Changes:
    fired: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)


def alerts_evaluate(now: datetime | None = None) -> int:
    """Look at the site once and move every alert; how many deliveries were queued."""
    now, look, queued = now or timezone.now(), Look(), 0
    for rule in AlertRule.objects.select_related("project").prefetch_related("channels"):
        try:
            # Told in the source's language, whatever the site speaks: each reader hears it in their own.
            with transaction.atomic(), override("en"):
                queued += _rule_evaluate(rule, look, now)
        except IntegrityError as error:
            # Somebody else evaluated it at the same moment; the next look agrees with theirs.
            log.info("alert_rule_taken", rule=rule.name, reason=str(error))
    return queued


def alerts_prune(now: datetime | None = None) -> None:
    """Drop what was over or told long ago."""
    old = (now or timezone.now()) - _KEEP
    Alert.objects.filter(state=AlertState.RESOLVED.value, resolved_at__lt=old).delete()
    AlertDelivery.objects.filter(created_at__lt=old).delete()


def _rule_evaluate(rule: AlertRule, look: Look, now: datetime) -> int:
    active = {row.subject: row for row in Alert.objects.filter(rule=rule, state__in=_ACTIVE)}
    found = {each.subject: each for each in conditions_of(rule, look)} if rule.is_enabled else {}
    changes = _Changes()
    for subject, condition in found.items():
        row = active.get(subject)
        if row is not None:
            _step(row, condition, rule, now, changes)
        elif condition.is_bad and len(active) < _PER_RULE_MAX:
            active[subject] = row = _begun(rule, condition, now)
            _step(row, condition, rule, now, changes)
    for subject, row in active.items():
        if subject not in found:
            _end(row, now, changes)
    return _tell(rule, changes, now)


def _begun(rule: AlertRule, condition: Condition, now: datetime) -> Alert:
    return Alert.objects.create(
        rule=rule,
        subject=condition.subject[:120],
        subject_name=condition.name[:255],
        project_uid=condition.project_uid,
        instance_uid=condition.instance_uid,
        node_uid=condition.node_uid,
        severity=rule.severity,
        state=AlertState.PENDING.value,
        message=condition.text[:500],
        value=condition.value,
        started_at=now,
    )


def _step(row: Alert, condition: Condition, rule: AlertRule, now: datetime, changes: _Changes) -> None:
    if condition.is_clear or (row.state == AlertState.PENDING and not condition.is_bad):
        _end(row, now, changes)
        return
    if condition.is_bad and condition.text[:500] != row.message:
        row.message, row.value = condition.text[:500], condition.value
        row.save(update_fields=["message", "value"])
    if row.state == AlertState.PENDING and now - row.started_at >= timedelta(seconds=rule.for_s):
        row.state, row.fired_at, row.severity = AlertState.FIRING.value, now, rule.severity
        row.save(update_fields=["state", "fired_at", "severity"])
        changes.fired.append(row)


def _end(row: Alert, now: datetime, changes: _Changes) -> None:
    """What only was pending never was; what fired is over."""
    if row.state == AlertState.PENDING:
        row.delete()
        return
    row.state, row.resolved_at = AlertState.RESOLVED.value, now
    row.save(update_fields=["state", "resolved_at"])
    changes.resolved.append(row)


def _tell(rule: AlertRule, changes: _Changes, now: datetime) -> int:
    """The screens at once; the channels by their outbox, unless the rule is silenced. What fired in
    silence is told when the silence ends, if it still fires."""
    _publish("alert.firing", changes.fired)
    _publish("alert.resolved", changes.resolved)
    queued = _queue(rule, "alert.resolved", [row for row in changes.resolved if row.is_told], now)
    if rule.silenced_until is None or rule.silenced_until <= now:
        untold = list(Alert.objects.filter(rule=rule, state=AlertState.FIRING.value, is_told=False))
        queued += _queue(rule, "alert.firing", untold, now)
        Alert.objects.filter(pk__in=[row.pk for row in untold]).update(is_told=True)
    return queued


def _queue(rule: AlertRule, event: str, rows: list[Alert], now: datetime) -> int:
    channels = [channel for channel in rule.channels.all() if channel.is_enabled] if rows else []
    payload: dict[str, Any] = {
        "event": event,
        "rule": {"id": str(rule.pk), "name": rule.name, "kind": rule.kind, "severity": rule.severity},
        "alerts": [alert_dict(row, rule) for row in rows[:_TOLD_MAX]],
        "more": max(0, len(rows) - _TOLD_MAX),
    }
    AlertDelivery.objects.bulk_create(
        [AlertDelivery(channel=each, event=event, payload=payload, next_try_at=now) for each in channels]
    )
    return len(channels)


def _publish(kind: str, rows: Iterable[Alert]) -> None:
    """One fact each for a few; one for all of many."""
    many = list(rows)
    if len(many) > _TOLD_MAX:
        many, rest = many[:1], len(many) - 1
        message = tell(f"{many[0].message} And {rest} more.")
    else:
        message = ""
    instances = Instance.objects.in_bulk([row.instance_uid for row in many if row.instance_uid])
    nodes = Node.objects.in_bulk([row.node_uid for row in many if row.node_uid])
    facts = []
    for row in many:
        instance = instances.get(row.instance_uid) if row.instance_uid else None
        node = nodes.get(row.node_uid) if row.node_uid else None
        details = {"alert": str(row.pk), "severity": row.severity}
        # All members hear what has no project: they need not know what administrators did there.
        is_private = row.project_uid is None and row.rule.kind == AlertKind.OPERATION_FAILED
        text = "An operation of a host failed." if is_private else message or row.message
        facts.append(Fact(kind, text, instance=instance, node=node, details=details))
    if facts:
        events_publish(facts)
