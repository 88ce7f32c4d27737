"""Adoption of what a filter matches: what fits is adopted, the rest is told with its reason."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.models import AuditEvent, Instance, Node, Project, Resource
from compute.selectors.instances import STACK_LABEL
from tests.attacks.catalogue import attack
from tests.compute.adoption.conftest import Appear

pytestmark = pytest.mark.django_db
BASE = "/api/v1/compute/instances/adopt"


def _ask(client: APIClient, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, {"project": "shop", **body}, format="json")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["api", "web-1", "web-2"]),
        ({"name": "web-*"}, ["web-1", "web-2"]),
        ({"image": "nginx:*"}, ["web-1", "web-2"]),
        ({"network": "front"}, ["web-1"]),
        ({"labels": {"tier": "f*"}}, ["web-2"]),
        ({"labels": {"tier": ""}}, ["api", "web-2"]),
        ({"backend": "fake", "node": "fake-1", "name": "a??"}, ["api"]),
        ({"backend": "kvm"}, []),
    ],
)
def test_every_condition_narrows(
    client: APIClient, appear: Appear, shop: Project, wanted: dict[str, Any], names: list[str]
) -> None:
    appear("web-1", image="nginx:1", network="front")
    appear("web-2", image="nginx:2", network="back", labels={"tier": "front"})
    appear("api", image="python:3", labels={"tier": "back"})
    preview = _ask(client, f"{BASE}/preview", filter=wanted)
    assert [item["name"] for item in preview["items"]] == names
    assert (preview["adopted"], preview["refused"]) == (len(names), 0)
    assert not shop.instances.exists(), "a preview changes nothing"
    assert len(_ask(client, BASE, filter=wanted)["adopted"]) == len(names)
    assert sorted(shop.instances.values_list("name", flat=True)) == names
    assert not shop.instances.filter(managed=False).exists()
    assert _ask(client, BASE, filter=wanted)["adopted"] == [], "what was adopted is not outside any more"


def test_limits_take_what_fits_and_say_what_does_not(
    client: APIClient, appear: Appear, shop: Project
) -> None:
    Project.objects.filter(pk=shop.pk).update(max_memory_bytes=3 * 2**30)
    for name, gib in (("a", 2), ("b", 2), ("c", 1)):
        appear(name, memory_bytes=gib * 2**30)
    preview = _ask(client, f"{BASE}/preview", filter={})
    done = _ask(client, BASE, filter={})
    for found in (preview["items"][1], done["refused"][0]):
        assert (found["name"], found["error"]["code"]) == ("b", "RESOURCE_LIMIT_EXCEEDED")
        assert "The project shop allows memory up to 3 GiB" in found["error"]["message"]
    assert set(shop.instances.values_list("name", flat=True)) == {"a", "c"}


def test_a_name_that_the_project_has_is_left_out_but_may_be_chosen(
    client: APIClient, appear: Appear, shop: Project, fake_node: Node
) -> None:
    other = Node.objects.create(name="fake-2", backend="fake", url="fake://2", is_reachable=True)
    first, second = appear("web"), appear("web", node=other)
    done = _ask(client, BASE, filter={})
    assert done["adopted"] == [str(first.pk)]
    assert done["refused"][0]["error"]["code"] == "NAME_CONFLICT"
    assert _ask(client, BASE, ids=[str(second.pk)])["adopted"] == [str(second.pk)]


def test_a_stack_is_not_torn_apart(
    client: APIClient, appear: Appear, shop: Project, project: Project
) -> None:
    rest = Project.objects.create(name="rest")
    stack = {STACK_LABEL: "blog"}
    db, web = appear("blog-db", labels=stack), appear("blog-web", labels=stack)
    answer = client.post(f"{BASE}", {"project": "rest", "ids": [str(db.pk)]}, format="json")
    assert answer.status_code == 200
    found = _ask(client, f"{BASE}/preview", filter={"name": "blog-*"})
    assert found["items"][0]["stack"] == "blog"
    assert found["items"][0]["error"]["code"] == "INVALID_STATE"
    assert "belongs to rest" in found["items"][0]["error"]["message"]
    refused = client.post(BASE, {"project": "shop", "ids": [str(web.pk)]}, format="json")
    assert refused.status_code == 409, "nor by hand"
    assert len(_ask(client, BASE, ids=[str(db.pk), str(web.pk)])["adopted"]) == 2, "the whole stack may go"
    assert not rest.instances.exists()


def test_what_libgo_made_is_never_taken(
    client: APIClient, appear: Appear, make: Any, shop: Project, project: Project
) -> None:
    make("ours")
    appear("marked", labels={"libgo.project": str(project.pk)})
    appear("forged", labels={"libgo.project": "no uuid"})
    done = _ask(client, BASE, filter={})
    assert [item["name"] for item in done["refused"]] == ["marked"]
    assert list(shop.instances.values_list("name", flat=True)) == ["forged"]
    assert Instance.objects.get(name="ours").project == project


def test_its_own_volumes_go_with_it(
    client: APIClient, appear: Appear, shop: Project, project: Project
) -> None:
    row = appear("db")
    Instance.objects.filter(pk=row.pk).update(
        config={"mounts": [{"type": "volume", "source": "data", "target": "/d"}]},
        storage=[{"name": "data", "source": "data", "target": "/d", "size": None, "format": "volume"}],
    )
    volume = Resource.objects.create(
        node=row.node, kind="volume", engine_id="data", name="data", project=project, data={}
    )
    _ask(client, BASE, filter={"name": "db"})
    volume.refresh_from_db()
    assert volume.project == shop


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": ["x"], "filter": {}},
        {"ids": []},
        {"filter": {"nmae": "web-*"}},
        {"filter": {"labels": {"a": 1, "b": []}}},
        {"filter": {"node": "nowhere"}},
        {"filter": []},
        {"filter": {"name": "*" * 300}},
    ],
)
@pytest.mark.parametrize("path", [BASE, f"{BASE}/preview"])
def test_bad_requests_are_told(client: APIClient, shop: Project, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, {"project": "shop", **body}, format="json")
    assert answer.status_code in (400, 404), answer.content
    assert answer.json()["error"]["message"]
    assert not AuditEvent.objects.filter(action="instance.adopt", result="ok").exists()


@attack("S82", "patterns that make a matcher slow", refused="answered at once")
def test_patterns_that_repeat_do_not_hang(client: APIClient, appear: Appear, shop: Project) -> None:
    appear("a" * 200)
    began = time.thread_time()
    assert _ask(client, f"{BASE}/preview", filter={"name": "*a" * 120 + "b"})["items"] == []
    assert time.thread_time() - began < 2
