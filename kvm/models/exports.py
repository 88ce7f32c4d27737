"""Machines as files."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models import Node, Operation, Project


class Export(models.Model):
    """A machine as a file that was asked for. How far it is stands in its operation; once the file is
    whole, ``finished_at`` is set. The machine may be gone by then."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    operation = models.OneToOneField(Operation, null=True, on_delete=models.SET_NULL, related_name="+")
    instance_uid = models.UUIDField(db_index=True)
    instance_name = models.CharField(max_length=255)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    format = models.CharField(max_length=8)
    options = models.JSONField(default=dict)
    file_name = models.CharField(max_length=255)
    size_bytes = models.PositiveBigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"export of {self.instance_name}"
