"""Shapes of templates."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, OperationShape, Paged, ProjectRef


class TemplateShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    description = s.CharField()
    project = ProjectRef(allow_null=True, help_text="Null: the site's, for everybody.")
    backend = s.CharField()
    version = s.IntegerField(help_text="The newest.")
    created_by = s.CharField(allow_null=True)
    created_at = s.DateTimeField()
    updated_at = s.DateTimeField()


class TemplatePage(Paged):
    items = TemplateShape(many=True)


class TemplateVersionShape(Base[Any]):
    version = s.IntegerField()
    comment = s.CharField()
    created_by = s.CharField(allow_null=True)
    created_at = s.DateTimeField()


class TemplateDetailShape(TemplateShape):
    shown_version = s.IntegerField()
    body = s.DictField(help_text="Of a create, with ${name} where a parameter's value comes.")
    parameters = s.ListField(child=s.DictField())
    versions = TemplateVersionShape(many=True)


class TemplateUpdateRequest(Base[Any]):
    name = s.CharField(required=False, max_length=63)
    description = s.CharField(required=False, allow_blank=True, max_length=500)
    body = s.DictField(required=False)
    parameters = s.ListField(
        child=s.DictField(),
        required=False,
        help_text="{name, type: string|int|bool|choice|size, default, required, secret, choices, …}",
    )
    comment = s.CharField(required=False, allow_blank=True, max_length=500)


class TemplateCreateRequest(TemplateUpdateRequest):
    name = s.CharField(max_length=63)
    project = s.CharField(
        required=False, allow_null=True, max_length=100, help_text="Null: the site's (administrators)."
    )
    backend = s.CharField(required=False, max_length=32)
    instance = s.CharField(required=False, max_length=100, help_text="Instead of backend and body.")


class InstantiateRequest(Base[Any]):
    name = s.CharField(max_length=63)
    count = s.IntegerField(required=False, min_value=1, max_value=100)
    name_pattern = s.CharField(required=False, max_length=100, help_text="{name}-{n}")
    version = s.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    parameters = s.DictField(required=False)
    project = s.CharField(required=False, allow_null=True, max_length=100)
    node = s.CharField(required=False, allow_null=True, max_length=100)
    node_labels = s.DictField(required=False)
    auto_start = s.BooleanField(required=False)


class InstantiateAccepted(Base[Any]):
    operation = OperationShape()
