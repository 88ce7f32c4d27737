"""Shapes of adoption and of its standing rules."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, Paged, ProjectRef
from compute.services.adoption import ADOPT_MAX

_PATTERN = "A pattern as in file names: * and ?."
_POSITION_MAX = 100_000


class AdoptionFilterShape(Base[Any]):
    """Conditions that must all hold; what is left out means any."""

    node = s.CharField(required=False, allow_blank=True, max_length=100, help_text="Its id or name.")
    backend = s.CharField(required=False, allow_blank=True, max_length=32)
    name = s.CharField(required=False, allow_blank=True, max_length=255, help_text=_PATTERN)
    image = s.CharField(required=False, allow_blank=True, max_length=255, help_text=_PATTERN)
    network = s.CharField(required=False, allow_blank=True, max_length=255, help_text=_PATTERN)
    labels = s.DictField(
        required=False,
        child=s.CharField(allow_blank=True, max_length=255),
        help_text="A pattern for the value of each label; empty: any value.",
    )


class AdoptOneRequest(Base[Any]):
    project = s.CharField(max_length=63, help_text="Its id or name.")


class AdoptManyRequest(AdoptOneRequest):
    ids = s.ListField(
        child=s.CharField(max_length=255),
        required=False,
        min_length=1,
        max_length=ADOPT_MAX,
        help_text="All of these or none; or a filter instead.",
    )
    filter = AdoptionFilterShape(required=False, help_text="What matches and fits; the rest is told.")


class ErrorRef(Base[Any]):
    code = s.CharField()
    message = s.CharField()


class CandidateShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    type = s.CharField()
    backend = s.CharField()
    node = s.CharField()
    image = s.CharField()
    state = s.CharField()
    stack = s.CharField(help_text="The Compose stack whose child it is; empty for none.")
    error = ErrorRef(allow_null=True, help_text="Why it is not adopted.")


class AdoptionPreviewShape(Base[Any]):
    project = ProjectRef()
    adopted = s.IntegerField(help_text="How many would be adopted.")
    refused = s.IntegerField()
    items = CandidateShape(many=True)


class AdoptedShape(Base[Any]):
    adopted = s.ListField(child=s.UUIDField(), help_text="The instances that are the project's now.")
    refused = CandidateShape(many=True)


class AdoptionRuleUpdateRequest(Base[Any]):
    name = s.CharField(required=False, max_length=63)
    project = s.CharField(required=False, max_length=63, help_text="Its id or name.")
    position = s.IntegerField(
        required=False,
        min_value=0,
        max_value=_POSITION_MAX,
        help_text="Lower ones are asked first; the first that matches decides.",
    )
    enabled = s.BooleanField(required=False)
    filter = AdoptionFilterShape(required=False)


class AdoptionRuleCreateRequest(AdoptionRuleUpdateRequest):
    name = s.CharField(max_length=63)
    project = s.CharField(max_length=63, help_text="Its id or name.")
    filter = AdoptionFilterShape()


class AdoptionRulePreviewRequest(Base[Any]):
    project = s.CharField(max_length=63, help_text="Its id or name.")
    filter = AdoptionFilterShape()


class AdoptionRuleShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    position = s.IntegerField()
    project = ProjectRef()
    owner = s.CharField(allow_null=True, help_text="As whom it adopts.")
    enabled = s.BooleanField()
    filter = AdoptionFilterShape()
    adopted_total = s.IntegerField()
    last_adopted_at = s.DateTimeField(allow_null=True)
    problem = s.CharField(allow_null=True, help_text="Why something was not adopted the last time.")
    problem_at = s.DateTimeField(allow_null=True)
    created_at = s.DateTimeField()
    updated_at = s.DateTimeField()


class AdoptionRulePage(Paged):
    items = AdoptionRuleShape(many=True)
