"""Shapes of stacks, for reading requests and for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as f

from compute.api.serializers import OperationShape


@extend_schema_field(
    {"oneOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"type": "string"}]}
)
class EnvField(f.JSONField):
    """An object of texts, or text of ``NAME=value`` lines."""


class StackValidateRequest(f.Serializer[Any]):
    name = f.CharField(required=False, help_text="The name it will have; it shows in names of networks …")
    compose = f.CharField(required=False, trim_whitespace=False, max_length=1_048_576)
    env = EnvField(required=False)
    node = f.CharField(required=False, max_length=255)
    project = f.CharField(required=False, max_length=255)


class StackCreateRequest(f.Serializer[Any]):
    name = f.CharField(max_length=255)
    compose = f.CharField(
        trim_whitespace=False, max_length=1_048_576, help_text="The text of a compose file, up to 256 KiB."
    )
    env = EnvField(required=False, help_text="Variables for “${NAME}” in the file; kept sealed.")
    node = f.CharField(required=False, max_length=255)
    project = f.CharField(required=False, max_length=255)


class StackUpdateRequest(f.Serializer[Any]):
    compose = f.CharField(required=False, trim_whitespace=False, max_length=1_048_576)
    env = EnvField(required=False, help_text="Replaces all; asterisks keep the value that is there.")


class StackValidateOwnRequest(StackUpdateRequest):
    """What is not given is taken from the stack."""


class StackRedeployRequest(f.Serializer[Any]):
    pull = f.BooleanField(required=False, help_text="Ask the registries for newer images first.")
    recreate = f.BooleanField(required=False, help_text="Make every container anew.")


class StackScaleRequest(f.Serializer[Any]):
    service = f.CharField(max_length=255)
    replicas = f.IntegerField()


class ProblemShape(f.Serializer[Any]):
    reason = f.CharField()
    line = f.IntegerField(allow_null=True, help_text="From 1; null where none can be told.")
    service = f.CharField(allow_blank=True)
    rule = f.CharField(allow_blank=True, help_text="The policy that it breaks, or empty.")
    level = f.ChoiceField(["error", "warning"])


class PlannedServiceShape(f.Serializer[Any]):
    name = f.CharField()
    image = f.CharField(allow_blank=True)
    replicas = f.IntegerField()
    cpu_cores = f.FloatField(allow_null=True, help_text="The limit of one instance.")
    memory_bytes = f.IntegerField(allow_null=True)


class VerdictShape(f.Serializer[Any]):
    valid = f.BooleanField()
    problems = ProblemShape(many=True)
    services = PlannedServiceShape(many=True)


class StackNodeShape(f.Serializer[Any]):
    id = f.UUIDField()
    name = f.CharField()
    status = f.CharField()


class StackProjectShape(f.Serializer[Any]):
    id = f.UUIDField()
    name = f.CharField()


class ServicePortShape(f.Serializer[Any]):
    host_port = f.IntegerField()
    port = f.IntegerField()


class ServiceInstanceShape(f.Serializer[Any]):
    id = f.UUIDField()
    name = f.CharField()
    state = f.CharField()
    status = f.CharField(allow_blank=True)
    health = f.CharField(allow_blank=True)


class ServiceShape(f.Serializer[Any]):
    name = f.CharField()
    type = f.ChoiceField(["service"])
    image = f.CharField(allow_blank=True)
    state = f.CharField(help_text="running, partial, stopped or absent.")
    health = f.CharField(allow_blank=True)
    replicas = f.IntegerField(help_text="How many are wanted.")
    running = f.IntegerField()
    ports = ServicePortShape(many=True)
    instances = ServiceInstanceShape(many=True)


class StackActiveShape(f.Serializer[Any]):
    id = f.UUIDField()
    action = f.CharField()
    state = f.CharField()
    progress = f.FloatField()
    step = f.CharField(allow_blank=True)


class StackShape(f.Serializer[Any]):
    id = f.UUIDField(allow_null=True, help_text="Null for one that was made outside.")
    name = f.CharField()
    managed = f.BooleanField()
    node = StackNodeShape()
    project = StackProjectShape()
    state = f.CharField(help_text="running, partial, stopped or absent.")
    services_up = f.IntegerField()
    services_total = f.IntegerField()
    services = ServiceShape(many=True)
    active_operation = StackActiveShape(allow_null=True)
    last_operation = f.UUIDField(allow_null=True)
    created_at = f.DateTimeField()
    updated_at = f.DateTimeField()


class StackDetailShape(StackShape):
    compose = f.CharField(allow_null=True, help_text="Null without the permission “update”, or made outside.")
    env = f.DictField(child=f.CharField(), allow_null=True, help_text="Secret-looking values are masked.")


class StackPage(f.Serializer[Any]):
    items = StackShape(many=True)
    total = f.IntegerField()
    page = f.IntegerField()
    page_size = f.IntegerField()


class StackAccepted(f.Serializer[Any]):
    operation = OperationShape()


class StackLogLineShape(f.Serializer[Any]):
    service = f.CharField()
    instance = f.UUIDField()
    name = f.CharField()
    stream = f.CharField()
    text = f.CharField(allow_blank=True)
    timestamp = f.DateTimeField(required=False)


class StackLogShape(f.Serializer[Any]):
    lines = StackLogLineShape(many=True)
    text = f.CharField(allow_blank=True, help_text="The lines as text, each after its service.")
