"""The pages of projects and accounts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import AuditEvent, Membership, Project, User
from tests.compute.access.ground import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]


def _client(actor: Actor | None) -> Client:
    client = Client()
    if actor is not None:
        client.force_login(User.objects.get(pk=actor.user_id))
    return client


def test_a_project_gets_members_and_roles_by_its_page(admin: Actor, viewer: Actor) -> None:
    client = _client(admin)
    made = client.post("/projects", {"name": "shop", "description": "what we sell"})
    project = Project.objects.get(name="shop")
    assert made["Location"] == f"/projects/{project.pk}"
    path = f"/projects/{project.pk}"
    client.post(f"{path}/member", {"user": viewer.username, "role": "viewer"})
    client.post(f"{path}/member", {"user": str(viewer.user_id), "role": "operator"})
    assert Membership.objects.get(project=project).role == "operator"
    page = client.get(path).content.decode().replace('"/projects"', "")
    assert viewer.username in page and "what we sell" in page
    wrong = client.post(f"{path}/member", {"user": "nobody-of-that-name", "role": "viewer"})
    assert wrong.status_code == 400 and b"There is no such user" in wrong.content
    client.post(f"{path}/leave", {"user": str(viewer.user_id)})
    assert not Membership.objects.filter(project=project).exists()
    assert client.post(f"{path}/delete")["Location"] == "/projects"
    assert AuditEvent.objects.filter(action__startswith="project.").count() >= 4


def test_an_account_is_made_changed_switched_off_and_deleted_by_its_page(admin: Actor) -> None:
    client = _client(admin)
    weak = client.post("/users", {"username": "nina", "password": "1", "role": "viewer"})
    assert weak.status_code == 200 and b"password" in weak.content
    client.post("/users", {"username": "nina", "password": PASSWORD, "role": "viewer"})
    nina = User.objects.get(username="nina")
    path = f"/users/{nina.pk}"
    client.post(f"{path}/edit", {"email": "nina@example.test", "is_admin": "1"})
    nina.refresh_from_db()
    assert nina.email == "nina@example.test" and nina.is_superuser
    client.post(f"{path}/edit", {"email": ""})
    client.post(f"{path}/password", {"password": "quite another sentence"})
    client.post(f"{path}/disable")
    nina.refresh_from_db()
    assert not nina.is_superuser and not nina.is_active and nina.check_password("quite another sentence")
    assert b"switched off" in client.get("/users").content
    client.post(f"{path}/delete")
    assert not User.objects.filter(username="nina").exists()
    last = client.post(f"/users/{admin.user_id}/delete")
    assert last.status_code == 400 and b"without an administrator" in last.content


def test_a_site_with_one_project_never_says_the_word(admin: Actor, operator: Actor) -> None:
    for path in ("/", "/instances", "/users"):
        text = _client(admin).get(path).content.decode().replace('"/projects"', "")
        assert "roject" not in text, text[text.find("roject") - 200 : text.find("roject") + 50]
    Project.objects.create(name="second")
    assert b">Projects<" in _client(operator).get("/instances").content
