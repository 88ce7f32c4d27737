"""Shapes of exports and imports: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base


class ExportRequest(Base[Any]):
    format = s.CharField(max_length=10, help_text="qcow2, raw, vmdk, vdi or ova.")
    file_name = s.CharField(max_length=120, required=False, allow_blank=True)
    options = s.DictField(required=False, help_text="disk: only this one, by its target.")


class LegacyExportRequest(Base[Any]):
    format = s.CharField(max_length=10, help_text="qcow2, raw, vmdk, vdi or ova.")
    fileName = s.CharField(max_length=120, required=False, allow_blank=True)  # noqa: N815
    options = s.DictField(required=False)


class ExportJob(Base[Any]):
    id = s.UUIDField()
    vmName = s.CharField()  # noqa: N815
    format = s.CharField()
    status = s.CharField(help_text="pending, running, completed, failed or canceled.")
    progress = s.FloatField()
    step = s.CharField(allow_blank=True)
    startTime = s.DateTimeField()  # noqa: N815
    endTime = s.DateTimeField(allow_null=True)  # noqa: N815
    outputPath = s.CharField(allow_null=True, help_text="Where it is downloaded.")  # noqa: N815
    error = s.CharField(allow_null=True)
    options = s.DictField()
    fileName = s.CharField()  # noqa: N815
    sizeBytes = s.IntegerField(allow_null=True)  # noqa: N815
    sha256 = s.CharField(allow_null=True)
    instanceId = s.UUIDField()  # noqa: N815
    operationId = s.UUIDField(allow_null=True)  # noqa: N815
    projectId = s.UUIDField(allow_null=True)  # noqa: N815


class ExportAnswer(Base[Any]):
    job = ExportJob()


class ExportList(Base[Any]):
    jobs = ExportJob(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class Message(Base[Any]):
    message = s.CharField()
