"""Standing rules: what appears is adopted once, by the first rule that matches; refusals stay visible."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.audit_guards import guards_lay, guards_lift
from compute.models import AdoptionRule, AuditEvent, Event, Instance, Node, Project, User
from compute.selectors.access import actor_for
from compute.services.adoption_rules import arrivals_adopt
from compute.services.tokens import token_create, token_revoke
from compute.states import TOKEN_SCOPES
from tests.compute.adoption.conftest import Appear
from tests.compute.api.conftest import client_for

older = import_module("compute.migrations.0029_adoption_rules_older_than_tokens")
pytestmark = pytest.mark.django_db
BASE = "/api/v1/compute/adoption-rules"


@pytest.fixture
def rule(client: APIClient, shop: Project) -> Any:
    def _rule(name: str, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"name": name, "project": "shop", "filter": wanted, **more}
        answer = client.post(BASE, body, format="json")
        assert answer.status_code == 201, answer.content
        return dict(answer.json())

    return _rule


def test_what_appears_is_adopted_and_what_was_there_waits_until_asked(
    client: APIClient, appear: Appear, rule: Any, fake_node: Node, shop: Project
) -> None:
    appear("web-old")
    arrivals_adopt(fake_node)
    made = rule("webs", {"name": "web-*"})
    appear("web-new")
    appear("other")
    assert arrivals_adopt(fake_node) == 1
    assert list(shop.instances.values_list("name", flat=True)) == ["web-new"]
    told = AuditEvent.objects.get(action="instance.adopt")
    assert (told.username, told.method, told.details["rule"]) == ("ada", "rule", "webs")
    done = client.post(f"{BASE}/webs/apply", {}, format="json").json()
    assert len(done["adopted"]) == 1
    shown = client.get(f"{BASE}/{made['id']}").json()
    assert (shown["adopted_total"], shown["problem"], shown["owner"]) == (2, None, "ada")
    assert set(shop.instances.values_list("name", flat=True)) == {"web-old", "web-new"}


def test_the_first_rule_that_matches_decides(
    client: APIClient, appear: Appear, rule: Any, fake_node: Node, shop: Project
) -> None:
    Project.objects.create(name="rest")
    rule("all", {}, project="rest")
    rule("webs", {"name": "web-*"}, position=0)
    client.patch(f"{BASE}/all", {"position": 5}, format="json")
    rule("off", {"name": "x"}, position=0, enabled=False)
    for name in ("web-1", "x"):
        appear(name)
    arrivals_adopt(fake_node)
    owners = dict(Instance.objects.values_list("name", "project__name"))
    assert owners == {"web-1": "shop", "x": "rest"}
    assert [item["name"] for item in client.get(BASE).json()["items"]] == ["off", "webs", "all"]


def test_a_refusal_is_seen_and_not_tried_for_ever(
    client: APIClient, appear: Appear, rule: Any, fake_node: Node, shop: Project
) -> None:
    Project.objects.filter(pk=shop.pk).update(max_instances=1)
    rule("all", {})
    appear("a")
    appear("b")
    assert arrivals_adopt(fake_node) == 1
    shown = client.get(f"{BASE}/all").json()
    assert shown["problem"].startswith("b on fake-1: The project shop allows instances up to 1")
    assert AuditEvent.objects.get(action="instance.adopt", target="b").result == "RESOURCE_LIMIT_EXCEEDED"
    assert Event.objects.filter(type="instance.adoption_refused").count() == 1
    assert arrivals_adopt(fake_node) == 0, "it was looked at"
    Project.objects.filter(pk=shop.pk).update(max_instances=2)
    assert len(client.post(f"{BASE}/all/apply", {}, format="json").json()["adopted"]) == 1
    assert client.get(f"{BASE}/all").json()["problem"] is None


@pytest.mark.parametrize("lost", ["rights", "account"])
def test_it_has_the_rights_of_its_owner_and_no_more(
    appear: Appear, rule: Any, admin: Actor, fake_node: Node, shop: Project, lost: str
) -> None:
    rule("all", {})
    owner = User.objects.filter(pk=admin.user_id)
    owner.update(is_superuser=False) if lost == "rights" else owner.delete()
    appear("a")
    assert arrivals_adopt(fake_node) == 0
    assert not Instance.objects.get(name="a").managed
    assert AdoptionRule.objects.get().problem.startswith("a on fake-1: ")
    assert AuditEvent.objects.filter(result="PERMISSION_DENIED", target="a").exists()


def test_it_ends_with_the_token_it_was_written_with_until_somebody_takes_it_over(
    client: APIClient, appear: Appear, admin: Actor, fake_node: Node, shop: Project
) -> None:
    shape, text = token_create(admin, {"name": "script", "scopes": sorted(TOKEN_SCOPES)})
    by_token = APIClient()
    by_token.credentials(HTTP_AUTHORIZATION=f"Token {text}")
    made = by_token.post(BASE, {"name": "all", "project": "shop", "filter": {}}, format="json")
    assert made.status_code == 201, made.content
    appear("a")
    assert arrivals_adopt(fake_node) == 1
    token_revoke(admin, shape["id"])
    appear("b")
    assert arrivals_adopt(fake_node) == 0
    assert client.get(f"{BASE}/all").json()["problem"].startswith("b on fake-1: ")
    assert AuditEvent.objects.get(action="instance.adopt", target="b").result == "UNAUTHENTICATED"
    client.patch(f"{BASE}/all", {"enabled": True}, format="json")
    appear("c")
    assert arrivals_adopt(fake_node) == 1


def test_what_libgo_makes_is_never_looked_at(
    rule: Any, make: Any, fake_node: Node, shop: Project, project: Project
) -> None:
    rule("all", {})
    row = make("ours")
    assert arrivals_adopt(fake_node) == 0
    row.refresh_from_db()
    assert row.project == project and row.adopted_at is None


def test_rules_are_changed_and_removed_with_a_word_in_the_audit(
    client: APIClient, rule: Any, shop: Project, fake_node: Node
) -> None:
    made = rule("webs", {"name": "web-*", "node": "fake-1", "labels": {"tier": "f*"}})
    assert made["filter"] == {
        "node": "fake-1", "backend": "", "name": "web-*", "image": "", "network": "", "labels": {"tier": "f*"}
    }  # fmt: skip
    changed = client.patch(f"{BASE}/webs", {"filter": {"image": "nginx*"}, "enabled": False}, format="json")
    assert changed.json()["filter"]["name"] == "" and not changed.json()["enabled"]
    told = AuditEvent.objects.get(action="adoption_rule.update").details
    assert told["after"]["enabled"] is False and "image" in str(told["after"]["filter"])
    assert client.delete(f"{BASE}/webs").status_code == 204
    assert client.get(f"{BASE}/webs").status_code == 404
    assert AuditEvent.objects.filter(action="adoption_rule.delete", target="webs").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "webs"}, 409),
        ({"project": "nowhere"}, 404),
        ({"filter": {"backend": "hyperv"}}, 400),
        ({"filter": {"node": "nowhere"}}, 404),
        ({"filter": {"nmae": "x"}}, 400),
        ({"position": -1}, 400),
        ({"name": "no spaces/here"}, 400),
        ({"filter": {"labels": {str(n): "" for n in range(21)}}}, 400),
    ],
)
def test_bad_rules_are_refused(client: APIClient, rule: Any, body: dict[str, Any], status: int) -> None:
    rule("webs", {})
    answer = client.post(BASE, {"name": "new", "project": "shop", "filter": {}, **body}, format="json")
    assert answer.status_code == status, answer.content
    assert AdoptionRule.objects.count() == 1


def test_a_preview_before_saving(client: APIClient, appear: Appear, shop: Project) -> None:
    appear("web")
    answer = client.post(f"{BASE}/preview", {"project": "shop", "filter": {"name": "w*"}}, format="json")
    assert [item["name"] for item in answer.json()["items"]] == ["web"]
    assert not AdoptionRule.objects.exists() and not shop.instances.exists()


def test_only_administrators_of_the_site(operator: Actor, shop: Project) -> None:
    anybody = client_for(operator)
    body = {"name": "x", "project": "shop", "filter": {}}
    assert anybody.get(BASE).status_code == 403
    assert anybody.post(BASE, body, format="json").status_code == 403


def test_in_bulk_it_needs_a_project(client: APIClient, appear: Appear, shop: Project) -> None:
    row = appear("web")
    body = {"action": "adopt", "ids": [str(row.pk)]}
    assert client.post("/api/v1/compute/instances/bulk", body, format="json").status_code == 400
    listed = client.get("/api/v1/compute/instances?managed=false").json()
    assert [item["name"] for item in listed["instances"]] == ["web"]


def _old(name: str, rule: Any, method: str | None) -> AdoptionRule:
    """As it stands after 0027 when it was written before; the audit's row of it says how, if it is there."""
    made = rule(name, {"name": f"{name}-*"})
    AdoptionRule.objects.filter(pk=made["id"]).update(scope=None, token_uid=None)
    guards_lift(connection)
    rows = AuditEvent.objects.filter(target_uid=made["id"])
    if method:
        rows.update(method=method)
    else:
        rows.delete()
    guards_lay(connection)
    return AdoptionRule.objects.get(pk=made["id"])


def test_one_older_than_the_column_finds_its_token_or_rests(client: APIClient, rule: Any) -> None:
    """What the audit knows of it decides."""
    by_page, forgotten = _old("page", rule, "session"), _old("forgotten", rule, None)
    ada = actor_for(User.objects.get(username="ada"))
    token, _ = token_create(ada, {"name": "t", "scopes": ["operate"]})
    by_token = _old("token", rule, "token")
    older.tokens_find(apps, None)
    by_token.refresh_from_db()
    assert str(by_token.token_uid) == token["id"] and by_token.is_enabled
    assert "admin" not in by_token.scope["permissions"] and by_token.scope["permissions"]
    assert not client.get(f"{BASE}/{by_page.pk}").json()["problem"]
    shown = client.get(f"{BASE}/{forgotten.pk}").json()
    assert shown["enabled"] and "ada wrote it before" in shown["problem"]
    AdoptionRule.objects.filter(pk=by_token.pk).update(scope=None, token_uid=None)
    token_create(ada, {"name": "u", "scopes": ["read"]})
    older.tokens_find(apps, None)
    shown = client.get(f"{BASE}/{by_token.pk}").json()
    assert not shown["enabled"] and "ada wrote it with a personal token" in shown["problem"]
    assert client.patch(f"{BASE}/{by_token.pk}", {"enabled": True}, format="json").json()["enabled"]
