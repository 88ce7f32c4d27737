"""Every route of the API with personal tokens that are narrower than their owners: one project, reading."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from compute.models import Membership, User
from compute.selectors.access import actor_for
from compute.services.tokens import token_create
from compute.states import Role
from tests.attacks.catalogue import attack
from tests.compute.access.bodies import body_of, query_of
from tests.compute.access.conftest import ground, laid  # noqa: F401  (the ground of the sweeps)
from tests.compute.access.ground import Ground, Side
from tests.compute.access.permission_routes import Route, routes
from tests.compute.access.places import FIXED
from tests.compute.access.test_routes import _filled

pytestmark = pytest.mark.django_db
_ABOUT_A_THING = [route for route in routes() if route.kind in ("", "new", "project", "upload")]
_LISTS = [route for route in routes() if route.kind == "list"]
_CHANGES = [route for route in _ABOUT_A_THING if route.method != "GET"]


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _token(ground: Ground, scopes: list[str], *, is_admin: bool = False) -> str:  # noqa: F811
    """Of somebody who operates both projects, or all, for the one of them."""
    user = User.objects.create_user(f"n-{uuid.uuid4().hex[:8]}", "", "a long password of theirs")
    if is_admin:
        user.is_superuser = user.is_staff = True
        user.save()
    for side in (ground.own, ground.foreign):
        Membership.objects.create(project=side.project, user=user, role=Role.OPERATOR.value)
    wanted = {"name": "narrow", "scopes": scopes, "projects": [str(ground.own.project.pk)]}
    return token_create(actor_for(user), wanted)[1]


def _ask(route: Route, side: Side, ground: Ground, token: str) -> Any:  # noqa: F811
    ids = {**ground.hosts, **side.ids, **FIXED}
    ids["user_id"] = str(User.objects.get(username="target").pk)
    query = query_of(route, side.project.name)
    body, content_type = body_of(route, ids, side.project.name)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    address = f"/api/v1/{_filled(route, ids)}{'?' + urlencode(query) if query else ''}"
    ask = getattr(client, route.method.lower())
    with transaction.atomic():
        if content_type == "application/json":
            answer = ask(address, body, format="json")
        else:
            answer = ask(address, body, content_type=content_type) if content_type else ask(address)
        transaction.set_rollback(True)
    return answer


@attack(
    "S16 S28",
    "every route about a thing, with a token for another of its owner's projects, an administrator's too",
    refused="404, as if its owner were no member there",
)
@pytest.mark.parametrize("route", _ABOUT_A_THING, ids=_name)
def test_a_token_for_one_project_reaches_no_other(route: Route, ground: Ground) -> None:  # noqa: F811
    for is_admin in (False, True):
        scopes = ["admin"] if is_admin else ["operate"]
        answer = _ask(route, ground.foreign, ground, _token(ground, scopes, is_admin=is_admin))
        text = f"{is_admin=} {answer.status_code}: {answer.content[:300]!r}"
        assert answer.status_code == 404, text


@attack(
    "S16 S28",
    "every list, with a token for one of its owner's projects, an administrator's too",
    refused="nothing of the other project is in it",
)
@pytest.mark.parametrize("route", _LISTS, ids=_name)
def test_a_list_by_a_token_holds_its_project_alone(route: Route, ground: Ground) -> None:  # noqa: F811
    for is_admin in (False, True):
        scopes = ["admin"] if is_admin else ["operate"]
        answer = _ask(route, ground.own, ground, _token(ground, scopes, is_admin=is_admin))
        text = f"{is_admin=} {answer.status_code}: {answer.content[:300]!r}"
        assert answer.status_code in (200, 403), text
        assert ground.foreign.project.name not in answer.content.decode(), text


@attack(
    "S16 S30",
    "every change of a thing of the project, with a token that may only read",
    refused="403",
)
@pytest.mark.parametrize("route", _CHANGES, ids=_name)
def test_a_token_that_reads_changes_nothing(route: Route, ground: Ground) -> None:  # noqa: F811
    answer = _ask(route, ground.own, ground, _token(ground, ["read"]))
    # An upload under way is its maker's alone.
    wanted = 404 if route.kind == "upload" or "uploads/<" in route.path else 403
    if not route.action.endswith(".read"):
        assert answer.status_code == wanted, f"{answer.status_code}: {answer.content[:300]!r}"
