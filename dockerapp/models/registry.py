"""Registries and who LibGo is there."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models import Project


class Registry(models.Model):
    """A registry and who LibGo is there. Without a project it serves the whole site."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    # As image names begin with it: “registry.example.com:5000”.
    host = models.CharField(max_length=255, db_index=True)
    username = models.CharField(max_length=255, blank=True)
    # Sealed by compute.sealing; empty without a password.
    password_seal = models.TextField(blank=True, editable=False)
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="registries"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "registries"

    def __str__(self) -> str:
        return self.name
