"""Schedules at work: what is due runs once, what it made is counted, what is too old of that goes.

Every process may call these at any time; rows and constraints decide who does what.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit
from compute.errors import ComputeError, InvalidInput, InvalidState, NotFound, PermissionDenied
from compute.events import Fact, event_publish
from compute.models import Instance, Operation, Schedule, ScheduleMade, ScheduleRun
from compute.selectors.access import action_require, actor_for
from compute.selectors.schedules import run_is_active, schedule_get
from compute.services.actions import InstanceAction, NodeAction, any_action_get
from compute.services.bulk import BulkRequest, bulk_submit, credential_again
from compute.services.cron import cron_latest, cron_next
from compute.services.retention import keep_check, kept
from compute.services.schedules import schedule_filter, schedule_hindrance
from compute.services.tokens import tokens_alive
from compute.states import ACTIVE_OPERATION_STATES, MissedPolicy, OperationState, OverlapPolicy, RunState

log = structlog.get_logger(__name__)

# The clock is looked at every ten seconds; what is later than this was missed.
ON_TIME = timedelta(seconds=90)
_BATCH = 100
_RUNS_KEPT = 500
_RETRY_REMOVAL = timedelta(hours=1)


def schedules_due(now: datetime | None = None) -> None:
    """Begin what is due."""
    at = now or timezone.now()
    rows = Schedule.objects.filter(is_enabled=True, next_at__lte=at).order_by("next_at")
    for schedule_id in list(rows.values_list("pk", flat=True)[:_BATCH]):
        try:
            _due(schedule_id, at)
        except ComputeError as error:
            log.warning("schedule_not_run", schedule=str(schedule_id), reason=error.message)


def schedules_orphaned() -> None:
    """Pause those whose owner or token is over, also before they are due: what is shown is what will be."""
    no_owner = Q(owner=None) | Q(owner__is_active=False)
    no_token = Q(scope__isnull=False) & ~Exists(tokens_alive().filter(pk=OuterRef("token_uid")))
    lost = Schedule.objects.filter(no_owner | no_token, is_enabled=True).values_list("pk", flat=True)
    for schedule_id in list(lost[:_BATCH]):
        with transaction.atomic():
            locked = Schedule.objects.select_for_update(of=("self",), no_key=True).select_related("owner")
            row = locked.filter(pk=schedule_id, is_enabled=True).first()
            if row is not None and (hindrance := schedule_hindrance(row)):
                _pause(row, hindrance)


def schedule_run_now(actor: Actor, id_or_name: str | uuid.UUID) -> ScheduleRun:
    """Once, besides its times, as its owner; whoever presses must themselves be allowed the action.
    Raises ``InvalidState`` while a run is under way and runs must not overlap."""
    with transaction.atomic():
        row = Schedule.objects.select_for_update(no_key=True).get(pk=schedule_get(actor, id_or_name).pk)
        action_require(actor, "schedule.run", row.project_id)
        action_require(actor, any_action_get(row.action).needs, row.project_id)
        if row.overlap == OverlapPolicy.SKIP and run_is_active(row):
            raise InvalidState("Its last run is still under way.", state="running")
        run = ScheduleRun(schedule=row, planned_at=timezone.now(), is_manual=True)
        audit(actor, "schedule.run", row.name, target_uid=row.pk)
        _carry_out(row, run)
    return run


def _due(schedule_id: uuid.UUID, now: datetime) -> None:
    with transaction.atomic():
        rows = Schedule.objects.select_for_update(of=("self",), no_key=True).select_related(
            "owner", "project"
        )
        row = rows.filter(pk=schedule_id, is_enabled=True, next_at__lte=now).first()
        if row is None or row.next_at is None:
            return
        planned = cron_latest(row.cron, row.timezone, row.next_at, now)
        following = cron_next(row.cron, row.timezone, now)
        Schedule.objects.filter(pk=row.pk).update(next_at=following)
        if hindrance := schedule_hindrance(row):
            _pause(row, hindrance)
            return
        run = ScheduleRun(schedule=row, planned_at=planned)
        reason = _not_now(row, planned, now)
        if reason:
            run.state, run.reason, run.is_collected = RunState.SKIPPED.value, reason, True
            _written(run)
        else:
            _carry_out(row, run)
    _history_trim(row)


def _not_now(row: Schedule, planned: datetime, now: datetime) -> str:
    late = now - planned
    if late > ON_TIME:
        within = timedelta(seconds=row.missed_within_s)
        if row.missed == MissedPolicy.SKIP or late > within:
            return f"It was missed: LibGo looked {int(late.total_seconds() // 60)} minutes too late."
    if row.overlap == OverlapPolicy.SKIP and run_is_active(row):
        return "Its last run was still under way."
    return ""


def _written(run: ScheduleRun) -> bool:
    """False when that time has a run already, which another process began."""
    try:
        with transaction.atomic():
            run.save()
    except IntegrityError:
        return False
    return True


def _carry_out(row: Schedule, run: ScheduleRun) -> None:
    """Ask for it as the owner, in the transaction that writes the run: both are there, or neither."""
    run.state = RunState.STARTED.value
    if not _written(run):
        return
    actor = Actor(row.owner_id, row.owner.get_username() if row.owner else "system")
    try:
        with transaction.atomic():
            actor = schedule_actor(row)
            run.operation = _ask(actor, row, run.planned_at)
        run.is_collected = run.operation is None
    except ComputeError as error:
        run.state, run.reason, run.is_collected = RunState.REFUSED.value, error.message[:500], True
        audit(actor, "schedule.refused", row.name, target_uid=row.pk, result=error.code)
        _tell(row, "schedule.refused", f"The schedule {row.name} could not run: {error.message}")
    else:
        _tell(row, "schedule.ran", f"The schedule {row.name} began.", run.operation)
    run.save()


def schedule_actor(row: Schedule) -> Actor:
    """The owner, with the rights of now, within those of the token it was written with. Raises
    ``PermissionDenied`` when the account cannot be used, ``Unauthenticated`` when the token cannot."""
    if row.owner is None or not row.owner.is_active:
        raise PermissionDenied("The account of its owner is gone or was switched off.")
    credential = credential_again(row.token_uid, row.scope)
    actor = actor_for(row.owner, request_id=f"schedule-{row.pk}", credential=credential)
    return replace(actor, via="schedule")


def _ask(actor: Actor, row: Schedule, planned: datetime) -> Operation | None:
    action = any_action_get(row.action)
    action_require(actor, action.needs, row.project_id)
    if isinstance(action, NodeAction):
        return action.act(actor, row.target["node"], row.options)
    return bulk_submit(actor, _request(row, action, planned))


def _request(row: Schedule, action: InstanceAction, planned: datetime) -> BulkRequest:
    options: Mapping[str, Any] = row.options
    if action.kept is not None:
        options = action.kept.named(options, _stamp(row, planned))
    ids = row.target.get("ids")
    return BulkRequest(
        row.action,
        None if ids is None else [uuid.UUID(each) for each in ids],
        schedule_filter(row) if ids is None else None,
        options,
        project=row.project,
    )


def _stamp(row: Schedule, planned: datetime) -> str:
    """A name for what one run makes, such as “auto-nightly-20260131-023000”."""
    word = re.sub(r"[^a-z0-9]+", "-", row.name.lower()).strip("-")[:32] or "run"
    return f"auto-{word}-{planned.astimezone(ZoneInfo(row.timezone)):%Y%m%d-%H%M%S}"


def _pause(row: Schedule, reason: str) -> None:
    Schedule.objects.filter(pk=row.pk).update(is_enabled=False, paused_reason=reason)
    audit(Actor(None, "system"), "schedule.pause", row.name, target_uid=row.pk, details={"reason": reason})
    _tell(row, "schedule.paused", f"The schedule {row.name} was paused. {reason}")


def _tell(row: Schedule, fact: str, message: str, operation: Operation | None = None) -> None:
    details = {"schedule": str(row.pk), "name": row.name}
    if operation is not None:
        details["operation"] = str(operation.pk)
    username = row.owner.get_username() if row.owner else "system"
    event_publish(Fact(fact, message, project_id=row.project_id, username=username, details=details))


def _history_trim(row: Schedule) -> None:
    old = ScheduleRun.objects.filter(schedule=row, is_collected=True).values_list("pk", flat=True)
    ids = list(old[_RUNS_KEPT : _RUNS_KEPT + _BATCH])
    if ids:
        ScheduleRun.objects.filter(pk__in=ids).delete()


def made_collect() -> None:
    """Write down what ended runs made."""
    active = sorted(ACTIVE_OPERATION_STATES)
    runs = ScheduleRun.objects.filter(is_collected=False).exclude(operation__state__in=active)
    for run in runs.select_related("schedule", "operation")[:_BATCH]:
        action = _maker(run.schedule)
        made: list[ScheduleMade] = []
        if action is not None and action.kept is not None and run.operation is not None:
            good = Operation.objects.filter(parent=run.operation, state=OperationState.SUCCEEDED.value)
            made = [
                ScheduleMade(
                    schedule=run.schedule,
                    instance_uid=child.instance_uid,
                    name=action.kept.name_of(child),
                    made_at=run.planned_at,
                )
                for child in good.exclude(instance_uid=None)
            ]
        with transaction.atomic():
            ScheduleMade.objects.bulk_create([each for each in made if each.name], ignore_conflicts=True)
            ScheduleRun.objects.filter(pk=run.pk).update(is_collected=True)


def _maker(row: Schedule) -> InstanceAction | None:
    """Its action, if that makes something; None also when the part that brought it was switched off."""
    try:
        action = any_action_get(row.action)
    except InvalidInput:
        return None
    return action if isinstance(action, InstanceAction) and action.kept is not None else None


def retention_of_schedules(now: datetime | None = None) -> None:
    """Remove what is no longer kept, one thing of an instance at a time: only what stands in
    ``ScheduleMade``, as the owner of the schedule, with the rights of now."""
    at = now or timezone.now()
    _removed_forget()
    for row in Schedule.objects.exclude(keep={}).select_related("owner", "project"):
        action = _maker(row)
        if action is None:
            continue
        for made in _superfluous(row):
            if made.removal_id is None and (made.tried_at is None or made.tried_at < at - _RETRY_REMOVAL):
                _remove(row, action, made, at)


def _superfluous(row: Schedule) -> list[ScheduleMade]:
    """Of each instance the oldest one that is not kept."""
    found: dict[uuid.UUID, list[ScheduleMade]] = defaultdict(list)
    for made in ScheduleMade.objects.filter(schedule=row).order_by("made_at"):
        found[made.instance_uid].append(made)
    keep, zone = keep_check(row.keep), ZoneInfo(row.timezone)
    oldest = []
    for things in found.values():
        staying = kept([made.made_at for made in things], keep, zone)
        oldest += [made for place, made in enumerate(things) if place not in staying][:1]
    return oldest


def _remove(row: Schedule, action: InstanceAction, made: ScheduleMade, now: datetime) -> None:
    assert action.kept is not None
    instance = Instance.objects.filter(pk=made.instance_uid).first()
    if instance is None:
        made.delete()
        return
    if instance.operations.filter(state__in=sorted(ACTIVE_OPERATION_STATES)).exists():
        return
    problem = ""
    try:
        with transaction.atomic():
            removal = action.kept.remove(schedule_actor(row), instance, made.name)
            ScheduleMade.objects.filter(pk=made.pk).update(removal=removal, tried_at=now)
    except NotFound:
        # Somebody removed it before.
        made.delete()
    except ComputeError as error:
        problem = error.message[:500]
        ScheduleMade.objects.filter(pk=made.pk).update(tried_at=now)
    if problem != row.keep_problem:
        row.keep_problem = problem
        Schedule.objects.filter(pk=row.pk).update(keep_problem=problem)


def _removed_forget() -> None:
    over = ScheduleMade.objects.exclude(removal=None).exclude(
        removal__state__in=sorted(ACTIVE_OPERATION_STATES)
    )
    good = Q(removal__state=OperationState.SUCCEEDED.value)
    over.filter(good).delete()
    over.exclude(good).update(removal=None)
