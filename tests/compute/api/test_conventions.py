"""What the contract says of every list and every resource, on the routes of the control plane."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import BackupTarget, Instance, Node, Project
from tests.compute.access.addresses import patterns

BASE = "/api/v1"
pytestmark = pytest.mark.django_db

# What every one of them may be told anew.
_CHANGES: dict[str, dict[str, Any]] = {
    "profile": {"email": "ada@example.org"},
    "users/{user}": {"email": "vera@example.org"},
    "users/{user}/limits": {"max_instances": 3},
    "projects/{project}": {"description": "the shop"},
    "projects/{project}/limits": {"max_instances": 3},
    "compute/limits": {"max_instances": 3},
    "compute/templates/{template}": {"description": "small"},
    "nodes/{node}": {"labels": {"rack": "1"}},
    "backups/targets/{target}": {"is_enabled": False},
}


@pytest.fixture
def path(
    as_admin: APIClient, viewer: Actor, project: Project, fake_node: Node, tmp_path: Any
) -> Callable[[str], str]:
    def _path(pattern: str) -> str:
        ids: dict[str, Any] = {"user": viewer.user_id, "project": project.pk, "node": fake_node.pk}
        if "{template}" in pattern:
            body = {"name": "small", "backend": "fake", "body": {"config": {"image": "demo"}}}
            made = as_admin.post(f"{BASE}/compute/templates", body, format="json")
            assert made.status_code == 201, made.content
            ids["template"] = made.json()["id"]
        if "{target}" in pattern:
            ids["target"] = BackupTarget.objects.create(name="disk", kind="local", options={"path": "/x"}).pk
        return f"{BASE}/{pattern.format(**ids)}"

    return _path


@pytest.mark.parametrize("pattern", _CHANGES)
def test_put_and_patch_merge_and_a_stale_change_is_412(
    as_admin: APIClient, path: Callable[[str], str], pattern: str
) -> None:
    where, change = path(pattern), _CHANGES[pattern]
    before = as_admin.get(where)
    assert before.status_code == 200, before.content
    tag = before["ETag"]
    changed = as_admin.patch(where, change, format="json", HTTP_IF_MATCH=tag)
    assert changed.status_code == 200, changed.content
    expected = {**before.json(), **change}
    shown = as_admin.get(where)
    assert {name: shown.json()[name] for name in change} == change
    untouched = expected.keys() - change.keys() - {"updated_at", "last_seen", "usage", "error"}
    assert all(shown.json()[name] == expected[name] for name in untouched)
    for call in (as_admin.put, as_admin.patch):
        stale = call(where, change, format="json", HTTP_IF_MATCH=tag)
        assert stale.status_code == 412 and stale.json()["error"]["code"] == "PRECONDITION_FAILED"
    assert as_admin.put(where, change, format="json", HTTP_IF_MATCH=shown["ETag"]).status_code == 200


@dataclass(frozen=True)
class Observed:
    """What is seen of the fake node, its instance, and whatever else may be changed."""

    pattern: str
    happens: Callable[[], object]
    change: dict[str, Any]


_LATER = datetime(2031, 1, 1, tzinfo=UTC)
_SEEN = [
    Observed(
        "nodes/{node}",
        lambda: Node.objects.update(
            last_seen=_LATER, is_reachable=False, error="gone", memory_bytes=7, details={"kernel": "9"}
        ),
        {"labels": {"rack": "2"}},
    ),
    Observed(
        "compute/instances/{instance}",
        lambda: Instance.objects.update(
            state="stopped", status="Exited (0)", finished_at=_LATER, health="healthy", updated_at=_LATER
        ),
        {"labels": {"tier": "b"}},
    ),
    Observed(
        "backups/targets/{target}",
        lambda: BackupTarget.objects.update(checked_at=_LATER, error="away"),
        {"name": "tape"},
    ),
    Observed("compute/limits", lambda: Instance.objects.update(memory_bytes=2**30), {"max_instances": 9}),
    Observed(
        "projects/{project}/limits", lambda: Instance.objects.update(memory_bytes=2**30), {"max_instances": 9}
    ),
]


@pytest.mark.parametrize("seen", _SEEN, ids=lambda seen: seen.pattern)
def test_what_is_only_observed_makes_no_change_stale(
    as_admin: APIClient,
    path: Callable[[str], str],
    make: Callable[..., Instance],
    project: Project,
    seen: Observed,
) -> None:
    made = make("web", project=str(project.pk))
    where = path(seen.pattern.replace("{instance}", str(made.pk)))
    read = as_admin.get(where)
    narrow = as_admin.get(where, {"fields": "id"})["ETag"]
    assert as_admin.get(where, HTTP_IF_NONE_MATCH=read["ETag"]).status_code == 304
    seen.happens()
    again = as_admin.get(where, HTTP_IF_NONE_MATCH=read["ETag"])
    assert again.status_code == 200 and again.json() != read.json()
    changed = as_admin.put(where, seen.change, format="json", HTTP_IF_MATCH=read["ETag"])
    assert changed.status_code in (200, 202), changed.content
    for tag in (read["ETag"], narrow, again["ETag"]):
        stale = as_admin.put(where, seen.change, format="json", HTTP_IF_MATCH=tag)
        assert stale.status_code == 412, stale.content
    newest = as_admin.get(where)["ETag"]
    both = f'"other", {newest.removeprefix("W/")}'
    assert as_admin.put(where, seen.change, format="json", HTTP_IF_MATCH=both).status_code in (200, 202)


# Whose whole answer is what can be changed.
_ALL_SETTINGS = {"kvm/vms/<str:machine_id>/xml", "kvm/vms/<str:machine_id>/cloud-init"}
# Files have tags of their own.
_FILES = {"docker/containers/<str:container>/files", "docker/volumes/<str:volume>/files"}


def test_each_tag_covers_what_the_change_of_its_route_may_set() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    found = set()
    for route, pattern in patterns():
        name = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route)
        change = schema["paths"].get(name, {}).get("put", {})
        if "412" not in change.get("responses", {}):
            continue
        found.add(route.removeprefix("api/v1/"))
        shape = pattern.callback.cls.change_shape
        if route.removeprefix("api/v1/") in _ALL_SETTINGS | _FILES:
            assert shape is None, route
            continue
        body = next(iter(change["requestBody"]["content"].values()))["schema"]["$ref"]
        settable = set(schema["components"]["schemas"][body.rpartition("/")[2]]["properties"])
        assert shape is not None, route
        assert {name for name, each in shape().fields.items() if not each.read_only} == settable, route
    assert found > _ALL_SETTINGS | _FILES and len(found) > 18


@pytest.fixture
def crowd(as_admin: APIClient, project: Project) -> None:
    for name in ("berta", "Anton", "carla"):
        body = {"username": name, "password": "a long sentence of words", "email": f"{name}@example.org"}
        assert as_admin.post(f"{BASE}/users", body, format="json").status_code == 201
        assert as_admin.post(f"{BASE}/projects", {"name": name}, format="json").status_code == 201


@pytest.mark.parametrize(("route", "field"), [("users", "username"), ("projects", "name")])
def test_short_lists_are_sorted_searched_and_paged_like_long_ones(
    as_admin: APIClient, crowd: None, route: str, field: str
) -> None:
    def names(query: str) -> list[str]:
        answer = as_admin.get(f"{BASE}/{route}?{query}")
        assert answer.status_code == 200, answer.content
        return [row[field] for row in answer.json()["items"]]

    ours = {"berta", "Anton", "carla"}
    assert [name for name in names(f"sort={field}") if name in ours] == ["Anton", "berta", "carla"]
    assert [name for name in names(f"sort=-{field}") if name in ours] == ["carla", "berta", "Anton"]
    assert names(f"sort={field}&page=2&page_size=1") == names(f"sort={field}")[1:2]
    assert names("q=ANT") == ["Anton"] and names("q=no+such") == []
    assert as_admin.get(f"{BASE}/{route}?q=ant").json()["total"] == 1


@pytest.mark.parametrize("query", ["sort=nope", "sort=limits", "sort=-", "page=0", "q=%00", "q=a&q=b"])
def test_a_wrong_word_for_a_short_list_is_named(as_admin: APIClient, project: Project, query: str) -> None:
    answer = as_admin.get(f"{BASE}/projects?{query}")
    assert answer.status_code == 400, answer.content
    assert query.partition("=")[0] in answer.json()["error"]["details"]["fields"]


def test_members_are_found_by_their_names(as_admin: APIClient, viewer: Actor, project: Project) -> None:
    found = as_admin.get(f"{BASE}/projects/{project.pk}/members?q=vera").json()
    assert [row["user"]["username"] for row in found["items"]] == ["vera"]
    assert as_admin.get(f"{BASE}/projects/{project.pk}/members?q=nobody").json()["total"] == 0


@pytest.mark.parametrize("route", ["alerts", "alerts/rules", "alerts/channels", "backups", "operations"])
def test_long_lists_are_searched_for_every_word(as_admin: APIClient, route: str) -> None:
    answer = as_admin.get(f"{BASE}/{route}?q=no+such")
    assert answer.status_code == 200 and answer.json()["total"] == 0, answer.content


def test_operations_are_found_by_what_they_did_to_what(as_admin: APIClient, fake_node: Node) -> None:
    for name in ("web-1", "web-2"):
        body = {"name": name, "backend": "fake", "config": {"image": "demo"}}
        assert as_admin.post(f"{BASE}/compute/instances", body, format="json").status_code == 202

    def total(q: str) -> int:
        return int(as_admin.get(f"{BASE}/operations", {"q": q}).json()["total"])

    assert (total("web"), total("create WEB-2"), total("web-2 delete"), total("ada create")) == (2, 1, 0, 2)


def test_rules_are_found_and_sorted(as_admin: APIClient, project: Project) -> None:
    for name in ("disks", "guests"):
        body = {"name": name, "kind": "instance_down", "severity": "warning", "for_s": 0}
        assert as_admin.post(f"{BASE}/alerts/rules", body, format="json").status_code == 201
    rows = as_admin.get(f"{BASE}/alerts/rules?sort=-name&q=down").json()["items"]
    assert [row["name"] for row in rows] == ["guests", "disks"]
    assert as_admin.get(f"{BASE}/alerts/rules?q=down+guest").json()["total"] == 1


def test_what_is_wrong_is_named_in_the_message_too(as_admin: APIClient) -> None:
    one = as_admin.post(f"{BASE}/alerts/rules", {"name": "x", "kind": "nope"}, format="json").json()["error"]
    assert one["message"].startswith("kind: ") and set(one["details"]["fields"]) == {"kind"}
    body = {"name": "x" * 500, "kind": "nope"}
    two = as_admin.post(f"{BASE}/alerts/rules", body, format="json").json()["error"]
    assert two["message"] == "Some fields are wrong: name, kind." and len(two["details"]["fields"]) == 2


def test_facts_are_paged_sorted_searched_and_narrowed(
    as_admin: APIClient, make: Callable[..., Instance]
) -> None:
    make("web")
    make("mail")
    where = f"{BASE}/events"
    whole = as_admin.get(where).json()
    seqs = [item["seq"] for item in whole["items"]]
    assert whole["total"] == len(seqs) > 2 and (whole["page"], whole["page_size"]) == (1, 100)
    assert seqs == sorted(seqs)
    second = as_admin.get(where, {"page": 2, "page_size": 1}).json()
    assert [item["seq"] for item in second["items"]] == seqs[1:2] and second["total"] == len(seqs)
    newest = as_admin.get(where, {"sort": "-seq", "limit": 2}).json()
    assert [item["seq"] for item in newest["items"]] == seqs[:-3:-1] and newest["page_size"] == 2
    later = as_admin.get(where, {"after": seqs[0]}).json()
    assert [item["seq"] for item in later["items"]] == seqs[1:] and later["total"] == len(seqs) - 1
    found = as_admin.get(where, {"q": "MAIL created"}).json()
    assert {item["instance_name"] for item in found["items"]} == {"mail"}
    one = f"{BASE}/compute/instances/mail/events"
    assert [item["seq"] for item in as_admin.get(one).json()["items"]] == sorted(
        (item["seq"] for item in whole["items"] if item["instance_name"] == "mail"), reverse=True
    )
    narrow = as_admin.get(where, {"fields": "seq"}).json()["items"]
    assert narrow == [{"seq": number} for number in seqs]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=-1", "page_size=501", "page=0", "sort=message", "sort=--seq", "after=x"],
)
@pytest.mark.parametrize("where", ["events", "compute/instances/web/events"])
def test_a_bad_question_about_facts_names_its_parameter(
    as_admin: APIClient, make: Callable[..., Instance], where: str, query: str
) -> None:
    make("web")
    refused = as_admin.get(f"{BASE}/{where}?{query}")
    assert refused.status_code == 400, refused.content
    assert query.partition("=")[0] in refused.json()["error"]["details"]["fields"]


@pytest.mark.parametrize("limit", ["0", "5001", "many"])
def test_the_log_of_an_operation_cuts_nothing_silently(
    as_admin: APIClient, make: Callable[..., Instance], limit: str
) -> None:
    make("web")
    last = as_admin.get(f"{BASE}/operations").json()["items"][0]["id"]
    refused = as_admin.get(f"{BASE}/operations/{last}/log?limit={limit}")
    assert refused.status_code == 400 and "limit" in refused.json()["error"]["details"]["fields"]
    assert as_admin.get(f"{BASE}/operations/{last}/log?limit=5000").json()["items"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("compute/instances?backend=hyperv", "INVALID_BACKEND"),
        ("compute/templates?backend=hyperv", "INVALID_BACKEND"),
        ("compute/instances?state=on", "INVALID_INPUT"),
        ("operations?state=done", "INVALID_INPUT"),
        ("alerts?state=loud", "INVALID_INPUT"),
        ("alerts?severity=loud", "INVALID_INPUT"),
        ("backups?state=old", "INVALID_INPUT"),
    ],
)
def test_a_filter_by_a_word_that_nothing_can_be_is_refused(
    as_admin: APIClient, query: str, code: str
) -> None:
    """An empty list would say that there is none just now."""
    refused = as_admin.get(f"{BASE}/{query}")
    assert refused.status_code == 400 and refused.json()["error"]["code"] == code, refused.content
