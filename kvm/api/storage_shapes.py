"""Shapes of pools and volumes: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape, Paged, ProjectRef


class PoolSource(Base[Any]):
    host = s.CharField(max_length=255, required=False, allow_blank=True)
    dir = s.CharField(max_length=500, required=False, allow_blank=True)
    device = s.CharField(max_length=300, required=False, allow_blank=True)
    name = s.CharField(max_length=255, required=False, allow_blank=True)
    format = s.CharField(max_length=40, required=False, allow_blank=True)


class PoolCreateRequest(Base[Any]):
    name = s.CharField(max_length=64)
    type = s.CharField(max_length=40, required=False, help_text="dir unless said otherwise.")
    path = s.CharField(max_length=500, required=False, allow_blank=True)
    source = PoolSource(required=False)  # type: ignore[assignment]
    autostart = s.BooleanField(required=False, help_text="true unless said otherwise.")


class PoolShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    engine_id = s.CharField()
    node = NodeRef()
    uuid = s.CharField()
    type = s.CharField()
    state = s.CharField(help_text="running, inactive, building, degraded, inaccessible")
    path = s.CharField(allow_blank=True)
    source = PoolSource()  # type: ignore[assignment]
    capacity = s.IntegerField()
    allocation = s.IntegerField()
    available = s.IntegerField()
    autostart = s.BooleanField()
    persistent = s.BooleanField()
    volume_count = s.IntegerField()
    in_use = s.BooleanField(help_text="Machines have disks in it.")


class PoolMade(PoolShape):
    operation = OperationShape()


class PoolPage(Paged):
    items = PoolShape(many=True)


class PoolStopRequest(Base[Any]):
    force = s.BooleanField(required=False, help_text="Also under running machines.")


class PoolType(Base[Any]):
    type = s.CharField()
    supported = s.BooleanField()
    missing = s.CharField(allow_blank=True, help_text="The package that the host lacks.")
    needs = s.ListField(child=s.CharField())


class PoolTypes(Base[Any]):
    items = PoolType(many=True)


class PoolVolumeCreateRequest(Base[Any]):
    name = s.CharField(max_length=128)
    capacity_bytes = s.IntegerField(required=False, min_value=0, max_value=2**53)
    format = s.CharField(max_length=16, required=False, help_text="qcow2 (unless said otherwise) or raw.")
    backing_store = s.CharField(
        max_length=255,
        required=False,
        allow_blank=True,
        allow_null=True,
        help_text="A volume that this is a thin copy of: its name, or pool/name.",
    )


class VolumeResizeRequest(Base[Any]):
    capacity_bytes = s.IntegerField(min_value=0, max_value=2**53)


class VolumeCloneRequest(Base[Any]):
    name = s.CharField(max_length=128)
    pool = s.CharField(max_length=128, required=False, help_text="The same pool unless said otherwise.")
    format = s.CharField(max_length=16, required=False)


class MachineUse(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()
    target = s.CharField()
    readonly = s.BooleanField()


class BackingLink(Base[Any]):
    pool = s.CharField(allow_blank=True)
    name = s.CharField()
    format = s.CharField(allow_blank=True)


class VolumeShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    engine_id = s.CharField()
    node = NodeRef()
    project = ProjectRef(allow_null=True, help_text="null: it belongs to the host.")
    size_bytes = s.IntegerField(allow_null=True)
    pool = s.CharField()
    path = s.CharField()
    type = s.CharField()
    format = s.CharField()
    capacity = s.IntegerField()
    allocation = s.IntegerField()
    backing_chain = BackingLink(many=True, help_text="What it stands on, nearest first.")
    in_use = s.BooleanField(help_text="By a machine, or by volumes that stand on it.")
    machines = MachineUse(many=True, help_text="Those that you may see.")
    copies = s.ListField(child=s.CharField(), help_text="Volumes that stand on it, as far as you see them.")


class VolumeMade(VolumeShape):
    operation = OperationShape()


class VolumeUploaded(VolumeMade):
    sha256 = s.CharField()


class VolumePage(Paged):
    items = VolumeShape(many=True)


class StorageDone(Base[Any]):
    operation = OperationShape()
