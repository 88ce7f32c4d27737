"""What instances are made from again and again, with every version that there ever was."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.project import Project


class Template(models.Model):
    """Without a project it is the site's: everybody sees it, administrators change it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63)
    description = models.CharField(max_length=500, blank=True)
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="templates")
    backend = models.CharField(max_length=32)
    # The newest version's number.
    version = models.PositiveIntegerField(default=1)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="one_template_per_name"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(project=None), name="one_site_template_per_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """Never changed once it is written."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    # Of a create's body, and sealed: cloud-init and commands may hold what is nobody's business.
    body_sealed = models.TextField()
    parameters = models.JSONField(default=list)
    comment = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="one_row_per_version")]

    def __str__(self) -> str:
        return f"{self.template_id} {self.number}"
