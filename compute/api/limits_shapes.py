"""Shapes of limits."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import LimitsShape

_CONFIGURED = "null in a request: as the configuration says."


class AmountsUsed(s.Serializer[Any]):
    """What exists, made outside included, and what is under way."""

    instances = s.IntegerField()
    cpu_cores = s.FloatField()
    memory_bytes = s.IntegerField()
    storage_bytes = s.IntegerField()


class LimitsWithUsage(LimitsShape):
    """A null limit is none. ``usage`` is told, and left alone in a request."""

    usage = AmountsUsed(read_only=True)


class SiteLimitsShape(LimitsWithUsage):
    """The maximum in force is the narrower of this and the configuration's."""

    assumed_cpu_cores = s.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1024, help_text=_CONFIGURED
    )
    assumed_memory_bytes = s.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=2**60, help_text=_CONFIGURED
    )
    cpu_overcommit = s.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1000, help_text=_CONFIGURED
    )
    memory_overcommit = s.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1000, help_text=_CONFIGURED
    )
