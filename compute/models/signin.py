"""Ways to come in beside the password: personal tokens, second factors, outside directories; and the
record of each sign-in that still holds."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from compute.states import Role


class ApiToken(models.Model):
    """``Authorization: Token libgo_<prefix>_<secret>``; only the SHA-256 of the secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=63)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(help_text=_("Words of compute.states.TOKEN_SCOPES."))
    # Null: all of the account's. Ids and no relation: a deleted project must not widen the token.
    project_uids = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_address = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="api_token_name_once")]

    def __str__(self) -> str:
        return self.name


class SignIn(models.Model):
    """One session: of the pages (``session_key``), or of the API, whose refresh tokens carry this id as
    their family."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_ins")
    kind = models.CharField(max_length=8, choices=[("page", "page"), ("api", "api")])
    method = models.CharField(max_length=32)
    session_key = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    remote_address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_used_at"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.user_id}"


class SecondFactor(models.Model):
    """A TOTP secret (RFC 6238), sealed. ``last_step`` is the newest time step whose code was taken: a
    code works once."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    secret = models.TextField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """Instead of the second factor, once; only its SHA-256 is kept (80 random bits need no salt)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class DirectoryIdentity(models.Model):
    """Which account a person of an outside directory has here. The subject is what the directory never
    gives to another person (OIDC ``sub``, LDAP entryUUID); names and addresses prove nothing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="directory"
    )
    provider = models.CharField(max_length=255, help_text=_("The issuer's URL, or ldap."))
    subject = models.CharField(max_length=255)
    groups = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "subject"], name="directory_subject_once")]

    def __str__(self) -> str:
        return f"{self.subject} of {self.provider}"


class DirectoryGrant(models.Model):
    """A role that the directory's groups gave, so that only these are taken back. Without a project it
    is the site's administration."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey("compute.Project", on_delete=models.CASCADE, null=True, related_name="+")
    role = models.CharField(max_length=16, choices=Role.choices())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project"], name="one_grant_per_project")]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.project_id} by the directory"
