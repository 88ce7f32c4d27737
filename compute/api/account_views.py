"""Coming in, one's own profile, accounts and projects."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import serializers as s
from compute.api.base import PAGING, ApiView, text
from compute.api.schema import api
from compute.selectors.page import Page, listed, page_bounds, time_text
from compute.services import accounts, projects, sign_in
from compute.services.sign_ins import Visitor

LISTED = ("page", "page_size", "sort", "q")


def listing_answer(view: ApiView, rows: list[dict[str, Any]]) -> HttpResponseBase:
    """A short list as one page; its route names ``LISTED`` as its query."""
    asked = view.query({**PAGING, "q": text})
    page, size = asked.get("page", 1), asked.get("page_size", 50)
    start, end = page_bounds(page, size)
    found = listed(rows, asked.get("sort", []), asked.get("q", ""))
    return view.answer_page(Page(found[start:end], len(found), page, size))


def pair_answer(pair: accounts.TokenPair) -> Response:
    body = {
        "access": pair.access,
        "refresh": pair.refresh,
        "expires_at": time_text(pair.expires_at),
        "user": accounts.user_dict(pair.user),
    }
    return Response(body, headers={"Cache-Control": "no-store"})


def visitor_of(request: Request) -> Visitor:
    return Visitor(
        request.META.get("REMOTE_ADDR") or "",
        request.headers.get("User-Agent", ""),
        getattr(request, "request_id", ""),
    )


class Login(ApiView):
    audit_exempt = True

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @api("auth", "Log in", request=s.LoginRequest, response=s.TokenPairShape, errors=(429,), public=True)
    def post(self, request: Request) -> HttpResponseBase:
        given = self.body(s.LoginRequest)
        code = given.get("code", "")
        return pair_answer(sign_in.login(given["username"], given["password"], code, visitor_of(request)))


class Refresh(ApiView):
    audit_exempt = True

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @api("auth", "Spend a refresh token", request=s.RefreshRequest, response=s.TokenPairShape, public=True)
    def post(self, request: Request) -> HttpResponseBase:
        return pair_answer(accounts.refresh(self.body(s.RefreshRequest)["refresh"], visitor_of(request)))


class Logout(ApiView):
    @api("auth", "End this session, or all without a refresh token", request=s.LogoutRequest, status=204)
    def post(self, request: Request) -> HttpResponseBase:
        accounts.logout(self.actor, self.body(s.LogoutRequest).get("refresh"))
        return Response(status=204)


class WsTicket(ApiView):
    audit_exempt = True

    @api("auth", "A ticket that opens one socket", response=s.TicketShape, errors=(503,))
    def post(self, request: Request) -> HttpResponseBase:
        self.body()
        return Response(accounts.ws_ticket(self.actor), headers={"Cache-Control": "no-store"})


class Profile(ApiView):
    change_shape = s.ProfileRequest

    @api("profile", "Oneself", response=s.UserShape)
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return self.answer(accounts.user_dict(accounts.user_get(self.actor, self.actor.user_id)))

    @api("profile", "Change oneself", request=s.ProfileRequest, response=s.UserShape, errors=(412,))
    def put(self, request: Request) -> HttpResponseBase:
        given = self.body(s.ProfileRequest)
        self.precondition(accounts.user_dict(accounts.user_get(self.actor, self.actor.user_id)))
        return self.answer(accounts.user_dict(accounts.profile_update(self.actor, given)))

    patch = put


class ProfilePassword(ApiView):
    @api("profile", "Change one's password", request=s.PasswordRequest, status=204)
    def put(self, request: Request) -> HttpResponseBase:
        given = self.body(s.PasswordRequest)
        accounts.password_change(self.actor, given["old_password"], given["new_password"])
        return Response(status=204)


class Users(ApiView):
    @api("users", "All accounts", response=s.UserPage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, accounts.users_list(self.actor))

    @api("users", "Add one", request=s.UserCreateRequest, response=s.UserShape, status=201, errors=(409,))
    def post(self, request: Request) -> HttpResponseBase:
        user = accounts.user_create(self.actor, self.body(s.UserCreateRequest))
        return Response(accounts.user_dict(user), status=201)


class UserDetail(ApiView):
    change_shape = s.UserUpdateRequest
    also_guarded = ("is_admin",)

    @api("users", "One account", response=s.UserShape, operation_id="users_retrieve_one")
    def get(self, request: Request, user_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(accounts.user_dict(accounts.user_get(self.actor, user_id)))

    @api("users", "Change it", request=s.UserUpdateRequest, response=s.UserShape, errors=(409, 412))
    def put(self, request: Request, user_id: str) -> HttpResponseBase:
        given = self.body(s.UserUpdateRequest)
        self.precondition(accounts.user_dict(accounts.user_get(self.actor, user_id)))
        return self.answer(accounts.user_dict(accounts.user_update(self.actor, user_id, given)))

    patch = put

    @api("users", "Remove it", status=204, errors=(409,))
    def delete(self, request: Request, user_id: str) -> HttpResponseBase:
        accounts.user_delete(self.actor, user_id)
        return Response(status=204)


class Projects(ApiView):
    @api("projects", "One's projects", response=s.ProjectPage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, projects.projects_list(self.actor))

    @api("projects", "Add one", request=s.ProjectRequest, response=s.ProjectShape, status=201, errors=(409,))
    def post(self, request: Request) -> HttpResponseBase:
        project = projects.project_create(self.actor, self.body(s.ProjectRequest))
        return Response(projects.project_dict(project), status=201)


class ProjectDetail(ApiView):
    change_shape = s.ProjectUpdateRequest

    @api("projects", "One project", response=s.ProjectShape, operation_id="projects_retrieve_one")
    def get(self, request: Request, project_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(projects.project_dict(projects.project_get(self.actor, project_id)))

    @api("projects", "Change it", request=s.ProjectUpdateRequest, response=s.ProjectShape, errors=(409, 412))
    def put(self, request: Request, project_id: str) -> HttpResponseBase:
        given = self.body(s.ProjectUpdateRequest)
        self.precondition(projects.project_dict(projects.project_get(self.actor, project_id)))
        return self.answer(projects.project_dict(projects.project_update(self.actor, project_id, given)))

    patch = put

    @api("projects", "Remove it", status=204, errors=(409,))
    def delete(self, request: Request, project_id: str) -> HttpResponseBase:
        projects.project_delete(self.actor, project_id)
        return Response(status=204)


class Members(ApiView):
    @api("projects", "Its members", response=s.MemberPage, query=LISTED)
    def get(self, request: Request, project_id: str) -> HttpResponseBase:
        return listing_answer(self, projects.members_list(self.actor, project_id))

    @api(
        "projects",
        "Add a member or change the role",
        request=s.MemberRequest,
        response=s.MemberShape,
        status=201,
    )
    def post(self, request: Request, project_id: str) -> HttpResponseBase:
        given = self.body(s.MemberRequest)
        return Response(projects.member_set(self.actor, project_id, given["user"], given["role"]), status=201)


class MemberDetail(ApiView):
    @api("projects", "Remove a member", status=204)
    def delete(self, request: Request, project_id: str, user: str) -> HttpResponseBase:
        projects.member_remove(self.actor, project_id, user)
        return Response(status=204)
