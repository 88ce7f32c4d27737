"""The mirror of what engines hold beside instances: images, networks, volumes ..."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.node import Node
from compute.models.project import Project


class Resource(models.Model):
    """One thing as it was last observed. Without a project it belongs to the host: every member
    sees it, and only administrators change it. What is marked for a project that is not known here (of
    another LibGo on the same engine, or of before a restore) is for administrators alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="resources")
    kind = models.CharField(max_length=32)
    engine_id = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="resources")
    is_foreign = models.BooleanField(default=False, db_default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    size_bytes = models.PositiveBigIntegerField(null=True)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node", "kind", "engine_id"], name="one_row_per_engine_resource")
        ]
        indexes = [models.Index(fields=["kind", "name"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def is_of_host(self) -> bool:
        return self.project_id is None and not self.is_foreign


class ResourceLook(models.Model):
    """When the complete list of one kind on one node that was written last had begun."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=32)
    looked_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "kind"], name="one_look_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.looked_at}"
