"""Shapes of schedules."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, OperationShape, Paged, ProjectRef
from compute.states import MissedPolicy, OverlapPolicy

_MISSED = [word.value for word in MissedPolicy]
_OVERLAP = [word.value for word in OverlapPolicy]
_WITHIN_MAX_S = 30 * 86400


class KeepShape(Base[Any]):
    last = s.IntegerField(required=False, min_value=0, max_value=1000)
    hourly = s.IntegerField(required=False, min_value=0, max_value=1000)
    daily = s.IntegerField(required=False, min_value=0, max_value=1000)
    weekly = s.IntegerField(required=False, min_value=0, max_value=1000)
    monthly = s.IntegerField(required=False, min_value=0, max_value=1000)
    yearly = s.IntegerField(required=False, min_value=0, max_value=1000)


class ScheduleUpdateRequest(Base[Any]):
    name = s.CharField(max_length=63, required=False)
    project = s.CharField(max_length=100, required=False)
    cron = s.CharField(max_length=100, required=False, help_text="minute hour day month weekday")
    timezone = s.CharField(max_length=64, required=False, help_text="Of the IANA data base; UTC if left out.")
    action = s.CharField(max_length=64, required=False, help_text="As for bulk, or “prune” for a node.")
    options = s.DictField(required=False)
    target = s.DictField(required=False, help_text="One of ids, filter (asked at each run) and node.")
    missed = s.ChoiceField(_MISSED, required=False, help_text="late: once, within missed_within_s.")
    missed_within_s = s.IntegerField(required=False, min_value=60, max_value=_WITHIN_MAX_S)
    overlap = s.ChoiceField(_OVERLAP, required=False, help_text="While its last run is under way.")
    keep = s.DictField(required=False, help_text="last, hourly, daily, weekly, monthly, yearly: how many.")
    is_enabled = s.BooleanField(required=False)


class ScheduleCreateRequest(ScheduleUpdateRequest):
    name = s.CharField(max_length=63)
    cron = s.CharField(max_length=100, help_text="minute hour day month weekday")
    action = s.CharField(max_length=64, help_text="As for bulk, or “prune” for a node.")
    target = s.DictField(help_text="One of ids, filter (asked at each run) and node.")


class ScheduleRunShape(Base[Any]):
    id = s.IntegerField()
    planned_at = s.DateTimeField()
    started_at = s.DateTimeField()
    is_manual = s.BooleanField()
    state = s.CharField(help_text="skipped, refused, started, or the state of its operation.")
    reason = s.CharField(allow_null=True)
    operation = s.UUIDField(allow_null=True)
    result = s.DictField()


class ScheduleRunPage(Paged):
    items = ScheduleRunShape(many=True)


class ScheduleShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    project = ProjectRef()
    owner = s.CharField(allow_null=True, help_text="As whom it runs.")
    cron = s.CharField()
    timezone = s.CharField()
    action = s.CharField()
    options = s.DictField()
    target = s.DictField()
    missed = s.ChoiceField(_MISSED)
    missed_within_s = s.IntegerField()
    overlap = s.ChoiceField(_OVERLAP)
    keep = KeepShape()
    keep_problem = s.CharField(allow_null=True)
    is_enabled = s.BooleanField()
    paused_reason = s.CharField(allow_null=True)
    next_at = s.DateTimeField(allow_null=True)
    last_run = ScheduleRunShape(allow_null=True)
    created_at = s.DateTimeField()
    updated_at = s.DateTimeField()


class SchedulePage(Paged):
    items = ScheduleShape(many=True)


class SchedulePreviewRequest(Base[Any]):
    cron = s.CharField(max_length=100)
    timezone = s.CharField(max_length=64, required=False)


class SchedulePreviewShape(Base[Any]):
    cron = s.CharField()
    timezone = s.CharField()
    words = s.CharField()
    next = s.ListField(child=s.DateTimeField())


class ScheduleRunAnswer(Base[Any]):
    run = ScheduleRunShape()
    operation = OperationShape(allow_null=True)
