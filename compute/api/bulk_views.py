"""``/compute/instances/bulk``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api.base import ApiView
from compute.api.bulk_shapes import BulkAccepted, BulkRequestShape, InstanceFilterShape
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.errors import InvalidInput
from compute.selectors.instances import InstanceFilter
from compute.services.bulk import BulkRequest, bulk_submit


class InstancesBulk(ApiView):
    @api(
        "instances",
        "One action on many: one operation with a child for each, and a result for each",
        request=BulkRequestShape,
        response=BulkAccepted,
        status=202,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        given = self.body(BulkRequestShape)
        asked = BulkRequest(
            given["action"],
            given.get("ids"),
            filter_of(dict(self.request.data).get("filter"), given.get("filter")),
            given.get("options") or {},
        )
        operation = bulk_submit(self.actor, asked, idempotency=idempotency_of(request))
        return self.answer_operation(operation, ends_as="parent")


def filter_of(given: Any, checked: Mapping[str, Any] | None) -> InstanceFilter | None:
    """The filter of a checked body; ``given`` is what was sent, of which nothing may be unknown: a filter
    that says less than its author thinks would reach too many."""
    if checked is None:
        return None
    unknown = sorted(set(given) - set(InstanceFilterShape().fields)) if isinstance(given, Mapping) else []
    if unknown:
        raise InvalidInput.field(f"filter.{str(unknown[0])[:50]}", "is not known here.")
    return InstanceFilter(**checked)
