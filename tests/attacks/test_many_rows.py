"""Tens of thousands of rows that somebody piled up: lists stay pages, and quick; and what one may pile up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.backends.registry import backend_for
from compute.backends.types import SnapshotSpec
from compute.errors import InvalidInput
from compute.models import (
    AuditEvent,
    Event,
    Instance,
    Membership,
    Node,
    Operation,
    Project,
    Resource,
    Template,
)
from compute.selectors.nodes import node_config
from compute.services import alerts, saved_views, schedules, snapshots, templates
from compute.services.resource_work import PER_PROJECT_MAX
from compute.states import Role
from tests.attacks.catalogue import attack
from tests.compute.api.conftest import client_for
from tests.live import strain
from tests.reporter import MemoryReporter
from tests.thorough import is_thorough

pytestmark = pytest.mark.django_db
_MANY = 100_000 if is_thorough() else 20_000
_WITHIN_S = 3.0


@pytest.fixture
def as_admin(admin: Actor) -> APIClient:
    return client_for(admin)


def _operation(number: int, project: Project) -> Operation:
    return Operation(action="stack.deploy", state="succeeded", target=f"stack-{number}", project=project)


def _event(number: int, project: Project) -> Event:
    return Event(type="instance.started", instance_name=f"web-{number}", project_uid=project.pk)


def _audit(number: int, project: Project) -> AuditEvent:
    return AuditEvent(action="instance.start", target=f"web-{number}", result="ok", project_uid=project.pk)


_KINDS: dict[str, tuple[Callable[[int, Project], Model], str, list[str]]] = {
    "operations": (
        _operation,
        "/api/v1/operations",
        ["page_size=50", "page_size=500", "page=399&page_size=50", "q=zzz", "page_size=50&q=stack-9"],
    ),
    "audit": (
        _audit,
        "/api/v1/audit",
        ["page_size=50", "page_size=500", "page=399&page_size=50", "q=zzz", "page_size=50&q=web-9"],
    ),
    "events": (_event, "/api/v1/events", ["limit=50", "limit=500", "after=1&limit=50", "type=none"]),
}


@attack(
    "S82",
    "20,000 operations, rows of the audit, and events (--thorough: 100,000 each), listed, searched, sorted, "
    "and asked for far behind",
    refused="a page each time, of 500 at the most, with as few queries as for few rows",
)
@pytest.mark.parametrize("kind", _KINDS)
def test_tens_of_thousands_of_rows_are_read_by_pages(
    as_admin: APIClient, project: Project, kind: str
) -> None:
    make, path, asked = _KINDS[kind]
    _rows(make, project, 1)
    few = _queries(lambda: as_admin.get(f"{path}?{asked[0]}"))
    _rows(make, project, _MANY)
    for query in asked:
        began = time.thread_time()
        answer = as_admin.get(f"{path}?{query}")
        took = time.thread_time() - began
        assert answer.status_code in (200, 400), f"{query}: {answer.status_code} {answer.content[:300]!r}"
        assert took < _WITHIN_S * strain(), f"{query} took {took:.1f} s"
        if answer.status_code == 200:
            assert len(answer.json()["items"]) <= 500
    assert len(as_admin.get(f"{path}?{asked[0]}").json()["items"]) == 50
    beyond = asked[0].replace("=50", "=1000000000")
    answer = as_admin.get(f"{path}?{beyond}")
    assert answer.status_code == 400 or len(answer.json()["items"]) <= 1000
    assert _queries(lambda: as_admin.get(f"{path}?{asked[0]}")) <= few + 2


@attack(
    "S82",
    "templates, versions of one, and schedules without end, by an operator",
    refused="409 over the bound; what was there stays",
    audit="as many rows as were made",
)
def test_what_one_may_pile_up_has_an_end(
    operator: Actor, project: Project, fake_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "PER_PROJECT_MAX", 3)
    monkeypatch.setattr(templates, "VERSIONS_MAX", 3)
    monkeypatch.setattr(schedules, "PER_PROJECT_MAX", 3)
    client = client_for(operator)

    def statuses(method: str, path: str, bodies: list[dict[str, Any]]) -> list[int]:
        return [getattr(client, method)(path, each, format="json").status_code for each in bodies]

    body = {"config": {"image": "demo"}}
    made = [{"name": f"t-{n}", "backend": "fake", "body": body} for n in range(5)]
    assert statuses("post", "/api/v1/compute/templates", made) == [201, 201, 201, 409, 409]
    one = f"/api/v1/compute/templates/{Template.objects.get(name='t-0').pk}"
    changes = [{"body": {"config": {"image": f"demo:{n}"}}} for n in range(4)]
    assert statuses("put", one, changes) == [200, 200, 409, 409]
    timed = [
        {
            "name": f"s-{n}",
            "cron": "0 3 * * *",
            "action": "start",
            "target": {"filter": {"q": "x"}},
            "project": str(project.pk),
        }
        for n in range(4)
    ]
    assert statuses("post", "/api/v1/compute/schedules", timed) == [201, 201, 201, 409]
    rows = AuditEvent.objects.filter(outcome="ok").values_list("action", flat=True)
    assert sorted(rows) == ["schedule.create"] * 3 + ["template.create"] * 3 + ["template.update"] * 2


@attack(
    "S82",
    "snapshots, alert rules and saved views without end, by an operator",
    refused="409 or 400 over the bound; what was there stays",
)
def test_what_belongs_to_instances_and_people_has_an_end(
    operator: Actor, make: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((snapshots, "SNAPSHOTS_MAX"), (alerts, "_RULES_MAX"), (saved_views, "PER_PAGE_MAX")):
        monkeypatch.setattr(module, name, 2)
    web, client = make("web"), client_for(operator)

    def statuses(path: str, bodies: list[dict[str, Any]]) -> list[int]:
        return [client.post(f"/api/v1/{path}", each, format="json").status_code for each in bodies]

    names = [f"n{number}" for number in range(3)]
    for name in names[:2]:
        engine = backend_for(node_config(web.node))
        engine.snapshot_create(web.engine_id, SnapshotSpec(name, str(web.pk), "", ""), MemoryReporter())
    assert statuses(f"compute/instances/{web.pk}/snapshots", [{"name": names[2]}]) == [409]
    rules = [{"name": name, "kind": "instance_down", "project": str(web.project_id)} for name in names]
    assert statuses("alerts/rules", rules) == [201, 201, 400]
    for name in names[:2]:
        saved_views.view_save(operator, "instances", name, "")
    with pytest.raises(InvalidInput):
        saved_views.view_save(operator, "instances", names[2], "")


@attack(
    "S82",
    "volumes and networks without end, those under way counted",
    refused="409 over the bound of the project; another project is not kept from its own",
)
@pytest.mark.parametrize("kind", ["volume", "network"])
def test_what_belongs_to_projects_has_an_end(
    operator: Actor, project: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PER_PROJECT_MAX, kind, 2)
    node = Node.objects.create(name="d", backend="docker", url="unix:///nowhere", is_reachable=True)
    another, client = Project.objects.create(name="another"), client_for(operator)
    Membership.objects.create(project=another, user_id=operator.user_id, role=Role.OPERATOR.value)
    Resource.objects.create(node=node, kind=kind, engine_id="one", name="one", project=project)

    def make(name: str, whose: Project) -> tuple[int, str]:
        path = f"/api/v1/docker/{kind}s?node=d&project={whose.pk}&wait=0"
        answer = client.post(path, {"name": name}, format="json")
        return answer.status_code, answer.json().get("error", {}).get("message", "")

    assert make("two", project)[0] == 202
    status, message = make("three", project)
    assert status == 409 and "at most 2" in message
    assert make("three", another)[0] == 202


def _queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as seen:
        call()
    return len(seen)


def _rows(make: Callable[[int, Project], Model], project: Project, count: int) -> None:
    rows = [make(number, project) for number in range(count)]
    type(rows[0])._default_manager.bulk_create(rows, batch_size=2000)
