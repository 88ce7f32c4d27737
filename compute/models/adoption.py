"""Standing rules: what appears on a node and was made outside becomes a project's by itself."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.node import Node
from compute.models.project import Project


class AdoptionRule(models.Model):
    """Conditions that all hold; an empty one means any. The first rule that matches decides."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    position = models.PositiveIntegerField(default=0)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="adoption_rules")
    # It adopts as this account, with the rights that one has then; written with a personal token, within what
    # that let through (``scope``) and lets through now. Rules older than these columns do without.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    scope = models.JSONField(null=True, editable=False)
    token_uid = models.UUIDField(null=True, editable=False)
    is_enabled = models.BooleanField(default=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.CASCADE, related_name="adoption_rules")
    backend = models.CharField(max_length=32, blank=True)
    # Patterns as in file names: *, ?, [abc].
    instance_name = models.CharField(max_length=255, blank=True)
    image = models.CharField(max_length=255, blank=True)
    network = models.CharField(max_length=255, blank=True)
    # {label: pattern of its value}
    labels = models.JSONField(default=dict)
    adopted_total = models.PositiveIntegerField(default=0, editable=False)
    last_adopted_at = models.DateTimeField(null=True, editable=False)
    # Why something that it matches was not adopted the last time; empty when all was.
    problem = models.CharField(max_length=1000, blank=True, editable=False)
    problem_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name
