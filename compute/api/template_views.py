"""``/compute/templates``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import template_shapes as s
from compute.api.base import PAGING, ApiView, Parse, text, whole
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.selectors.templates import TemplateFilter, template_full, template_get, templates_page
from compute.services import templates

_FILTERS = ("q", "backend", "project", "page", "page_size", "sort")


class Templates(ApiView):
    @api("templates", "Those of one's projects, and the site's", response=s.TemplatePage, query=_FILTERS)
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(templates_page(self.actor, TemplateFilter(**self.query(known))))

    @api(
        "templates",
        "Make one, by hand or from an instance",
        request=s.TemplateCreateRequest,
        response=s.TemplateDetailShape,
        status=201,
        errors=(409, 422, 502, 503, 504),
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        row = templates.template_create(self.actor, self.body(s.TemplateCreateRequest))
        location = {"Location": f"/api/v1/compute/templates/{row.pk}"}
        shown = template_full(self.actor, template_get(self.actor, row.pk))
        return Response(shown, status=201, headers=location)


class TemplateDetail(ApiView):
    change_shape = s.TemplateUpdateRequest
    also_guarded = ("version",)

    @api(
        "templates",
        "One, in its newest or a named version",
        response=s.TemplateDetailShape,
        query=("version",),
        operation_id="compute_templates_retrieve_one",
    )
    def get(self, request: Request, template_id: str) -> HttpResponseBase:
        number = self.query({"version": whole}).get("version")
        return self.answer(template_full(self.actor, template_get(self.actor, template_id), number))

    @api(
        "templates",
        "Change it: another body or other parameters are a new version",
        request=s.TemplateUpdateRequest,
        response=s.TemplateDetailShape,
        errors=(409, 412),
    )
    def put(self, request: Request, template_id: str) -> HttpResponseBase:
        self.query({})
        given = self.body(s.TemplateUpdateRequest)
        self.precondition(template_full(self.actor, template_get(self.actor, template_id)))
        row = templates.template_update(self.actor, template_id, given)
        return self.answer(template_full(self.actor, template_get(self.actor, row.pk)))

    patch = put

    @api("templates", "Remove it; what was made of it stays", status=204)
    def delete(self, request: Request, template_id: str) -> HttpResponseBase:
        self.query({})
        templates.template_delete(self.actor, template_id)
        return Response(status=204)


class TemplateInstantiate(ApiView):
    @api(
        "templates",
        "Make instances of it, all or none: one operation with a child for each",
        request=s.InstantiateRequest,
        response=s.InstantiateAccepted,
        status=202,
        errors=(409, 422, 502, 503, 504),
    )
    def post(self, request: Request, template_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        given = self.body(s.InstantiateRequest)
        operation = templates.template_instantiate(
            self.actor, template_id, given, idempotency=idempotency_of(request)
        )
        return self.answer_operation(operation, ends_as="parent")
