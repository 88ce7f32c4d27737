"""A compose file that was deployed from here, and what became of it."""

from __future__ import annotations

import uuid

from django.db import models

from compute.models import Node, Operation, Project
from compute.states import ACTIVE_OPERATION_STATES

_ACTIVE = sorted(state.value for state in ACTIVE_OPERATION_STATES)
# Of a first deployment that came to nothing, however it ended, only the row may be left.
IS_THERE = ~models.Q(deployed_sealed="") | models.Q(last_operation__state__in=_ACTIVE)


class Stack(models.Model):
    """Its state is not kept: it follows from its instances in the mirror."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="stacks")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="stacks")
    # Also the name that Compose knows it by.
    name = models.CharField(max_length=63)
    # Sealed: the file, the variables, and the model as it was deployed last, because people write passwords
    # into each of them.
    compose_sealed = models.TextField(blank=True, editable=False)
    env_sealed = models.TextField(blank=True, editable=False)
    deployed_sealed = models.TextField(blank=True, editable=False)
    # {service: {"image", "replicas"}} as asked for.
    services = models.JSONField(default=dict, editable=False)
    # Replicas that were asked for since the file was written, by service.
    scale = models.JSONField(default=dict, editable=False)
    last_operation = models.ForeignKey(
        Operation, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "name"], name="one_stack_per_name")]

    def __str__(self) -> str:
        return self.name
