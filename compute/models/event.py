"""Facts that screens and programs follow."""

from __future__ import annotations

from django.db import models


class Event(models.Model):
    """``type`` is a fact (``instance.started``), ``action`` the operation that caused it, if one
    did. Ids are kept as plain values: an event outlives what it tells about."""

    seq = models.BigAutoField(primary_key=True)
    type = models.CharField(max_length=64, db_index=True)
    action = models.CharField(max_length=64, blank=True)
    instance_uid = models.UUIDField(null=True, db_index=True)
    instance_name = models.CharField(max_length=255, blank=True)
    operation_uid = models.UUIDField(null=True)
    node_uid = models.UUIDField(null=True)
    project_uid = models.UUIDField(null=True, db_index=True)
    user_uid = models.UUIDField(null=True)
    username = models.CharField(max_length=150, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    details = models.JSONField(default=dict)
    timestamp = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"
