"""``/docker/registries``: passwords go in and are never read back."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import PAGING, text
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from dockerapp.api import image_shapes as shapes
from dockerapp.selectors.registries import registries_page, registry_dict, registry_get
from dockerapp.services import registries

_TAG = "docker registries"


class Registries(PlacedView):
    @api(
        _TAG,
        "Registries of the site and of one's projects",
        response=shapes.DockerRegistryPage,
        query=("q", *PAGING),
        operation_id="docker_registries_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**PAGING, "q": text})
        found = registries_page(
            self.actor,
            q=asked.get("q", ""),
            sort=asked.get("sort") or ["name"],
            page=asked.get("page", 1),
            page_size=asked.get("page_size", 50),
        )
        return self.answer_page(found)

    @api(
        _TAG,
        "Add one",
        request=shapes.RegistryRequest,
        response=shapes.DockerRegistry,
        status=201,
        errors=(409,),
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        row = registries.registry_create(self.actor, self.body(shapes.RegistryRequest))
        return Response(
            registry_dict(row), status=201, headers={"Location": f"/api/v1/docker/registries/{row.pk}"}
        )


class RegistryDetail(PlacedView):
    change_shape = shapes.RegistryChange

    @api(_TAG, "One registry", response=shapes.DockerRegistry, operation_id="docker_registries_retrieve")
    def get(self, request: Request, registry: str) -> HttpResponseBase:
        self.query({})
        return self.answer(registry_dict(registry_get(self.actor, registry)))

    @api(
        _TAG,
        "Change it",
        request=shapes.RegistryChange,
        response=shapes.DockerRegistry,
        errors=(409, 412),
    )
    def put(self, request: Request, registry: str) -> HttpResponseBase:
        self.query({})
        given = self.body(shapes.RegistryChange)
        self.precondition(registry_dict(registry_get(self.actor, registry)))
        return self.answer(registry_dict(registries.registry_update(self.actor, registry, given)))

    patch = put

    @api(_TAG, "Forget it and its password", status=204)
    def delete(self, request: Request, registry: str) -> HttpResponseBase:
        self.query({})
        self.body()
        registries.registry_delete(self.actor, registry)
        return Response(status=204)


class RegistryTest(PlacedView):
    @api(
        _TAG,
        "Log in by way of the engine, as a pull would",
        response=shapes.RegistryTested,
        ends_as=200,
        query=("node",),
        errors=(502, 503, 504),
    )
    def post(self, request: Request, registry: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query(NODE).get("node", "")
        self.body()
        return self.answer_result(registries.registry_test(self.actor, registry, node=node))
