"""The append-only record of who did what, and the chain of hashes over it.

Rows of these tables are never changed, and go only by the retention rule: triggers of the database
refuse everything else (``compute.audit_guards``).
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from compute.states import Outcome


class AuditEvent(models.Model):
    """``result`` is the word or error code of the ``outcome``; ``details`` holds no secrets. Ids are
    plain values: a row outlives what it tells about."""

    timestamp = models.DateTimeField(auto_now_add=True, db_index=True)
    user_uid = models.UUIDField(null=True, db_index=True)
    username = models.CharField(max_length=150, blank=True)
    method = models.CharField(max_length=16, blank=True, default="")
    action = models.CharField(max_length=64, db_index=True)
    target = models.CharField(max_length=255, blank=True)
    target_uid = models.UUIDField(null=True, db_index=True)
    project_uid = models.UUIDField(null=True, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices(), default=Outcome.OK.value)
    result = models.CharField(max_length=64)
    remote_address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=120, blank=True, default="")
    request_id = models.CharField(max_length=64, blank=True)
    details = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.username} {self.action} {self.target}: {self.result}"


class AuditSeal(models.Model):
    """One link of the chain: the row's place in it, and SHA-256 over the hash before and the row. Apart
    from the row, because rows are written side by side and sealed one after the other."""

    seq = models.BigIntegerField(primary_key=True)
    audit_id = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64)
    sealed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.seq}: {self.hash[:12]}"


class AuditTombstone(models.Model):
    """What the retention rule cut off: everything up to ``up_to_seq``, whose hash was ``hash``. Signed
    with the site's key, so that nobody who only has the database can pretend a cut."""

    up_to_seq = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64)
    rows = models.BigIntegerField()
    newest_at = models.DateTimeField(help_text=_("Everything older than this went."))
    reason = models.CharField(max_length=200)
    cut_at = models.DateTimeField()
    signature = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"cut up to {self.up_to_seq}"
