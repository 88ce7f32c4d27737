"""Adoption: what runs already becomes a project's, now or by standing rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import adoption_shapes as shapes
from compute.api.base import ApiView, whole
from compute.api.schema import api
from compute.errors import InvalidInput
from compute.selectors.adoption import AdoptionFilter, adoption_rule_dict, candidate_dict
from compute.services import adoption, adoption_rules


class AdoptOne(ApiView):
    @api("instances", "Adopt one", request=shapes.AdoptOneRequest, response=shapes.AdoptedShape,
         errors=(409,))  # fmt: skip
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        project = self.body(shapes.AdoptOneRequest)["project"]
        return self.answer(_adopted(_taken(adoption.instances_adopt(self.actor, [instance_id], project))))


class AdoptMany(ApiView):
    @api("instances", "Adopt a list of instances, all or none, or what a filter matches and fits",
         request=shapes.AdoptManyRequest, response=shapes.AdoptedShape, errors=(409,),
         operation_id="compute_instances_adopt_many")  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        given = self.body(shapes.AdoptManyRequest)
        if "filter" in _one_of_both(given):
            wanted = _filter(dict(request.data)["filter"], given["filter"])
            return self.answer(_adopted(adoption.unmanaged_adopt(self.actor, wanted, given["project"])))
        rows = adoption.instances_adopt(self.actor, given["ids"], given["project"])
        return self.answer(_adopted(_taken(rows)))


class AdoptPreview(ApiView):
    audit_exempt = True

    @api("instances", "What an adoption would do, with the reason for what it would not",
         request=shapes.AdoptManyRequest, response=shapes.AdoptionPreviewShape,
         operation_id="compute_instances_adopt_preview")  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        given = self.body(shapes.AdoptManyRequest)
        if "filter" in _one_of_both(given):
            wanted = _filter(dict(request.data)["filter"], given["filter"])
            return Response(_preview(*adoption.adoption_preview(self.actor, given["project"], wanted=wanted)))
        return Response(_preview(*adoption.adoption_preview(self.actor, given["project"], ids=given["ids"])))


class AdoptionRules(ApiView):
    @api("adoption", "The standing rules, in the order in which they are asked",
         response=shapes.AdoptionRulePage, query=("page", "page_size"))  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({"page": whole, "page_size": whole})
        return self.answer_page(adoption_rules.adoption_rules_list(self.actor, **asked))

    @api("adoption", "Make one; it adopts what appears from now on", request=shapes.AdoptionRuleCreateRequest,
         response=shapes.AdoptionRuleShape, status=201, errors=(409,))  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        given = _checked(request, self.body(shapes.AdoptionRuleCreateRequest))
        row = adoption_rules.adoption_rule_create(self.actor, given)
        headers = {"Location": f"/api/v1/compute/adoption-rules/{row.pk}"}
        return Response(adoption_rule_dict(row), status=201, headers=headers)


class AdoptionRulePreview(ApiView):
    audit_exempt = True

    @api("adoption", "What a rule would adopt of what is there now, before it is saved",
         request=shapes.AdoptionRulePreviewRequest, response=shapes.AdoptionPreviewShape,
         operation_id="adoption_rules_preview")  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        given = self.body(shapes.AdoptionRulePreviewRequest)
        wanted = _filter(dict(request.data)["filter"], given["filter"])
        return Response(_preview(*adoption.adoption_preview(self.actor, given["project"], wanted=wanted)))


class AdoptionRuleDetail(ApiView):
    change_shape = shapes.AdoptionRuleUpdateRequest

    @api("adoption", "One rule", response=shapes.AdoptionRuleShape,
         operation_id="adoption_rules_retrieve_one")  # fmt: skip
    def get(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(adoption_rule_dict(adoption_rules.adoption_rule_read(self.actor, rule_id)))

    @api("adoption", "Change it; a filter replaces the old one. Whoever does is its owner from then on",
         request=shapes.AdoptionRuleUpdateRequest, response=shapes.AdoptionRuleShape,
         errors=(409, 412))  # fmt: skip
    def put(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        row = adoption_rules.adoption_rule_read(self.actor, rule_id)
        self.precondition(adoption_rule_dict(row))
        given = _checked(request, self.body(shapes.AdoptionRuleUpdateRequest))
        return self.answer(adoption_rule_dict(adoption_rules.adoption_rule_update(self.actor, row.pk, given)))

    patch = put

    @api("adoption", "Remove it; what it adopted stays where it is", status=204)
    def delete(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        adoption_rules.adoption_rule_delete(self.actor, rule_id)
        return Response(status=204)


class AdoptionRuleApply(ApiView):
    @api("adoption", "Apply it to what is there now", response=shapes.AdoptedShape,
         operation_id="adoption_rules_apply")  # fmt: skip
    def post(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        self.body()
        return self.answer(_adopted(adoption_rules.adoption_rule_apply(self.actor, rule_id)))


def _one_of_both(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if ("ids" in given) == ("filter" in given):
        raise InvalidInput.field("ids", "give either ids or a filter.")
    return given


def _checked(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """A body whose filter holds nothing unknown."""
    if "filter" in given:
        _filter(dict(request.data)["filter"], given["filter"])
    return given


def _filter(sent: Any, checked: Mapping[str, Any]) -> AdoptionFilter:
    """A filter that says less than its author thinks would adopt too much."""
    unknown = (
        sorted(set(sent) - set(shapes.AdoptionFilterShape().fields)) if isinstance(sent, Mapping) else []
    )
    if unknown:
        raise InvalidInput.field(f"filter.{str(unknown[0])[:50]}", "is not known here.")
    return adoption_rules.adoption_filter_of(checked)


def _taken(rows: list[Any]) -> list[adoption.Verdict]:
    return [adoption.Verdict(row) for row in rows]


def _adopted(verdicts: list[adoption.Verdict]) -> dict[str, Any]:
    return {
        "adopted": [str(each.row.pk) for each in verdicts if each.error is None],
        "refused": [candidate_dict(each.row, each.error) for each in verdicts if each.error is not None],
    }


def _preview(project: Any, verdicts: list[adoption.Verdict]) -> dict[str, Any]:
    refused = sum(each.error is not None for each in verdicts)
    return {
        "project": {"id": str(project.pk), "name": project.name},
        "adopted": len(verdicts) - refused,
        "refused": refused,
        "items": [candidate_dict(each.row, each.error) for each in verdicts],
    }
