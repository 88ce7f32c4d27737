"""Reading the audit, and that every change and refusal is in it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from compute.actor import SYSTEM, Actor
from compute.api.base import ApiView
from compute.audit import audit, changes_of, outcome_of
from compute.audit_net import REFUSALS
from compute.models import AuditEvent, Instance, Membership, Node, Operation, Project, User
from compute.selectors.audit import AuditFilter, audit_pieces
from compute.states import Outcome, Role
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db
BASE = "/api/v1"


def _last(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).order_by("-id")[0]


def test_a_row_tells_who_by_what_from_where_and_before_and_after(
    as_admin: APIClient, admin: Actor, project: Project
) -> None:
    path = f"{BASE}/projects/{project.pk}"
    answer = as_admin.put(
        path,
        {"description": "shop", "name": "shop"},
        format="json",
        HTTP_USER_AGENT="curl/8",
        REMOTE_ADDR="192.0.2.7",
        HTTP_X_REQUEST_ID="asked-1",
    )
    assert answer.status_code == 200, answer.content
    row = _last("project.update")
    assert (row.username, row.method, row.remote_address) == ("ada", "jwt", "192.0.2.7")
    assert (row.user_agent, row.request_id, row.outcome) == ("curl/8", "asked-1", Outcome.OK)
    assert row.project_uid == project.pk
    assert row.details["before"] == {"description": "", "name": "default"}
    assert row.details["after"] == {"description": "shop", "name": "shop"}


@attack("S77", "secrets in before and after of the audit", refused="masked", audit="the row, masked")
def test_secrets_are_masked_in_before_and_after() -> None:
    found = changes_of({"password": "old", "url": "a"}, {"password": "new", "url": "b"})
    assert "old" not in str(found) and "new" not in str(found)
    assert (found["before"]["url"], found["after"]["url"]) == ("a", "b") and "password" in found["after"]


def test_an_operation_is_told_with_who_asked_and_from_where(
    as_operator: APIClient,
    operator: Actor,
    fake_node: Node,
    worker_inline: None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    body = {"name": "web", "backend": "fake", "config": {"image": "demo"}}
    with django_capture_on_commit_callbacks(execute=True):
        answer = as_operator.post(
            f"{BASE}/compute/instances", body, format="json", REMOTE_ADDR="192.0.2.9", HTTP_USER_AGENT="tool"
        )
    assert answer.status_code == 202, answer.content
    row = AuditEvent.objects.get(action="instance.create")
    assert (row.username, row.method, row.remote_address) == ("oscar", "jwt", "192.0.2.9")
    assert (row.user_agent, row.result, row.outcome) == ("tool", "succeeded", Outcome.OK)
    assert row.project_uid == Operation.objects.get().project_id
    assert AuditEvent.objects.filter(action__startswith="POST").count() == 0, "told once"


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("ok", "ok"),
        ("succeeded", "ok"),
        ("exit 1", "ok"),
        ("refused", "refused"),
        ("POLICY_DENIED", "refused"),
    ]
    + [("failed", "failed"), ("BACKEND_TIMEOUT", "failed"), ("INTERNAL", "failed"), ("timed_out", "failed")],
)
def test_words_and_codes_have_an_outcome(word: str, outcome: str) -> None:
    assert outcome_of(word) == Outcome(outcome)


@attack(
    "S85", "refusals without end", refused="told, and counted together", audit="rows with the outcome denied"
)
def test_refusals_are_told_and_do_not_flood(as_viewer: APIClient, viewer: Actor, make: Any) -> None:
    instance = make("web")
    for _ in range(REFUSALS + 10):
        answer = as_viewer.put(f"{BASE}/compute/instances/{instance.pk}/stop", {}, format="json")
        assert answer.status_code == 403
    rows = AuditEvent.objects.filter(outcome=Outcome.REFUSED.value, username="vera")
    assert rows.count() == REFUSALS
    row = rows[0]
    assert row.action == "instance.stop" and row.result == "PERMISSION_DENIED"
    assert str(instance.pk) in row.target
    assert Instance.objects.get(pk=instance.pk).state == "running"


def test_a_page_that_is_refused_is_told_too(viewer: Actor, make: Any, client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=viewer.user_id))
    instance = make("web")
    client.post(f"/instances/{instance.pk}/do/stop", HTTP_HX_REQUEST="true")
    row = AuditEvent.objects.filter(outcome=Outcome.REFUSED.value).order_by("-id")[0]
    assert (row.username, row.method, row.result) == ("vera", "session", "PERMISSION_DENIED")


def test_a_page_that_shows_the_refusal_beside_its_form_is_told_as_refused(
    viewer: Actor, make: Any, client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=viewer.user_id))
    assert client.post("/projects", {"name": "mine"}).status_code == 200
    row = AuditEvent.objects.filter(username="vera").get()
    assert (row.action, row.outcome, row.result) == ("project.create", "refused", "PERMISSION_DENIED")


def test_a_form_that_comes_back_is_no_change(admin: Actor, client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=admin.user_id))
    before = AuditEvent.objects.count()
    assert client.post("/alerts/channels/new", {"name": ""}).status_code == 200
    assert client.post("/limits/site", {"max_instances": "many"}).status_code == 200
    assert AuditEvent.objects.count() == before


def test_filters(as_admin: APIClient, project: Project) -> None:
    audit(SYSTEM, "test.one", "alpha", project=project.pk)
    audit(SYSTEM, "test.two", "beta", result="BACKEND_ERROR")

    def found(query: str) -> list[str]:
        answer = as_admin.get(f"{BASE}/audit?{query}")
        assert answer.status_code == 200, answer.content
        return [row["action"] for row in answer.json()["items"] if row["action"].startswith("test.")]

    assert found("action=test") == ["test.two", "test.one"]
    assert found("action=test.one&user=system") == ["test.one"]
    assert found("target=beta") == ["test.two"]
    assert found(f"project={project.name}") == ["test.one"]
    assert found("result=failed&q=bet") == ["test.two"]
    assert found("result=BACKEND_ERROR") == ["test.two"]
    assert found("from=2100-01-01T00:00:00Z") == []
    assert found("to=2100-01-01T00:00:00Z&sort=timestamp") == ["test.one", "test.two"]
    for wrong in ("from=yesterday", "from=2026-99-99T00:00:00Z", "colour=red", "format=xml", "sort=secret"):
        refused = as_admin.get(f"{BASE}/audit?{wrong}")
        assert refused.status_code == 400, wrong


def test_a_projects_administrators_see_their_project_and_nobody_else_sees_any(
    as_operator: APIClient, as_viewer: APIClient, operator: Actor, project: Project
) -> None:
    other = Project.objects.create(name="other")
    audit(SYSTEM, "test.ours", project=project.pk)
    audit(SYSTEM, "test.theirs", project=other.pk)
    audit(SYSTEM, "test.site")
    assert as_operator.get(f"{BASE}/audit").status_code == 403
    Membership.objects.filter(user_id=operator.user_id).update(role=Role.ADMIN.value)
    seen = {row["action"] for row in as_operator.get(f"{BASE}/audit").json()["items"]}
    assert "test.ours" in seen and not seen & {"test.theirs", "test.site"}
    assert as_viewer.get(f"{BASE}/audit").status_code == 403
    assert as_operator.get(f"{BASE}/audit/verify").status_code == 403


def test_the_chains_state_is_told(as_admin: APIClient) -> None:
    audit(SYSTEM, "test.one")
    told = as_admin.get(f"{BASE}/audit/verify").json()
    assert told["holds"] is True and told["unsealed"] >= 1


@attack("S85", "formulas in an export of the audit", refused="text", audit="a row for the export")
def test_the_export_has_every_row_and_no_formulas(admin: Actor) -> None:
    audit(SYSTEM, "test.one", "=cmd|' /C calc'!A0", details={"why": "a, “b”"})
    for number in range(600):
        audit(SYSTEM, "test.many", f"t{number}")
    text = b"".join(audit_pieces(admin, AuditFilter(action="test"), "csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 601 and rows[0]["target"].startswith("'=cmd")
    lines = b"".join(audit_pieces(admin, AuditFilter(action="test"), "jsonl")).splitlines()
    assert len(lines) == 601 and json.loads(lines[0])["details"] == {"why": "a, “b”"}


def test_the_export_streams_and_is_told(as_admin: APIClient) -> None:
    answer = as_admin.get(f"{BASE}/audit", HTTP_ACCEPT="text/csv")
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    assert _last("audit.export").target == "csv"


# Routes whose method says change though they change nothing, or which tell of it elsewhere.
_EXEMPT = {
    "auth/login",
    "auth/refresh",
    "auth/ws-ticket",
    "compute/instances/adopt/preview",
    "compute/adoption-rules/preview",
}


def _routes(patterns: list[Any], prefix: str = "") -> list[tuple[str, type[Any]]]:
    found: list[tuple[str, type[Any]]] = []
    for each in patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            found += _routes(each.url_patterns, route)
        elif isinstance(each, URLPattern) and hasattr(each.callback, "cls"):
            found.append((route, each.callback.cls))
    return found


@attack(
    "S85", "a changing route that nobody tells of", refused="none, by construction", audit="one row for each"
)
def test_no_changing_route_goes_untold_by_construction() -> None:
    """Every view of the API goes through ``ApiView.dispatch``, which tells of what no service told."""
    changing = {"post", "put", "patch", "delete"}
    seen = 0
    for route, view in _routes(get_resolver().url_patterns):
        if not route.startswith("api/v1/") or not any(hasattr(view, word) for word in changing):
            continue
        seen += 1
        assert issubclass(view, ApiView), route
        assert view.dispatch is ApiView.dispatch or view.schema is None, route
        assert view.audit_exempt == (route.removeprefix("api/v1/") in _EXEMPT), route
    assert seen > 100


def test_what_no_service_tells_of_is_told_by_its_route(
    as_admin: APIClient, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.setattr("compute.services.projects.audit", lambda *args, **kwargs: None)
    path = f"{BASE}/projects/{project.pk}"
    assert as_admin.put(path, {"description": "x"}, format="json").status_code == 200
    row = _last("PUT projects/<project_id>")
    assert row.target == path and row.username == "ada"


_CHANGES: list[tuple[str, str, dict[str, Any], str]] = [
    ("post", "projects", {"name": "new-one"}, "project.create"),
    ("put", "projects/{project}", {"description": "x"}, "project.update"),
    ("put", "projects/{project}/limits", {"max_instances": 9}, "limits.project"),
    ("post", "projects/{project}/members", {"user": "stan", "role": "viewer"}, "project.member"),
    ("delete", "projects/{project}/members/stan", {}, "project.member_removed"),
    ("post", "users", {"username": "uma", "password": "correct horse battery"}, "user.create"),
    ("put", "users/{user}", {"email": "s@example.test"}, "user.update"),
    ("delete", "users/{user}", {}, "user.delete"),
    ("put", "profile", {"email": "a@example.test"}, "profile.update"),
    ("put", "compute/instances/{instance}", {"labels": {"a": "b"}}, "instance.update"),
    ("put", "compute/instances/{instance}/stop", {}, "instance.stop"),
    ("put", "compute/instances/{instance}/start", {}, "instance.start"),
    ("post", "compute/instances/{instance}/snapshots", {"name": "s1"}, "instance.snapshot"),
    ("post", "compute/instances/{instance}/clone", {"name": "web-2"}, "instance.create"),
    ("put", "nodes/{node}/drain", {}, "node.drain"),
    ("put", "nodes/{node}/resume", {}, "node.resume"),
    ("delete", "compute/instances/{instance}?force=true", {}, "instance.delete"),
    ("post", "auth/logout", {}, "auth.logout"),
]


@attack("S85", "changes told twice or not at all", refused="each once", audit="one row for each")
def test_each_change_is_told_once_and_by_its_own_name(
    as_admin: APIClient,
    stranger: Actor,
    project: Project,
    fake_node: Node,
    make: Callable[..., Instance],
    django_capture_on_commit_callbacks: Any,
) -> None:
    ids = {
        "project": project.pk,
        "user": stranger.user_id,
        "instance": make("web").pk,
        "node": fake_node.pk,
    }
    for method, path, body, action in _CHANGES:
        before = AuditEvent.objects.count()
        with django_capture_on_commit_callbacks(execute=True):
            answer = getattr(as_admin, method)(f"{BASE}/{path.format(**ids)}", body, format="json")
        assert answer.status_code < 300, f"{method} {path}: {answer.content}"
        new = list(AuditEvent.objects.order_by("id").values_list("action", flat=True)[before:])
        assert new == [action], f"{method} {path}"
