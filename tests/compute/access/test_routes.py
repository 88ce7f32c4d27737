"""Every route of the API as everybody of the matrix, on things of the own project and of a foreign one.

Allowed means: not refused, whatever comes after (the engines of this test are not there). Refused means 403
in one's own project, 404 for what is foreign, 401 for nobody; nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils.http import urlencode
from rest_framework.test import APIClient

from compute.api.transfers import TRANSFER_HEADER
from compute.models import AuditEvent, Operation, User
from compute.permissions import CELLS, NOBODY, Cell, is_allowed
from kvm.models import ImageUpload
from tests.attacks.catalogue import attack
from tests.compute.access.addresses import patterns
from tests.compute.access.bodies import body_of, query_of
from tests.compute.access.ground import Ground, Side
from tests.compute.access.permission_routes import Route, routes
from tests.compute.access.places import FIXED, placeholders_of
from tests.compute.access.writes import writes_noted

pytestmark = pytest.mark.django_db
_METHODS = ("get", "post", "put", "patch", "delete")
# What changes nothing though its method says so.
LOOKS = (
    "compute/adoption-rules/preview",
    "compute/instances/adopt/preview",
    "docker/containers/<str:container_id>/wait",
    "auth/ws-ticket",
)


def _declared() -> Iterator[tuple[str, str]]:
    for path, pattern in patterns():
        view = getattr(pattern.callback, "cls", None)
        if path.startswith("api/v1/") and view is not None and "^" not in path:
            for method in _METHODS:
                if hasattr(view, method) and method in view.http_method_names:
                    yield method.upper(), path.removeprefix("api/v1/")


def test_every_route_says_which_action_it_is() -> None:
    known = {(route.method, route.path) for route in routes()}
    there = set(_declared())
    missing = sorted(there - known)
    assert not missing, f"{missing}: add them to permission_routes.py"
    assert not known - there, "these are no routes any more"


@attack(
    "S18",
    "every GET of the API as everybody of the matrix",
    refused="nothing is written but a row of the audit",
)
@attack(
    "S01 S28 S30",
    "every route of the API (from the resolver), without credentials and as everybody of the matrix",
    refused="401 without credentials; 404 for what is foreign; 403 for what the role lacks",
)
@pytest.mark.parametrize("route", routes(), ids=str)
def test_a_route_is_open_to_whom_the_matrix_says(route: Route, ground: Ground) -> None:
    sides = [(ground.own, False), (ground.foreign, True)]
    if route.kind not in ("", "new", "project", "upload"):
        sides = sides[:1]
    for cell in CELLS:
        for side, is_foreign in sides:
            # The member elsewhere is at home where all the others are foreign.
            if cell.name == "member elsewhere" and (is_foreign or route.kind == "mine"):
                continue
            stranger = is_foreign or cell.name == "member elsewhere"
            _ask(route, cell, side, ground, is_foreign=stranger)


def _ask(route: Route, cell: Cell, side: Side, ground: Ground, *, is_foreign: bool) -> None:
    with transaction.atomic():
        if route.kind == "upload" and (actor := ground.actor(cell)) is not None:
            # An upload is its maker's alone; the project is asked for all the same.
            ImageUpload.objects.update(user_uid=actor.user_id)
        rows, operations = AuditEvent.objects.count(), Operation.objects.count()
        with writes_noted() as written:
            answer = _answer(route, cell, side, ground)
        told = AuditEvent.objects.order_by("id").values_list("action", "target", "target_uid")[rows:]
        is_told, named = Operation.objects.count() > operations, list(told)
        transaction.set_rollback(True)
    what = f"{route} ({route.action}) as {cell.name}, {'foreign' if is_foreign else 'own'}"
    text = f"{what}: {answer.status_code} {bytes(answer.content)[:300]!r}"
    code = _code(answer)
    allowed = _expected(route, cell, is_foreign=is_foreign)
    assert answer.status_code not in (500, 405), text
    assert route.method != "GET" or not written, f"{text} wrote {written}"
    if route.kind == "public":
        return
    if route.method != "GET" and answer.status_code < 300 and TRANSFER_HEADER not in answer:
        # An operation is told of when it ends, by its action and its subject; an upload when it is over.
        assert is_told or named or route.path in LOOKS, f"it went untold: {text}"
        for action, target, uid in named:
            assert target or uid or action.startswith("auth."), f"{action} names nothing: {text}"
    if cell is NOBODY:
        assert answer.status_code == 401, text
    elif route.kind == "items":
        _nothing_foreign(cell, answer, ground, text)
    elif allowed:
        assert answer.status_code != 401 and code != "PERMISSION_DENIED", text
        if route.kind == "list":
            assert answer.status_code == 200, text
            _nothing_foreign(cell, answer, ground, text)
    elif is_foreign and route.kind in ("", "new", "project", "upload"):
        assert answer.status_code == 404, text
    else:
        assert answer.status_code == 403 and code == "PERMISSION_DENIED", text


def _expected(route: Route, cell: Cell, *, is_foreign: bool) -> bool:
    if route.kind == "list":
        return cell is not NOBODY
    is_hosts = route.kind in ("host", "site")
    return is_allowed(cell, route.action, is_foreign=is_foreign, is_hosts=is_hosts)


def _nothing_foreign(cell: Cell, answer: Any, ground: Ground, text: str) -> None:
    if not cell.is_site_admin:
        other = ground.own if cell.name == "member elsewhere" else ground.foreign
        assert other.project.name not in answer.content.decode(), text


def _answer(route: Route, cell: Cell, side: Side, ground: Ground) -> Any:
    ids = {**ground.hosts, **side.ids, **FIXED}
    ids["user_id"] = str(User.objects.get(username="target").pk)
    path, query = "/api/v1/" + _filled(route, ids), query_of(route, side.project.name)
    body, content_type = body_of(route, ids, side.project.name)
    actor = ground.actor(cell)
    client = APIClient(raise_request_exception=False)
    if actor is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {ground.tokens[cell.name]}")
    ask = getattr(client, route.method.lower())
    address = f"{path}?{urlencode(query)}" if query else path
    if content_type == "application/json":
        return ask(address, body, format="json")
    return ask(address, body, content_type=content_type) if content_type else ask(address)


def _filled(route: Route, ids: dict[str, str]) -> str:
    names = placeholders_of(route.path, ids)
    return re.sub(r"<\w+:(\w+)>", lambda match: names[match.group(1)], route.path)


def _code(answer: Any) -> str:
    if not answer.get("Content-Type", "").startswith("application/json"):
        return ""
    try:
        found = answer.json()
    except ValueError:
        return ""
    error = found.get("error") if isinstance(found, dict) else None
    return str(error["code"]) if isinstance(error, dict) else ""
