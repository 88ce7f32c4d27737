"""Shapes of volumes: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape, Paged, ProjectRef


class VolumeCreateRequest(Base[Any]):
    name = s.CharField(max_length=128, required=False, allow_blank=True, allow_null=True)
    driver = s.CharField(max_length=128, required=False, help_text="local unless said otherwise.")
    options = s.DictField(child=s.CharField(max_length=4096, allow_blank=True), required=False)
    labels = s.DictField(child=s.CharField(max_length=4096, allow_blank=True), required=False)


class VolumeUser(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()
    target = s.CharField(help_text="Where it is mounted.")


class DockerVolumeShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    engine_id = s.CharField()
    node = NodeRef()
    project = ProjectRef(allow_null=True, help_text="null: it belongs to the host.")
    size_bytes = s.IntegerField(allow_null=True, help_text="As last measured; null: not yet.")
    driver = s.CharField()
    scope = s.CharField()
    anonymous = s.BooleanField(help_text="Named by the engine.")
    options = s.DictField()
    labels = s.DictField()
    in_use = s.BooleanField()
    containers = VolumeUser(many=True, help_text="Those that you may see.")
    created_at = s.DateTimeField(allow_null=True)


class DockerVolumeMade(DockerVolumeShape):
    operation = OperationShape()


class DockerVolumePage(Paged):
    items = DockerVolumeShape(many=True)
    not_measured = s.DictField(required=False, help_text="With sizes: why a node told none, by name.")


class VolumesPruneRequest(Base[Any]):
    dry_run = s.BooleanField(required=False, help_text="Only say what would go.")
    all = s.BooleanField(required=False, help_text="Also those with a name of their own.")


class VolumesPruned(Base[Any]):
    dry_run = s.BooleanField(required=False)
    items = DockerVolumeShape(many=True, required=False)
    reclaimable_bytes = s.IntegerField(required=False, allow_null=True)
    removed = s.ListField(child=s.CharField(), required=False)
    reclaimed_bytes = s.IntegerField(required=False)
    operation = OperationShape(required=False)
