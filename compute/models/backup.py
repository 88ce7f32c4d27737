"""Where backups go, and which there are. What is in one is told by its own manifest in the target."""

from __future__ import annotations

import uuid

from django.db import models

from compute.models.node import Node
from compute.models.project import Project
from compute.states import BackupState


class BackupTarget(models.Model):
    """A folder or a bucket. Made by administrators; for the projects named here, or for all."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    kind = models.CharField(max_length=16, choices=[("local", "folder"), ("s3", "S3")])
    # local: folder; s3: bucket, endpoint, region, prefix.
    options = models.JSONField(default=dict)
    # s3: access_key and secret_key, sealed with a key outside the database; never read back.
    secrets = models.TextField(default="", blank=True, editable=False)
    projects = models.ManyToManyField(Project, blank=True, related_name="+")
    is_enabled = models.BooleanField(default=True)
    checked_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=1000, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Backup(models.Model):
    """One backup of an instance, which may be gone since; its ids and names are kept as values."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target = models.ForeignKey(BackupTarget, on_delete=models.PROTECT, related_name="backups")
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="backups")
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=16, choices=BackupState.choices(), default=BackupState.CREATING.value)
    instance_uid = models.UUIDField(db_index=True)
    instance_name = models.CharField(max_length=255)
    backend = models.CharField(max_length=32)
    type = models.CharField(max_length=16)
    image = models.CharField(max_length=500, blank=True)
    description = models.CharField(max_length=500, blank=True)
    # What a restore asks for anew (configuration, limits, labels), sealed: it holds environments.
    definition = models.TextField(default="", editable=False)
    size_bytes = models.PositiveBigIntegerField(null=True)
    parts = models.JSONField(default=list)
    username = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=1000, blank=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-created_at"], name="backups_of_project")]

    def __str__(self) -> str:
        return f"backup of {self.instance_name}"
