"""How much the site, a project and a user may use, and what of it is used."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api.base import ApiView
from compute.api.limits_shapes import LimitsWithUsage, SiteLimitsShape
from compute.api.schema import api
from compute.services import limit_settings as limits


class SiteLimitsView(ApiView):
    change_shape = SiteLimitsShape

    @api("limits", "Of the site, with what is used", response=SiteLimitsShape)
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return self.answer(limits.site_limits_read(self.actor))

    @api(
        "limits", "Change those of the site", request=SiteLimitsShape, response=SiteLimitsShape, errors=(412,)
    )
    def put(self, request: Request) -> HttpResponseBase:
        self.query({})
        self.precondition(limits.site_limits_read(self.actor))
        return self.answer(limits.site_limits_set(self.actor, self.body(SiteLimitsShape)))

    patch = put


class ProjectLimitsView(ApiView):
    change_shape = LimitsWithUsage

    @api("projects", "Its limits, with what is used", response=LimitsWithUsage)
    def get(self, request: Request, project_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(limits.project_limits_read(self.actor, project_id))

    @api("projects", "Set its limits", request=LimitsWithUsage, response=LimitsWithUsage, errors=(412,))
    def put(self, request: Request, project_id: str) -> HttpResponseBase:
        self.query({})
        given = self.body(LimitsWithUsage)
        self.precondition(limits.project_limits_read(self.actor, project_id))
        return self.answer(limits.project_limits_set(self.actor, project_id, given))

    patch = put


class UserLimitsView(ApiView):
    change_shape = LimitsWithUsage

    @api("users", "What a user may use of all projects, and uses", response=LimitsWithUsage)
    def get(self, request: Request, user_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(limits.user_limits_read(self.actor, user_id))

    @api("users", "Set a user's limits", request=LimitsWithUsage, response=LimitsWithUsage, errors=(412,))
    def put(self, request: Request, user_id: str) -> HttpResponseBase:
        self.query({})
        given = self.body(LimitsWithUsage)
        self.precondition(limits.user_limits_read(self.actor, user_id))
        return self.answer(limits.user_limits_set(self.actor, user_id, given))

    patch = put
