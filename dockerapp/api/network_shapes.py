"""Shapes of networks: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape, Paged, ProjectRef


class NetworkPool(Base[Any]):
    subnet = s.CharField(max_length=64, help_text="Such as 10.89.0.0/24.")
    gateway = s.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    ip_range = s.CharField(
        max_length=64, required=False, allow_blank=True, allow_null=True, help_text="A part of the subnet."
    )


class NetworkCreateRequest(Base[Any]):
    name = s.CharField(max_length=128)
    driver = s.CharField(max_length=128, required=False, help_text="bridge unless said otherwise.")
    internal = s.BooleanField(required=False, help_text="Without a way out.")
    attachable = s.BooleanField(required=False)
    ipv6 = s.BooleanField(required=False)
    ipam = NetworkPool(many=True, required=False)
    options = s.DictField(child=s.CharField(max_length=4096, allow_blank=True), required=False)
    labels = s.DictField(child=s.CharField(max_length=4096, allow_blank=True), required=False)


class NetworkMember(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()
    ip_address = s.CharField(allow_blank=True)
    ipv6_address = s.CharField(allow_blank=True)
    mac_address = s.CharField(allow_blank=True)


class DockerNetworkShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    engine_id = s.CharField()
    node = NodeRef()
    project = ProjectRef(allow_null=True, help_text="null: it belongs to the host.")
    driver = s.CharField()
    scope = s.CharField()
    internal = s.BooleanField()
    attachable = s.BooleanField()
    ipv6 = s.BooleanField()
    predefined = s.BooleanField(help_text="The engine's own: it stays.")
    ipam = NetworkPool(many=True)
    options = s.DictField()
    labels = s.DictField()
    in_use = s.BooleanField()
    containers = NetworkMember(many=True, help_text="Those that you may see.")
    created_at = s.DateTimeField(allow_null=True)


class DockerNetworkDetail(DockerNetworkShape):
    live = s.BooleanField(help_text="Read from the engine now; false: as last seen.")


class DockerNetworkMade(DockerNetworkShape):
    operation = OperationShape()


class DockerNetworkPage(Paged):
    items = DockerNetworkShape(many=True)


class ConnectRequest(Base[Any]):
    container = s.CharField(max_length=255, help_text="An id, a name, or the engine's id.")
    ip_address = s.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    ipv6_address = s.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    aliases = s.ListField(child=s.CharField(max_length=63), required=False, max_length=16)


class DisconnectRequest(Base[Any]):
    container = s.CharField(max_length=255, help_text="An id, a name, or the engine's id.")
    force = s.BooleanField(required=False)


class Attached(Base[Any]):
    network = s.CharField(required=False)
    ip_address = s.CharField(required=False, allow_blank=True)
    ipv6_address = s.CharField(required=False, allow_blank=True)
    mac_address = s.CharField(required=False, allow_blank=True)
    operation = OperationShape()


class ThingDone(Base[Any]):
    operation = OperationShape()


class NetworksPruneRequest(Base[Any]):
    dry_run = s.BooleanField(required=False, help_text="Only say what would go.")


class NetworksPruned(Base[Any]):
    dry_run = s.BooleanField(required=False)
    items = DockerNetworkShape(many=True, required=False)
    removed = s.ListField(child=s.CharField(), required=False)
    reclaimed_bytes = s.IntegerField(required=False)
    operation = OperationShape(required=False)
