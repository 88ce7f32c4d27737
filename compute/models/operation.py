"""One asked-for change, from the intent to its end."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.instance import Instance
from compute.models.node import Node
from compute.models.project import Project
from compute.states import ACTIVE_OPERATION_STATES, OperationState, action_words

_ACTIVE = sorted(state.value for state in ACTIVE_OPERATION_STATES)
# Of what web and workers write into a row for each other: the action, its params, the steps to take back.
# When to raise it: docs/architecture.md, “Upgrades”.
PAYLOAD_VERSION = 1


def payload_version_own() -> int:
    """Of this code. A function, so that a higher one is no migration."""
    return PAYLOAD_VERSION


class Operation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    action = models.CharField(max_length=64)
    state = models.CharField(
        max_length=16, choices=OperationState.choices(), default=OperationState.QUEUED.value
    )
    progress = models.FloatField(default=0)
    step = models.CharField(max_length=255, blank=True)
    params = models.JSONField(default=dict)
    # Of whoever wrote last what others must read: the web, then the worker that took it.
    payload_version = models.PositiveSmallIntegerField(default=payload_version_own, db_default=1)
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=2000, blank=True)
    error_details = models.JSONField(default=dict)

    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="operations")
    # These stay when the instance is gone.
    instance_uid = models.UUIDField(null=True, db_index=True)
    instance_name = models.CharField(max_length=255, blank=True)
    # What it works on when that is no instance: an image, a network, a stack ...
    target = models.CharField(max_length=255, blank=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="operations")
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="operations")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="operations"
    )
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    # It does nothing itself: it is over when its children are, and no worker holds a lease on it.
    is_parent = models.BooleanField(default=False)
    request_id = models.CharField(max_length=64, blank=True)
    # By what it was asked for, and from where: for the audit, and so that it never does more than that.
    remote_address = models.CharField(max_length=64, blank=True)
    token_uid = models.UUIDField(null=True, blank=True)
    without_admin = models.BooleanField(default=False)
    # The rest of it: compute.audit.origin_of.
    origin = models.JSONField(default=dict)

    may_cancel = models.BooleanField(default=False)
    cancel_requested = models.BooleanField(default=False)
    # Steps to take back, oldest first; written before the effect they undo.
    undo_steps = models.JSONField(default=list)
    # The operation is over, but its engine was away when the steps should have been taken back.
    undo_pending = models.BooleanField(default=False)
    # Every claim raises the fence; a writer with an older fence changes nothing.
    fence = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)
    dispatched_at = models.DateTimeField(null=True)

    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instance"],
                condition=models.Q(state__in=_ACTIVE),
                name="one_active_operation_per_instance",
            )
        ]
        indexes = [
            models.Index(fields=["state", "lease_until"]),
            models.Index(fields=["project", "-created_at"]),
            models.Index(fields=["state"], condition=models.Q(is_parent=True), name="parents_by_state"),
            models.Index(
                fields=["undo_pending"], condition=models.Q(undo_pending=True), name="undo_is_pending"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}".strip()

    @property
    def told(self) -> str:
        """How it stands, for people: “Pull image nginx:1.27: running.”"""
        words = f"{action_words(self.action)} {self.subject}".strip()
        return f"{words[:1].upper()}{words[1:]}: {self.state}."

    @property
    def subject(self) -> str:
        """The name of what it works on."""
        return self.instance_name or self.target


class OperationLog(models.Model):
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="log_lines")
    timestamp = models.DateTimeField(auto_now_add=True)
    line = models.CharField(max_length=2000)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.line
