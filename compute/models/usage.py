"""The past of usage: many points of one thing in one row."""

from __future__ import annotations

from django.db import models


class UsageBlock(models.Model):
    """Points of ``step_s`` from ``starts_s`` on (both in seconds, since 1970 in UTC), as
    ``compute.usage.codec`` packs them. The subject is an instance, a node, or a project on a node
    (``compute.usage.points.project_subject``), by id and without a relation: a thousand rows do not stand
    in the way of a delete."""

    subject = models.UUIDField()
    step_s = models.PositiveIntegerField()
    starts_s = models.PositiveBigIntegerField()
    # Of blocks of 10 s: whether the coarser ones have its points.
    is_rolled = models.BooleanField(default=False)
    updated_s = models.PositiveBigIntegerField()
    # Last, so that SQLite finds the others without walking over it.
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject", "step_s", "starts_s"], name="one_usage_block")
        ]
        indexes = [
            models.Index(fields=["step_s", "starts_s"], name="usage_block_age"),
            models.Index(
                fields=["starts_s"],
                condition=models.Q(step_s=10, is_rolled=False),
                name="usage_block_to_roll",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.step_s}s from {self.starts_s}"


class Turn(models.Model):
    """Whose turn it is to do what one process at a time does, and until when (database time)."""

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=80, blank=True)
    until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
