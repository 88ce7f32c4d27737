"""``/profile/views``: one's views of the list of instances, the same ones that the page shows as tabs."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import view_shapes as shapes
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import ApiView
from compute.api.schema import api
from compute.selectors.saved_views import view_dict, view_of, views_of
from compute.services.saved_views import INSTANCES, query_check, view_delete, view_save


class SavedViews(ApiView):
    @api("profile", "One's views of the instances, oldest first", response=shapes.SavedViewPage,
         query=LISTED)  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, [view_dict(row) for row in views_of(self.actor, INSTANCES)])

    @api("profile", "Keep a view of the instances", request=shapes.SavedViewRequest,
         response=shapes.SavedViewShape, status=201, errors=(409,))  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        body = self.body(shapes.SavedViewRequest)
        query = query_check(INSTANCES, body.get("query", ""))
        row = view_save(self.actor, INSTANCES, body["name"], query, is_new=True)
        return Response(view_dict(row), status=201, headers={"Location": f"/api/v1/profile/views/{row.pk}"})


class SavedViewDetail(ApiView):
    @api("profile", "One view", response=shapes.SavedViewShape, operation_id="profile_views_retrieve_one")
    def get(self, request: Request, view_id: int) -> HttpResponseBase:
        self.query({})
        return self.answer(view_dict(view_of(self.actor, INSTANCES, view_id)))

    @api("profile", "Forget a view", status=204)
    def delete(self, request: Request, view_id: int) -> HttpResponseBase:
        self.query({})
        view_delete(self.actor, INSTANCES, view_id)
        return Response(status=204)
