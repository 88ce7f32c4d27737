"""Shapes of the image library: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape, Paged, ProjectRef
from kvm.api.storage_shapes import MachineUse


class _NewImage(Base[Any]):
    name = s.CharField(max_length=128)
    pool = s.CharField(max_length=128, required=False, allow_blank=True, help_text="Unless said the node's.")
    format = s.CharField(
        max_length=16, required=False, allow_blank=True, help_text="qcow2, raw, iso, vmdk, vdi."
    )
    sha256 = s.CharField(max_length=64, required=False, allow_blank=True)


class ImageCreateRequest(_NewImage):
    volume = s.CharField(max_length=255, required=False, help_text="pool/name of a volume.")
    instance = s.CharField(max_length=255, required=False, help_text="A machine that is off.")
    url = s.CharField(max_length=900, required=False, help_text="Where libvirt.imageSources allows.")


class UploadStartRequest(_NewImage):
    size_bytes = s.IntegerField(min_value=1, max_value=2**53)


class KvmImageShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    engine_id = s.CharField()
    node = NodeRef()
    project = ProjectRef(allow_null=True, help_text="null: the host's, for everybody.")
    size_bytes = s.IntegerField(allow_null=True)
    kind = s.CharField(help_text="template or iso")
    pool = s.CharField()
    format = s.CharField()
    capacity = s.IntegerField()
    in_use = s.BooleanField(help_text="Machines or volumes stand on it: it cannot be deleted.")
    machines = MachineUse(many=True, help_text="Those that you may see.")
    copies = s.ListField(child=s.CharField(), help_text="Volumes that stand on it, as far as you see them.")


class KvmImagePage(Paged):
    items = KvmImageShape(many=True)


class UploadShape(Base[Any]):
    id = s.UUIDField()
    node = s.CharField()
    project = s.CharField(allow_null=True)
    pool = s.CharField()
    name = s.CharField()
    format = s.CharField(allow_blank=True)
    size_bytes = s.IntegerField()
    offset = s.IntegerField(help_text="How much has arrived: go on from here.")


class UploadPage(Base[Any]):
    items = UploadShape(many=True)


class UploadStarted(Base[Any]):
    upload = s.DictField()
    operation = OperationShape()


class UploadProgress(Base[Any]):
    upload = UploadShape()
    operation = OperationShape(allow_null=True, help_text="With the last byte: what checks it.")
