"""The menus show what one may open, and every entry leads to a page that opens."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from compute.actor import Actor
from compute.menu import menus_of
from compute.models import Project, User

pytestmark = pytest.mark.django_db


def _labels(actor: Actor) -> dict[str, list[str]]:
    return {menu.label: [link.label for link in menu.links] for menu in menus_of(actor, "")}


def _client(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


def test_each_sees_what_they_may_open(admin: Actor, operator: Actor, viewer: Actor, client: Client) -> None:
    client.get("/login")
    assert _labels(admin)["Manage"] == [
        "Templates",
        "Backups",
        "Audit",
        "Users",
        "Limits",
        "Adopt",
        "Administration",
    ]
    assert _labels(operator)["Manage"] == _labels(viewer)["Manage"] == ["Templates", "Backups"]
    assert "Import a machine" in _labels(operator)["KVM"]
    assert "Import a machine" not in _labels(viewer)["KVM"]
    Project.objects.create(name="second")
    assert "Projects" in _labels(viewer)["Manage"]


@pytest.mark.parametrize("who", ["admin", "operator", "viewer"])
def test_every_entry_opens(who: str, request: pytest.FixtureRequest) -> None:
    client = _client(request.getfixturevalue(who))
    text = client.get("/operations").content.decode()
    links = re.findall(r'class="dropdown-item[^"]*" href="([^"]+)"', text)
    assert len(links) > 12
    assert {link: client.get(link).status_code for link in links if link != "/api/docs"} == {
        link: 200 for link in links if link != "/api/docs"
    }
    assert 'dropdown-item active" href="/operations"' in text
