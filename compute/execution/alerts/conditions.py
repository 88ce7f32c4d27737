"""How things are, seen by one rule. Reads only what is mirrored or sampled, never an engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from django.db.models import Case, Exists, Max, OuterRef, Q, QuerySet, Subquery, When
from django.utils import timezone as django_timezone

from compute.backends.capabilities import Capability
from compute.live import USAGE_FRESH_S, usage_recent_many
from compute.measures import amount_text
from compute.models import AlertRule, Backup, Instance, Node, Operation, Resource
from compute.states import (
    ACTIVE_OPERATION_STATES,
    AlertKind,
    BackupState,
    InstanceState,
    OperationState,
    metric_word,
)
from compute.tell import tell
from compute.usage.points import Collector

# The mean of so many samples is what counts, so one peak of a moment is none.
_SAMPLES = 6
# A failed operation is told for so long; then it is history.
_FAILED_FOR = timedelta(hours=1)
# What decides whether an instance should run; what else is done to it, such as a snapshot, does not.
_ENDS = ("instance.stop", "instance.kill", "instance.save")
_BEGINS = ("instance.create", "instance.start", "instance.restart")


@dataclass(frozen=True)
class Condition:
    """``is_bad`` makes an alert and ``is_clear`` ends it; neither leaves it as it is (between two
    thresholds, or nothing is known)."""

    subject: str
    name: str
    text: str
    is_bad: bool
    is_clear: bool
    value: float | None = None
    project_uid: uuid.UUID | None = None
    instance_uid: uuid.UUID | None = None
    node_uid: uuid.UUID | None = None


class Look:
    """One look at the site, shared by all rules of one evaluation."""

    @cached_property
    def instances(self) -> list[Instance]:
        last = Operation.objects.filter(
            instance=OuterRef("pk"), state=OperationState.SUCCEEDED.value, action__in=(*_ENDS, *_BEGINS)
        ).order_by("-finished_at")
        # Made, but not to be started.
        made_off = Q(action="instance.create", params__auto_start=False)
        is_off = Case(When(Q(action__in=_ENDS) | made_off, then=True), default=False)
        wished = last.annotate(is_off=is_off).values("is_off")[:1]
        rows = Instance.objects.exclude(engine_id="").select_related("node")
        active = Operation.objects.filter(instance=OuterRef("pk"), state__in=sorted(ACTIVE_OPERATION_STATES))
        rows = rows.annotate(is_off_by_wish=Subquery(wished), is_worked_on=Exists(active))
        return list(rows.defer("config", "storage", "networks"))

    @cached_property
    def backed_up(self) -> dict[uuid.UUID, datetime]:
        """When the last whole backup of each instance was finished."""
        rows = Backup.objects.filter(state=BackupState.READY.value).order_by()
        return dict(rows.values_list("instance_uid").annotate(Max("finished_at")))

    @cached_property
    def nodes(self) -> list[Node]:
        return list(Node.objects.filter(is_enabled=True))

    @cached_property
    def measured(self) -> dict[str, dict[str, float | None]]:
        """Of each instance and node with fresh samples: measures, and ``memory_limit_bytes``."""
        running = [str(row.pk) for row in self.instances if row.state == InstanceState.RUNNING]
        subjects = [*running, *(str(node.pk) for node in self.nodes)]
        found = {}
        for subject, samples in usage_recent_many(subjects, _SAMPLES).items():
            measures = _mean(subject, samples)
            if measures is not None:
                found[subject] = measures
        return found


def conditions_of(rule: AlertRule, look: Look) -> Iterator[Condition]:
    """One for each thing that the rule is about."""
    kind = AlertKind(rule.kind)
    if kind is AlertKind.OPERATION_FAILED:
        yield from _failed(rule)
    elif kind is AlertKind.POOL_FILLING:
        yield from _pools(rule)
    elif kind in (AlertKind.NODE_USAGE, AlertKind.NODE_UNREACHABLE):
        for node in look.nodes:
            if rule.node_id in (None, node.pk):
                yield _node(rule, node, look)
    else:
        for row in look.instances:
            if _is_about(rule, row):
                yield from _of_instance(rule, row, look)


def _is_about(rule: AlertRule, row: Instance) -> bool:
    if rule.project_id is not None and row.project_id != rule.project_id:
        return False
    return rule.instance_uid in (None, row.pk) and rule.node_id in (None, row.node_id)


def _instance(rule: AlertRule, row: Instance, look: Look) -> Condition:
    about: dict[str, Any] = {"project_uid": row.project_id, "instance_uid": row.pk, "node_uid": row.node_id}
    # While its node is away only the node is told of: nobody knows how its instances are. And what is
    # being worked on is judged when that is over.
    is_stale = not row.node.is_reachable or getattr(row, "is_worked_on", False)
    kind, subject = AlertKind(rule.kind), f"instance:{row.pk}"
    if kind is AlertKind.INSTANCE_USAGE:
        measures = look.measured.get(str(row.pk))
        value = None if is_stale or measures is None else _value(rule.metric, measures)
        is_off = not is_stale and row.state != InstanceState.RUNNING
        return _measured(rule, subject, row.name, value, is_off, about)
    if kind is AlertKind.INSTANCE_UNHEALTHY:
        is_bad = row.health == "unhealthy" and row.state == InstanceState.RUNNING
        text = f"{row.name} is unhealthy: its own check fails."
    else:
        by_wish = getattr(row, "is_off_by_wish", False)
        is_bad = row.state in (InstanceState.STOPPED, InstanceState.ERROR) and not by_wish
        text = tell(f"{row.name} is down: {row.status or row.state}.")
    return Condition(subject, row.name, text, is_bad and not is_stale, not is_bad and not is_stale, **about)


def _of_instance(rule: AlertRule, row: Instance, look: Look) -> Iterator[Condition]:
    if rule.kind == AlertKind.INSTANCE_UNMANAGED:
        # Since the rule is there, until somebody adopts or removes it: then it is not told of, and over.
        if not row.managed and row.created_at >= rule.created_at:
            yield _unmanaged(row)
    elif rule.kind == AlertKind.BACKUP_OVERDUE:
        if str(Capability.BACKUP) in row.node.capabilities:
            yield _overdue(rule, row, look)
    else:
        yield _instance(rule, row, look)


def _unmanaged(row: Instance) -> Condition:
    text = f"{row.name} appeared on {row.node.name}; it was made outside LibGo and nobody adopted it."
    about: dict[str, Any] = {"instance_uid": row.pk, "node_uid": row.node_id}
    return Condition(f"instance:{row.pk}", row.name, text, True, False, **about)


def _overdue(rule: AlertRule, row: Instance, look: Look) -> Condition:
    last = look.backed_up.get(row.pk)
    hours = max(0.0, (django_timezone.now() - (last or row.created_at)).total_seconds() / 3600)
    about: dict[str, Any] = {"project_uid": row.project_id, "instance_uid": row.pk, "node_uid": row.node_id}
    found = _measured(rule, f"instance:{row.pk}", row.name, hours, False, about)
    # In whole hours: the text is told anew whenever it differs.
    since = tell(f"Its last backup is {int(hours)} hours old") if last else tell("There is no backup of it")
    text = f"{row.name} was not backed up for {rule.threshold or 0:g} hours. {since}."
    return replace(found, text=text)


def _node(rule: AlertRule, node: Node, look: Look) -> Condition:
    subject = f"node:{node.pk}"
    about: dict[str, Any] = {"node_uid": node.pk}
    if AlertKind(rule.kind) is AlertKind.NODE_UNREACHABLE:
        text = f"{node.name} cannot be reached: {node.error or tell('not seen yet')}"
        return Condition(subject, node.name, text, not node.is_reachable, node.is_reachable, node_uid=node.pk)
    value = None
    if rule.metric == "storage_percent":
        if node.storage_total_bytes and node.storage_used_bytes is not None:
            value = 100 * node.storage_used_bytes / node.storage_total_bytes
    elif (measures := look.measured.get(str(node.pk))) is not None and node.is_reachable:
        value = _value(rule.metric, measures)
        if rule.metric == "cpu_percent" and value is not None and node.cpu_cores:
            # Of the whole host, not of one core.
            value /= node.cpu_cores
    return _measured(rule, subject, node.name, value, False, about)


def _pools(rule: AlertRule) -> Iterator[Condition]:
    rows: QuerySet[Resource] = Resource.objects.filter(kind="pool").select_related("node")
    for row in rows.filter(node=rule.node_id) if rule.node_id else rows:
        capacity, used = row.data.get("capacity"), row.data.get("allocation")
        value = 100 * used / capacity if capacity and used is not None else None
        about: dict[str, Any] = {"node_uid": row.node_id}
        yield _measured(rule, f"pool:{row.pk}", f"{row.name} ({row.node.name})", value, False, about)


def _failed(rule: AlertRule) -> Iterator[Condition]:
    """The newest end of each (action, thing) within the hour; a later success ends the alert."""
    bad = (OperationState.FAILED.value, OperationState.INTERRUPTED.value)
    since = django_timezone.now() - _FAILED_FOR
    rows = Operation.objects.filter(finished_at__gte=since, parent=None)
    rows = rows.filter(state__in=[*bad, OperationState.SUCCEEDED.value])
    if rule.action:
        rows = rows.filter(Q(action=rule.action) | Q(action__startswith=f"{rule.action}."))
    if rule.project_id is not None:
        rows = rows.filter(project=rule.project_id)
    if rule.instance_uid is not None:
        rows = rows.filter(instance_uid=rule.instance_uid)
    seen = set()
    columns = ("action", "state", "instance_uid", "instance_name", "target", "project_id", "node_id")
    for row in rows.order_by("-finished_at").values(*columns, "error_message")[:500]:
        thing = str(row["instance_uid"] or row["target"])[:48]
        subject = f"operation:{row['action'][:48]}:{thing}"
        if subject in seen:
            continue
        seen.add(subject)
        name = row["instance_name"] or row["target"] or row["action"]
        text = tell(f"{row['action']} of {name} failed: {row['error_message']}")
        is_bad = row["state"] in bad
        yield Condition(
            subject,
            name[:255],
            text,
            is_bad,
            not is_bad,
            None,
            row["project_id"],
            row["instance_uid"],
            row["node_id"],
        )


def _measured(
    rule: AlertRule, subject: str, name: str, value: float | None, is_off: bool, about: dict[str, Any]
) -> Condition:
    threshold = rule.threshold or 0.0
    clear_at = threshold if rule.clear_threshold is None else rule.clear_threshold
    if value is None:
        return Condition(subject, name, f"{name} is not measured.", False, is_off, None, **about)
    is_bad = value > threshold if rule.above else value < threshold
    is_clear = value <= clear_at if rule.above else value >= clear_at
    word = metric_word(rule.metric)
    measured, bound = amount_text(rule.metric, value), amount_text(rule.metric, threshold, trim=True)
    text = tell(f"{name}: {word} is {measured}, {'above' if rule.above else 'below'} {bound}.")
    return Condition(subject, name, text, is_bad, is_clear and not is_bad, round(value, 2), **about)


def _value(metric: str, measures: dict[str, float | None]) -> float | None:
    if metric != "memory_percent":
        return measures.get(metric)
    used, limit = measures.get("memory_bytes"), measures.get("memory_limit_bytes")
    return 100 * used / limit if used is not None and limit else None


def _mean(subject: str, samples: list[dict[str, Any]]) -> dict[str, float | None] | None:
    """The mean of each measure; None when the newest sample is old."""
    collector, many, at_s = Collector(), [], 0.0
    for sample in samples:
        at_s = datetime.fromisoformat(sample["timestamp"].replace("Z", "+00:00")).timestamp()
        many.append(collector.measures(subject, at_s, sample))
    if not many or datetime.now(timezone.utc).timestamp() - at_s > USAGE_FRESH_S:
        return None
    found: dict[str, float | None] = {}
    for name in many[0]:
        known = [value for measures in many if (value := measures[name]) is not None]
        found[name] = sum(known) / len(known) if known else None
    limit = samples[-1].get("memory_limit_bytes")
    return {**found, "memory_limit_bytes": float(limit) if limit else None}
