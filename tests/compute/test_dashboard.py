"""The first page: what is wrong stands first, nothing of others, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone as django_timezone

from compute.actor import Actor
from compute.execution.usage import usage_store
from compute.live import _redis, usage_write
from compute.models import Alert, AlertRule, Instance, Node, Operation, Project, Resource, User
from compute.selectors.dashboard import Store, Trouble, busiest, nodes_measured, stores_of, troubles_of
from compute.selectors.operations import operations_unresolved
from compute.usage.points import Collector

pytestmark = pytest.mark.django_db
GIB = 1024**3
Make = Callable[..., Instance]


@pytest.fixture(autouse=True)
def ground(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    _redis().flushall()


def _page(client: Client, actor: Actor) -> str:
    client.force_login(User.objects.get(pk=actor.user_id))
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


def _troubles(actor: Actor) -> list[Trouble]:
    nodes = list(Node.objects.all())
    return troubles_of(actor, nodes, stores_of(actor, nodes), [])


def _failed(row: Instance, action: str, ago: timedelta = timedelta(0), state: str = "failed") -> Operation:
    at = django_timezone.now() - ago
    made = Operation.objects.create(
        action=action,
        state=state,
        instance_uid=row.pk,
        instance_name=row.name,
        project=row.project,
        node=row.node,
        error_code="ENGINE" if state == "failed" else "",
        error_message="The engine said no.",
        finished_at=at,
    )
    Operation.objects.filter(pk=made.pk).update(created_at=at)
    return made


def _sample(**values: float) -> dict[str, Any]:
    return {"timestamp": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"), **values}


def test_a_fresh_site_is_told_how_to_begin(client: Client, admin: Actor, viewer: Actor) -> None:
    page = _page(client, admin)
    assert "No node yet" in page and "Add a node" in page and "All is well" not in page
    assert "Add a node" not in _page(client, viewer)


def test_a_site_without_instances_teaches_the_first_one(
    client: Client, admin: Actor, viewer: Actor, fake_node: Node
) -> None:
    page = _page(client, admin)
    assert "Begin here" in page and "/instances/new?backend=fake" in page
    assert "/instances/new" not in _page(client, viewer), "who may make none is offered none"


def test_nothing_wrong_is_said_in_one_line(client: Client, admin: Actor, make: Make) -> None:
    make("web")
    page = _page(client, admin)
    assert "All is well" in page and "Begin here" not in page


def test_what_is_wrong_stands_first_and_leads_to_it(
    client: Client, admin: Actor, make: Make, fake_node: Node
) -> None:
    row = make("web")
    Instance.objects.filter(pk=make("ill").pk).update(health="unhealthy", status="Up 2 minutes (unhealthy)")
    failed = _failed(row, "instance.stop")
    away = Node.objects.create(name="away", backend="fake", url="fake://2", error="No route to host.")
    Node.objects.filter(pk=fake_node.pk).update(storage_total_bytes=100, storage_used_bytes=90)
    found = _troubles(admin)
    assert [(each.kind, each.weight) for each in found] == [
        ("node", 0),
        ("instance", 0),
        ("operation", 1),
        ("node", 1),
    ]
    assert "90 %" in found[-1].text
    page = _page(client, admin)
    assert f'href="/nodes/{away.pk}"' in page and f'href="/operations/{failed.pk}"' in page
    assert "4 things to look at" in page and "No route to host." in page


def test_an_alert_about_what_is_told_already_is_not_told_twice(admin: Actor, make: Make) -> None:
    row = make("ill")
    Instance.objects.filter(pk=row.pk).update(health="unhealthy")
    rule = AlertRule.objects.create(name="health", kind="instance_unhealthy", severity="critical")
    hot = AlertRule.objects.create(name="hot", kind="node_usage", severity="warning")
    for each, uid, name in ((rule, row.pk, "ill"), (hot, None, "fake-1")):
        Alert.objects.create(
            rule=each,
            subject=name,
            subject_name=name,
            severity=each.severity,
            state="firing",
            instance_uid=uid,
            project_uid=row.project_id if uid else None,
            message=f"{name} is bad",
            started_at=django_timezone.now(),
            fired_at=django_timezone.now(),
        )
    assert [(each.kind, each.title) for each in _troubles(admin)] == [
        ("instance", "ill is unhealthy"),
        ("alert", "hot"),
    ]


def test_an_alert_leads_to_the_thing_it_is_about(client: Client, admin: Actor, make: Make) -> None:
    row = make("full")
    rule = AlertRule.objects.create(name="much", kind="instance_usage", severity="warning")
    alert = Alert.objects.create(
        rule=rule,
        subject=f"instance:{row.pk}",
        subject_name="full",
        severity="warning",
        state="firing",
        instance_uid=row.pk,
        node_uid=row.node_id,
        message="full: memory is 2.1 GiB, above 2 GiB.",
        started_at=django_timezone.now(),
        fired_at=django_timezone.now(),
    )
    client.force_login(User.objects.get(pk=admin.user_id))
    link = '<a class="list-group-item list-group-item-action dash-row" href="/%s/{}"'
    page = client.get("/").content.decode()
    assert link.format(row.pk) % "instances" in page and "above 2 GiB" in page
    Alert.objects.filter(pk=alert.pk).update(instance_uid=None)
    assert link.format(row.node_id) % "nodes" in client.get("/").content.decode()
    Alert.objects.filter(pk=alert.pk).update(node_uid=None)
    assert 'dash-row" href="/alerts"' in client.get("/").content.decode()


def test_a_failure_is_over_when_the_same_went_well_or_the_thing_is_gone(admin: Actor, make: Make) -> None:
    web, db = make("web"), make("db")
    since = django_timezone.now() - timedelta(hours=24)
    _failed(web, "instance.stop", timedelta(hours=2))
    _failed(db, "instance.stop", timedelta(hours=2))
    _failed(db, "instance.start", timedelta(hours=30))
    assert {row["instance_name"] for row in operations_unresolved(admin, since, 5)} == {"web", "db"}
    _failed(web, "instance.stop", timedelta(hours=1), state="succeeded")
    assert {row["instance_name"] for row in operations_unresolved(admin, since, 5)} == {"db"}
    _failed(db, "instance.delete", timedelta(minutes=5), state="succeeded")
    assert operations_unresolved(admin, since, 5) == []


def test_limits_that_are_near_are_told_to_those_who_see_the_project(
    client: Client, admin: Actor, stranger: Actor, make: Make
) -> None:
    row = make("web")
    Project.objects.filter(pk=row.project_id).update(max_instances=1)
    assert "The limit of instances of default is reached" in _page(client, admin)
    assert "The limit of" not in _page(client, stranger)


def test_a_stranger_sees_nothing_of_instances(client: Client, stranger: Actor, make: Make) -> None:
    row = make("secret-web")
    _failed(row, "instance.stop")
    usage_write({str(row.pk): _sample(cpu_percent=50.0, memory_bytes=GIB)})
    assert "secret-web" not in _page(client, stranger)
    assert busiest(stranger, 5) == []


def test_the_busiest_come_first_and_what_was_measured_long_ago_is_not_now(admin: Actor, make: Make) -> None:
    lazy, busy = make("lazy"), make("busy")
    usage_write({str(lazy.pk): _sample(cpu_percent=1.0), str(busy.pk): _sample(cpu_percent=80.0)})
    assert [row["name"] for row in busiest(admin, 5)] == ["busy", "lazy"]
    assert busiest(admin, 1)[0]["cpu_past"] == [80.0]
    _redis().flushall()
    usage_write({str(busy.pk): {"timestamp": "2026-01-01T00:00:00Z", "cpu_percent": 80.0}})
    assert busiest(admin, 5)[0]["cpu"] is None


def test_a_node_that_is_away_is_not_measured(fake_node: Node) -> None:
    usage_write({str(fake_node.pk): _sample(cpu_percent=400.0, memory_bytes=GIB)})
    assert nodes_measured([fake_node])[0]["cpu"] == 400.0
    fake_node.is_reachable = False
    assert nodes_measured([fake_node])[0]["cpu"] is None


def test_a_disk_that_grows_is_told_when_it_will_be_full(admin: Actor, fake_node: Node) -> None:
    now_s = int(datetime.now(timezone.utc).timestamp()) // 900 * 900
    collector = Collector()
    for hours_ago in range(10, -1, -1):
        used = 50 * GIB + (10 - hours_ago) * GIB
        collector.put(str(fake_node.pk), now_s - 3600 * hours_ago - 20, {"storage_used_bytes": used})
    usage_store(collector)
    Node.objects.update(storage_total_bytes=84 * GIB, storage_used_bytes=60 * GIB)
    store = stores_of(admin, list(Node.objects.all()))[0]
    assert store.full_in_days == pytest.approx(1.0, rel=0.1), "24 GiB are left, one goes each hour"


def test_a_pool_on_the_disk_of_its_node_is_told_once(admin: Actor, fake_node: Node) -> None:
    Node.objects.update(storage_total_bytes=100 * GIB, storage_used_bytes=50 * GIB)
    for name, capacity in (("default", 100 * GIB), ("fast", 10 * GIB)):
        Resource.objects.create(
            kind="pool",
            node=fake_node,
            engine_id=name,
            name=name,
            data={"capacity": capacity, "allocation": 9 * GIB},
        )
    found = stores_of(admin, list(Node.objects.all()))
    assert [store.name for store in found] == ["The pool fast", "The disk of fake-1"]
    assert found[0] == Store(str(fake_node.pk), "The pool fast", 9 * GIB, 10 * GIB)


def test_it_costs_the_same_however_much_there_is(
    client: Client, operator: Actor, make: Make, fake_node: Node
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            _page(client, operator)
        return len(seen)

    make("web-0")
    _page(client, operator)
    one = cost()
    for number in range(1, 6):
        row = make(f"web-{number}")
        _failed(row, "instance.stop")
        Project.objects.create(name=f"project-{number}")
        Node.objects.create(name=f"more-{number}", backend="fake", url=f"fake://{number}", is_reachable=True)
    assert cost() == one
    print(f"{one} queries")
    assert one <= 40
