"""Projects with their members, and the accounts of the site. Plain forms: they work without scripts."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.complaints import complaints_text
from compute.errors import ComputeError, NotFound
from compute.models import Project, User
from compute.selectors.access import action_allowed, action_require, visible
from compute.services import accounts, projects
from compute.services.limit_settings import project_limits_read
from compute.states import Role
from compute.views.api_line import ApiCall, is_look, plain_look, secret_shown
from compute.views.common import actor_of, page
from compute.views.limits import bars_of
from compute.wording import later

_ROLES = [role.value for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN)]
_ROLE_TEXTS = {
    "viewer": later("sees everything, changes nothing"),
    "operator": later("makes, starts, stops, opens and deletes"),
    "admin": later("and sees to the members"),
}


@require_http_methods(["GET", "POST"])
@page
def project_list(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    given = {name: _word(request, name) for name in ("name", "description")}
    if is_look(request):
        return plain_look(ApiCall("/projects", given), {"name": given["name"]})
    if request.method == "POST":
        try:
            return redirect("project", project_id=projects.project_create(actor, given).pk)
        except ComputeError as error:
            message = complaints_text(error, is_named=True)
    rows = visible(actor, Project.objects.all(), "pk").annotate(
        instance_count=Count("instances", distinct=True),
        member_count=Count("memberships", distinct=True),
        thing_count=Count("resources", distinct=True),
    )
    context = {"rows": rows.order_by("-is_default", "name"), "given": given, "message": message}
    context["may_create"] = action_allowed(actor, "project.create")
    return render(request, "compute/project_list.html", context)


@require_GET
@page
def project_detail(request: HttpRequest, project_id: uuid.UUID) -> HttpResponse:
    return _project_shown(request, actor_of(request), project_id, "")


@require_POST
@page
def project_change(request: HttpRequest, project_id: uuid.UUID, what: str) -> HttpResponse:
    """``edit``, ``member`` (add one, or another role), ``leave`` (take one out), ``delete``."""
    actor = actor_of(request)
    if is_look(request):
        return _project_look(request, project_id, what)
    try:
        if what == "edit":
            given = {name: _word(request, name) for name in ("name", "description")}
            projects.project_update(actor, project_id, given)
        elif what == "member":
            projects.member_set(actor, project_id, _word(request, "user"), _word(request, "role"))
        elif what == "leave":
            projects.member_remove(actor, project_id, _word(request, "user"))
        elif what == "delete":
            projects.project_delete(actor, project_id)
            return redirect("projects")
        else:
            raise NotFound(_("There is no such change."))
    except ComputeError as error:
        return _project_shown(request, actor, project_id, complaints_text(error, is_named=True))
    return redirect("project", project_id=project_id)


def _project_look(request: HttpRequest, project_id: uuid.UUID, what: str) -> HttpResponse:
    """The request of the API that adds the member of the form, or changes the project as it says."""
    path = f"/projects/{projects.project_get(actor_of(request), project_id).pk}"
    if what == "member":
        given = {name: _word(request, name) for name in ("user", "role")}
        return plain_look(ApiCall(f"{path}/members", given), given)
    given = {name: _word(request, name) for name in ("name", "description")}
    return plain_look(ApiCall(path, given, method="PUT", whole=True), {"name": given["name"]})


@require_http_methods(["GET", "POST"])
@page
def user_list(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    action_require(actor, "user.read")
    given = {name: _word(request, name) for name in ("username", "email", "role")}
    if is_look(request):
        body = {**given, "password": secret_shown("LIBGO_PASSWORD")}
        return plain_look(ApiCall("/users", body), {"username": given["username"]})
    if request.method == "POST":
        try:
            made = accounts.user_create(actor, {**given, "password": request.POST.get("password", "")})
            return redirect("user", user_id=made.pk)
        except ComputeError as error:
            message = complaints_text(error, is_named=True)
    rows = User.objects.prefetch_related("memberships__project").order_by("username")
    context = {"rows": rows, "given": given, "message": message, "roles": _roles()}
    return render(request, "compute/user_list.html", context)


@require_GET
@page
def user_detail(request: HttpRequest, user_id: uuid.UUID) -> HttpResponse:
    return _user_shown(request, actor_of(request), user_id, "")


@require_POST
@page
def user_change(request: HttpRequest, user_id: uuid.UUID, what: str) -> HttpResponse:
    """``edit``, ``password``, ``disable``, ``enable``, ``delete``."""
    actor = actor_of(request)
    action_require(actor, "user.delete" if what == "delete" else "user.update")
    if is_look(request):
        return _user_look(request, actor, user_id, what)
    try:
        if what == "delete":
            accounts.user_delete(actor, user_id)
            return redirect("users")
        accounts.user_update(actor, user_id, _user_given(request, actor, user_id, what))
    except ComputeError as error:
        return _user_shown(request, actor, user_id, complaints_text(error, is_named=True))
    return redirect("user", user_id=user_id)


def _user_look(request: HttpRequest, actor: Actor, user_id: uuid.UUID, what: str) -> HttpResponse:
    body = _user_given(request, actor, user_id, what)
    if "password" in body:
        body["password"] = secret_shown("LIBGO_PASSWORD")
    return plain_look(ApiCall(f"/users/{user_id}", body, method="PUT", whole=True), {})


def _user_given(request: HttpRequest, actor: Actor, user_id: uuid.UUID, what: str) -> dict[str, Any]:
    if what == "password":
        return {"password": request.POST.get("password", "")}
    if what in ("disable", "enable"):
        return {"is_active": what == "enable"}
    if what != "edit":
        raise NotFound(_("There is no such change."))
    given: dict[str, Any] = {"email": _word(request, "email")}
    is_admin, was_admin = "is_admin" in request.POST, accounts.user_get(actor, user_id).is_superuser
    if is_admin != was_admin:
        # Who is no administrator any more keeps working: as an operator of the site's first project.
        given["role"] = Role.ADMIN.value if is_admin else Role.OPERATOR.value
    return given


def _project_shown(request: HttpRequest, actor: Actor, project_id: uuid.UUID, message: str) -> HttpResponse:
    project = projects.project_get(actor, project_id)
    kinds = project.resources.values_list("kind").annotate(Count("pk")).order_by("kind")
    context = {
        "project": projects.project_dict(project),
        "members": projects.members_list(actor, project.pk),
        "holds": [("instance", project.instances.count()), *kinds],
        "message": message,
        "roles": _roles(),
        "may_update": action_allowed(actor, "project.update", project.pk),
        "may_member": action_allowed(actor, "project.member", project.pk),
        "may_delete": action_allowed(actor, "project.delete") and not project.is_default,
    }
    context["bars"] = bars_of(project_limits_read(actor, project.pk))
    return render(request, "compute/project_detail.html", context, status=400 if message else 200)


def _user_shown(request: HttpRequest, actor: Actor, user_id: uuid.UUID, message: str) -> HttpResponse:
    action_require(actor, "user.read")
    user = accounts.user_get(actor, user_id)
    context = {
        "account": user,
        "memberships": user.memberships.select_related("project").order_by("project__name"),
        "is_self": str(user.pk) == str(actor.user_id),
        "message": message,
    }
    return render(request, "compute/user_detail.html", context, status=400 if message else 200)


def _roles() -> list[tuple[str, str]]:
    return [(role, _ROLE_TEXTS[role]) for role in _ROLES]


def _word(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "").strip()[:1000]
