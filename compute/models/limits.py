"""How much may be used: of the site and by each user. Those of a project are columns of its own."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Maximums(models.Model):
    """Null: no limit."""

    max_instances = models.PositiveIntegerField(null=True, blank=True)
    max_cpu_cores = models.FloatField(null=True, blank=True)
    max_memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    max_storage_bytes = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class SiteLimits(Maximums):
    """One row. Null in the other columns: what the configuration says."""

    ID = 1

    # What an instance counts for that states no limit of its own.
    assumed_cpu_cores = models.FloatField(null=True)
    assumed_memory_bytes = models.PositiveBigIntegerField(null=True)
    # How often a node's CPU and memory may be given away; 0: any number of times.
    cpu_overcommit = models.FloatField(null=True)
    memory_overcommit = models.FloatField(null=True)

    def __str__(self) -> str:
        return "limits of the site"


class UserLimits(Maximums):
    """Of all that a user has created, in whatever project."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="limits"
    )

    def __str__(self) -> str:
        return f"limits of {self.user_id}"
