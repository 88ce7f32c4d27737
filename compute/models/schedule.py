"""Work that comes again: what, when, as whom; each run once, and what was made by it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.operation import Operation
from compute.models.project import Project
from compute.states import MissedPolicy, OverlapPolicy, RunState


class Schedule(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="schedules")
    # It runs as this account, with the rights that one has then. Written with a personal token, it does no
    # more than ``scope``, what the token let through at that time, and than the token lets through now.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="schedules"
    )
    scope = models.JSONField(null=True, editable=False)
    # An id and no relation: that the token is gone must show.
    token_uid = models.UUIDField(null=True, editable=False, db_index=True)
    name = models.CharField(max_length=63)
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=64, default="UTC")
    action = models.CharField(max_length=64)
    options = models.JSONField(default=dict)
    # {"ids": [...]}, {"filter": {...}} evaluated when it runs, or {"node": name}.
    target = models.JSONField(default=dict)
    missed = models.CharField(max_length=8, choices=MissedPolicy.choices(), default=MissedPolicy.SKIP.value)
    missed_within_s = models.PositiveIntegerField(default=3600)
    overlap = models.CharField(
        max_length=8, choices=OverlapPolicy.choices(), default=OverlapPolicy.SKIP.value
    )
    # How many of what it makes stay: {"last": 3, "daily": 7 ...}; empty: all.
    keep = models.JSONField(default=dict)
    keep_problem = models.CharField(max_length=500, blank=True, editable=False)
    is_enabled = models.BooleanField(default=True)
    paused_reason = models.CharField(max_length=255, blank=True)
    next_at = models.DateTimeField(null=True, db_index=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="schedule_name_once")]

    def __str__(self) -> str:
        return self.name


class ScheduleRun(models.Model):
    """One time at which it was due. The constraint is what makes it run once, however many clocks ring."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="runs")
    planned_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    is_manual = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=RunState.choices())
    reason = models.CharField(max_length=500, blank=True)
    operation = models.OneToOneField(
        Operation, null=True, on_delete=models.SET_NULL, related_name="schedule_run"
    )
    # What it made is written down in ``ScheduleMade``.
    is_collected = models.BooleanField(default=False)

    class Meta:
        ordering = ["-planned_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["schedule", "planned_at"], name="schedule_runs_once")]
        indexes = [
            models.Index(
                fields=["is_collected"], condition=models.Q(is_collected=False), name="runs_to_collect"
            )
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.planned_at}"


class ScheduleMade(models.Model):
    """Something that a run made, such as a snapshot: only what stands here does retention ever remove."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="made")
    instance_uid = models.UUIDField()
    name = models.CharField(max_length=255)
    made_at = models.DateTimeField()
    removal = models.ForeignKey(Operation, null=True, on_delete=models.SET_NULL, related_name="+")
    tried_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["schedule", "instance_uid", "name"], name="schedule_made_once")
        ]

    def __str__(self) -> str:
        return self.name
