"""Interactive sessions that are open, so that the end of each is told whatever becomes of its process."""

from __future__ import annotations

import uuid

from django.db import models


class OpenSession(models.Model):
    """Written with the audit's row of the beginning, and removed with that of the end. Ids are plain values,
    as in the audit: the session of an account or instance that is gone ends like any other."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    action = models.CharField(max_length=64)
    instance_uid = models.UUIDField()
    instance_name = models.CharField(max_length=255)
    details = models.JSONField(default=dict)
    user_uid = models.UUIDField(null=True)
    username = models.CharField(max_length=150)
    method = models.CharField(max_length=16, blank=True)
    remote_address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    token_uid = models.UUIDField(null=True)
    began_at = models.DateTimeField()
    # Its process says now and then that it is there; when this is long ago, the process is not.
    seen_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.username} in {self.instance_name}"
