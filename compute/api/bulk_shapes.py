"""Shapes of bulk requests."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, OperationShape
from compute.services.bulk import ITEMS_MAX


class InstanceFilterShape(Base[Any]):
    """As the list's own filters; what is left out means any."""

    backend = s.CharField(required=False, max_length=32)
    state = s.CharField(required=False, max_length=32)
    type = s.CharField(required=False, max_length=32)
    node = s.CharField(required=False, max_length=100)
    project = s.CharField(required=False, max_length=100)
    image = s.CharField(required=False, max_length=500)
    q = s.CharField(required=False, max_length=200)
    attention = s.BooleanField(required=False)
    mine = s.BooleanField(required=False)
    managed = s.BooleanField(required=False)
    labels = s.DictField(required=False, child=s.CharField(allow_blank=True, max_length=500))


class BulkRequestShape(Base[Any]):
    action = s.CharField(
        max_length=64, help_text="start, stop, restart, pause, unpause, kill, reset, delete, snapshot …"
    )
    ids = s.ListField(child=s.UUIDField(), required=False, max_length=ITEMS_MAX)
    filter = InstanceFilterShape(required=False, help_text="Instead of ids.")
    options = s.DictField(required=False, help_text="As the action's own route takes them.")


class BulkAccepted(Base[Any]):
    operation = OperationShape()
