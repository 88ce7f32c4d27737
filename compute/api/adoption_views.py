"""Adoption: what runs already becomes a project's."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework import serializers as s
from rest_framework.request import Request

from compute.api.base import ApiView
from compute.api.schema import api
from compute.services.adoption import instances_adopt


class AdoptOneRequest(s.Serializer[object]):
    project = s.CharField(max_length=63, help_text="Its id or name.")


class AdoptManyRequest(AdoptOneRequest):
    ids = s.ListField(child=s.CharField(max_length=255), min_length=1, max_length=500)


class AdoptedShape(s.Serializer[object]):
    adopted = s.ListField(child=s.UUIDField(), help_text="The instances that are the project's now.")


class AdoptOne(ApiView):
    @api("instances", "Adopt one", request=AdoptOneRequest, response=AdoptedShape, errors=(409,))
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        rows = instances_adopt(self.actor, [instance_id], self.body(AdoptOneRequest)["project"])
        return self.answer({"adopted": [str(row.pk) for row in rows]})


class AdoptMany(ApiView):
    @api(
        "instances",
        "Adopt several, all or none",
        request=AdoptManyRequest,
        response=AdoptedShape,
        errors=(409,),
        operation_id="compute_instances_adopt_many",
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        given = self.body(AdoptManyRequest)
        rows = instances_adopt(self.actor, given["ids"], given["project"])
        return self.answer({"adopted": [str(row.pk) for row in rows]})
