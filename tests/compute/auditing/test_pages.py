"""The pages of the audit and of events: who sees them, what they say, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.actor import SYSTEM, Actor
from compute.audit import audit, changes_of
from compute.audit_chain import audit_seal
from compute.models import AuditEvent, Membership, Project, User
from compute.states import Role
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(admin: Actor, settings: Any) -> Client:
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client()
    client.force_login(User.objects.get(pk=admin.user_id))
    return client


@attack("S67", "markup in what the audit shows", refused="text", audit="the row itself")
def test_a_change_is_shown_with_before_and_after_and_nothing_of_it_is_markup(page: Client) -> None:
    audit(
        SYSTEM, "test.one", "<script>alert(1)</script>", details=changes_of({"name": "old"}, {"name": "new"})
    )
    text = page.get("/audit").content.decode()
    assert ">old</del>" in text and ">new</ins>" in text
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text


def test_filters_narrow_the_table_and_the_exports_take_them_along(page: Client) -> None:
    audit(SYSTEM, "test.one", "alpha")
    audit(SYSTEM, "test.two", "beta", result="BACKEND_ERROR")
    text = page.get("/audit?result=failed", HTTP_HX_REQUEST="true").content.decode()
    assert "beta" in text and "alpha" not in text
    assert "/api/v1/audit?result=failed&amp;format=csv" in text
    assert page.get("/audit?from=nonsense&page=zero").status_code == 200


def test_the_chains_state_is_asked_for_by_a_button(page: Client) -> None:
    audit(SYSTEM, "test.one")
    audit_seal()
    assert "The chain holds" in page.get("/audit/state").content.decode()
    AuditEvent.objects.filter(action="test.one").update(username="mallory")
    assert "The chain is broken" in page.get("/audit/state").content.decode()


def test_only_administrators_see_the_audit_and_its_menu(
    page: Client, operator: Actor, project: Project
) -> None:
    client = Client()
    client.force_login(User.objects.get(pk=operator.user_id))
    assert client.get("/audit").status_code == 403
    assert 'href="/audit"' not in client.get("/events").content.decode()
    Membership.objects.filter(user_id=operator.user_id).update(role=Role.ADMIN.value)
    audit(SYSTEM, "test.ours", "ours", project=project.pk)
    audit(SYSTEM, "test.site", "of-the-site")
    text = client.get("/audit").content.decode()
    assert "ours" in text and "of-the-site" not in text and "Verify now" not in text
    assert 'href="/audit"' in text
    assert client.get("/audit/state").status_code == 403


def test_pages_cost_the_same_however_many_rows_they_show(page: Client, make: Any) -> None:
    make("web")

    def cost(path: str) -> int:
        page.get(path)
        with CaptureQueriesContext(connection) as seen:
            assert page.get(path).status_code == 200
        return len(seen)

    one = {path: cost(path) for path in ("/audit", "/events")}
    for number in range(40):
        audit(SYSTEM, "test.many", f"t{number}")
    for number in range(3):
        make(f"web-{number}")
    assert {path: cost(path) for path in one} == one


def test_the_history_of_an_instance_names_who_did_what(page: Client, make: Any) -> None:
    instance = make("web")
    text = page.get(f"/instances/{instance.pk}/events").content.decode()
    assert "Operations" in text and "ada" in text and "instance.created" in text
    assert "instance.created" in page.get("/events?type=instance").content.decode()
    assert page.get("/events?type=nonsense&before=abc").status_code == 200
