"""The mirror: every instance of every engine as it was last observed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from compute.models.node import Node
from compute.models.project import Project
from compute.states import InstanceState, InstanceType


class InstanceRows(models.QuerySet["Instance"]):
    """Every change moves ``updated_at``: what was made of a row is kept by it."""

    def update(self, **columns: Any) -> int:
        return super().update(**{"updated_at": timezone.now(), **columns})


class Instance(models.Model):
    objects = InstanceRows.as_manager()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="instances")
    # A copy of node.backend, so that lists need no join to filter.
    backend = models.CharField(max_length=32, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="instances")
    # Null: made outside, or by an account that is gone.
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    # Empty while the engine has not made it yet.
    engine_id = models.CharField(max_length=128, blank=True, editable=False)
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=16, choices=InstanceType.choices())
    state = models.CharField(
        max_length=16, choices=InstanceState.choices(), default=InstanceState.CREATED.value, editable=False
    )
    status = models.CharField(max_length=255, blank=True, editable=False)
    health = models.CharField(max_length=32, blank=True, editable=False)
    image = models.CharField(max_length=500, blank=True, editable=False)
    # What the image's name meant when it was made, where the engine tells.
    image_id = models.CharField(max_length=128, blank=True, editable=False)
    config = models.JSONField(default=dict, editable=False)
    cpu_cores = models.FloatField(null=True, editable=False)
    memory_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    storage_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    networks = models.JSONField(default=list, editable=False)
    storage = models.JSONField(default=list, editable=False)
    ports = models.JSONField(default=list, editable=False)
    engine_labels = models.JSONField(default=dict, editable=False)

    # LibGo's own: not in the engine.
    labels = models.JSONField(default=dict, blank=True)
    annotations = models.JSONField(default=dict, blank=True)
    # LibGo made it, or a project adopted it; then it is told when.
    managed = models.BooleanField(default=False, editable=False)
    adopted_at = models.DateTimeField(null=True, editable=False)
    # It appeared, and no standing rule has looked at it yet.
    adoption_due = models.BooleanField(default=False, editable=False)
    pending_changes = models.JSONField(default=dict, editable=False)

    created_at = models.DateTimeField(db_index=True)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    # Of the look that was written last. An operation always sets it, others only with what they change.
    observed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["node", "engine_id"],
                condition=~models.Q(engine_id=""),
                name="one_row_per_engine_instance",
            ),
            # While it is being made nothing in the engine guards its name yet.
            models.UniqueConstraint(
                fields=["node", "name"], condition=models.Q(engine_id=""), name="one_create_per_name"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "state"]),
            models.Index(fields=["node", "name"]),
            models.Index(fields=["node"], condition=models.Q(adoption_due=True), name="instances_to_judge"),
            # The order of the list, read a page at a time.
            models.Index(fields=["name", "id"]),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        fields = None if update_fields is None else {*update_fields, "updated_at"}
        super().save(*args, update_fields=fields, **kwargs)


class InstanceGone(models.Model):
    """An instance that a node no longer has, and when that was known: a look at it that began earlier may
    come to write later, and must not bring it back. Kept for as long as a look can take; when it vanished
    without LibGo's doing for thirty days, with what only LibGo knew of it, should it show up again."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    # Empty: its create ended before the engine's id was known; then the id that it bore as a mark tells.
    engine_id = models.CharField(max_length=128, blank=True)
    instance_uid = models.UUIDField()
    gone_at = models.DateTimeField()
    # Project, maker, labels ... by name of the column; null: it was removed as somebody wished.
    kept = models.JSONField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["node", "gone_at"]),
            models.Index(
                fields=["node", "engine_id"],
                condition=models.Q(kept__isnull=False),
                name="instances_vanished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.engine_id} {self.gone_at}"
