"""Who may come in: accounts, refresh tokens, and the memory of repeated requests."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """An account. ``is_superuser`` is the site-wide admin; all other rights are memberships."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Raised to turn away every access token given out before (password change, deactivation).
    token_version = models.PositiveIntegerField(default=0, editable=False)
    # "totp": a code is asked for at each sign-in; "provider": the OpenID provider sees to it.
    second_factor = models.CharField(max_length=16, blank=True, editable=False)
    # One of ``settings.LANGUAGES``; empty: as the browser asks, else as the site says.
    language = models.CharField(max_length=16, blank=True, default="")


class RefreshToken(models.Model):
    """One link of a rotation chain. Spending it is one conditional UPDATE of ``spent_at``; a
    second try to spend it is a theft sign and revokes the whole ``family``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    family = models.UUIDField(db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    spent_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.family}"


class IdempotencyKey(models.Model):
    """A client's key for one creating request; the same key answers with the same operation."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64, help_text=_("SHA-256 of method, path and body."))
    operation = models.ForeignKey("compute.Operation", on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
