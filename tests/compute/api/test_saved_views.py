"""Saved views over REST: the page's own, nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from compute.actor import Actor
from compute.models import AuditEvent
from compute.selectors.saved_views import views_of
from compute.services.saved_views import PER_PAGE_MAX, view_save
from tests.compute.api.conftest import client_for

pytestmark = pytest.mark.django_db
URL = "/api/v1/profile/views"


def test_a_view_is_made_listed_read_and_forgotten(operator: Actor) -> None:
    client = client_for(operator)
    view_save(operator, "instances", "By the page", "state=stopped")
    body = {"name": "Web  machines", "query": "?sort=-name&label=tier=web&label=x&state=running&q="}
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["name"] == "Web machines"
    assert made["query"] == "state=running&label=tier%3Dweb&label=x&sort=-name"
    assert client.get(answer["Location"]).json() == made
    listed = client.get(URL).json()
    assert [each["name"] for each in listed["items"]] == ["By the page", "Web machines"]
    assert listed["total"] == 2 and client.get(f"{URL}?page_size=1&page=2").json()["items"] == [made]
    assert [row.name for row in views_of(operator, "instances")] == ["By the page", "Web machines"]
    assert client.post(URL, body, format="json").json()["error"]["code"] == "NAME_CONFLICT"
    assert client.delete(answer["Location"]).status_code == 204
    assert client.get(answer["Location"]).status_code == client.delete(answer["Location"]).status_code == 404
    told = AuditEvent.objects.filter(action__startswith="view.").order_by("pk")
    assert [row.action for row in told] == ["view.save", "view.save", "view.delete"]


def test_others_and_strangers_see_none_of_it(operator: Actor, viewer: Actor, client: Any) -> None:
    row = view_save(operator, "instances", "Mine", "mine=1")
    other = client_for(viewer)
    assert other.get(URL).json()["items"] == []
    assert other.get(f"{URL}/{row.pk}").status_code == other.delete(f"{URL}/{row.pk}").status_code == 404
    assert client.get(URL).status_code == 401
    assert [each.name for each in views_of(operator, "instances")] == ["Mine"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 41}, "name"),
        ({"name": "a\tb\x07"}, "name"),
        ({"name": "x", "query": "colour=red"}, "query"),
        ({"name": "x", "query": "q=" + "x" * 1000}, "query"),
        ({"name": "x", "query": "&".join(["label=a"] * 1200)[:1000]}, None),
        ({"name": "x", "query": 5}, None),
        ({"name": "x", "page": "nodes"}, "page"),
    ],
)
def test_what_makes_no_sense_is_refused(operator: Actor, body: dict[str, Any], field: str | None) -> None:
    answer = client_for(operator).post(URL, body, format="json")
    if field is None:
        assert answer.status_code in (201, 400), answer.content
        return
    assert answer.status_code == 400 and field in answer.json()["error"]["details"]["fields"], answer.content
    assert views_of(operator, "instances") == []


def test_there_are_so_many_and_odd_ids_are_none(operator: Actor) -> None:
    client = client_for(operator)
    for number in range(PER_PAGE_MAX):
        assert client.post(URL, {"name": f"v{number}"}, format="json").status_code == 201
    answer = client.post(URL, {"name": "one more"}, format="json")
    assert answer.status_code == 400 and str(PER_PAGE_MAX) in answer.content.decode()
    assert client.get(f"{URL}/{10**30}").status_code == client.get(f"{URL}/x").status_code == 404
