"""One action on many instances: a child and a result for each, whatever becomes of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.errors import BackendError
from compute.execution import runner, sweep
from compute.models import AuditEvent, BulkItem, Event, Instance, Membership, Node, Operation, Project
from compute.selectors.instances import InstanceFilter
from compute.services.bulk import PER_NODE, BulkRequest, bulk_advance, bulk_submit
from compute.services.operations import operation_cancel
from tests.attacks.catalogue import attack
from tests.compute.work.conftest import Worked, client_for

pytestmark = pytest.mark.django_db
URL = "/api/v1/compute/instances/bulk"


def _stop(rows: list[Instance]) -> BulkRequest:
    return BulkRequest("stop", [row.pk for row in rows])


def _shown(actor: Actor, operation: Operation) -> dict[str, Any]:
    return dict(client_for(actor).get(f"/api/v1/operations/{operation.pk}").json())


def test_each_instance_has_a_child_and_a_result(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    with worked():
        parent = bulk_submit(operator, _stop(rows))
    shown = _shown(operator, parent)
    assert (shown["state"], shown["progress"], shown["parent"]) == ("succeeded", 100.0, None)
    assert shown["result"] == {"total": 4, "succeeded": 4, "failed": 0, "cancelled": 0, "interrupted": 0}
    assert [child["instance_name"] for child in shown["children"]] == [row.name for row in rows]
    assert {child["state"] for child in shown["children"]} == {"succeeded"}
    children = client_for(operator).get(f"/api/v1/operations?parent={parent.pk}").json()["items"]
    assert {child["parent"] for child in children} == {str(parent.pk)}
    assert set(Instance.objects.values_list("state", flat=True)) == {"stopped"}
    assert AuditEvent.objects.get(action="bulk.stop").details["succeeded"] == 4
    assert set(Event.objects.filter(operation_uid=parent.pk).values_list("type", flat=True)) == {
        "operation.running",
        "operation.succeeded",
    }


@attack("S32", "foreign ids among one's own in bulk", refused="reported as not found; untouched")
def test_foreign_denied_busy_and_impossible_ones_are_reported_and_the_others_done(
    operator: Actor,
    rows: list[Instance],
    foreign: Instance,
    two_projects: Project,
    make: Callable[..., Instance],
    worked: Worked,
) -> None:
    denied = make("looked-at", project=str(two_projects.pk))
    Operation.objects.create(action="instance.update", node=rows[1].node, instance=rows[1], state="queued")
    Instance.objects.filter(pk=rows[2].pk).update(state="unknown")
    nobody = uuid.uuid4()
    with worked():
        body = {"action": "stop", "ids": [*(str(row.pk) for row in [*rows, foreign, denied]), str(nobody)]}
        answer = client_for(operator).post(URL, body, format="json")
    assert answer.status_code == 202, answer.content
    shown = client_for(operator).get(answer["Location"]).json()
    codes = {child["instance"]: (child["error"] or {}).get("code") for child in shown["children"]}
    assert codes == {
        str(rows[0].pk): None,
        str(rows[1].pk): "INSTANCE_BUSY",
        str(rows[2].pk): "INVALID_STATE",
        str(rows[3].pk): None,
        str(foreign.pk): "INSTANCE_NOT_FOUND",
        str(denied.pk): "PERMISSION_DENIED",
        str(nobody): "INSTANCE_NOT_FOUND",
    }
    assert shown["state"] == "failed" and shown["error"]["message"].startswith("5 of 7 were not done.")
    assert shown["result"]["succeeded"] == 2
    assert foreign.name not in answer.content.decode() + str(shown), "no name of what one may not see"
    foreign.refresh_from_db()
    assert foreign.state == "running"


@attack("S32", "a filter that would match foreign instances", refused="only what the list shows")
def test_a_filter_reaches_what_the_list_shows_and_nothing_foreign(
    operator: Actor, rows: list[Instance], foreign: Instance, worked: Worked
) -> None:
    with worked():
        parent = bulk_submit(operator, BulkRequest("stop", wanted=InstanceFilter(q="web-", state="running")))
    names = {child["instance_name"] for child in _shown(operator, parent)["children"]}
    assert names == {row.name for row in rows}
    with worked():
        again = bulk_submit(operator, BulkRequest("stop", wanted=InstanceFilter(q="web-", state="running")))
    again.refresh_from_db()
    assert (again.state, again.result["total"]) == ("succeeded", 0), "nothing matches any more"


def test_what_is_so_already_is_a_success_that_changes_nothing(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    with worked():
        parent = bulk_submit(operator, BulkRequest("start", [row.pk for row in rows]))
    shown = _shown(operator, parent)
    assert shown["state"] == "succeeded"
    assert {(child["id"], child["step"]) for child in shown["children"]} == {(None, "It was so already")}


def test_two_hundred_with_twenty_failing(
    operator: Actor,
    project: Project,
    fake_node: Node,
    engine: FakeEngine,
    make: Callable[..., Instance],
    worked: Worked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = make("web")
    kept = engine.instances[first.engine_id]
    made = []
    for number in range(200):
        engine_id = f"many-{number}"
        engine.instances[engine_id] = type(kept)(**{**vars(kept), "engine_id": engine_id, "name": engine_id})
        made.append(
            Instance(
                node=fake_node,
                backend="fake",
                project=project,
                engine_id=engine_id,
                name=engine_id,
                type="container",
                state="running",
                created_at=timezone.now(),
            )
        )
    Instance.objects.bulk_create(made)
    plain = runner.handler_for

    def some_fail(action: str, backend: str) -> Any:
        handler = plain(action, backend)

        def wrapped(work: Any) -> Any:
            if int(work.operation.instance_name.split("-")[1]) % 10 == 0:
                raise BackendError("The engine refused.")
            return handler(work)

        return wrapped

    monkeypatch.setattr(runner, "handler_for", some_fail)
    with worked():
        parent = bulk_submit(operator, _stop(made))
    parent.refresh_from_db()
    assert (parent.state, parent.error_code) == ("failed", "BACKEND_ERROR")
    assert (parent.result["succeeded"], parent.result["failed"]) == (180, 20)
    failed = [child for child in _shown(operator, parent)["children"] if child["error"]]
    assert len(failed) == 20 and all(child["error"]["code"] == "BACKEND_ERROR" for child in failed)


def test_no_more_than_a_few_of_one_node_are_under_way(
    operator: Actor, nine: list[Instance], bells: list[str]
) -> None:
    parent = bulk_submit(operator, _stop(nine))
    for _ in range(3):
        bulk_advance(str(parent.pk))
    active = Operation.objects.filter(parent=parent, state="queued")
    assert active.count() == PER_NODE
    runner.operation_execute(str(active.first().pk))  # type: ignore[union-attr]
    bulk_advance(str(parent.pk))
    assert Operation.objects.filter(parent=parent, state="queued").count() == PER_NODE
    parent.refresh_from_db()
    assert (parent.state, parent.step) == ("running", "1 of 9 done") and 0 < parent.progress < 100


def test_what_a_newer_web_asked_for_is_not_begun_by_an_older_worker(
    operator: Actor, nine: list[Instance], bells: list[str]
) -> None:
    parent = bulk_submit(operator, _stop(nine))
    rows = Operation.objects.filter(pk=parent.pk)
    rows.update(payload_version=F("payload_version") + 1)
    bulk_advance(str(parent.pk))
    assert not Operation.objects.filter(parent=parent).exists()
    rows.update(payload_version=F("payload_version") - 1)
    bulk_advance(str(parent.pk))
    assert Operation.objects.filter(parent=parent).count() == PER_NODE


def test_cancelling_stops_the_rest(operator: Actor, nine: list[Instance], bells: list[str]) -> None:
    parent = bulk_submit(operator, _stop(nine))
    bulk_advance(str(parent.pk))
    began = [str(pk) for pk in Operation.objects.filter(parent=parent).values_list("pk", flat=True)]
    runner.operation_execute(began[0])
    operation_cancel(operator, str(parent.pk))
    for operation_id in began:
        runner.operation_execute(operation_id)
    bulk_advance(str(parent.pk))
    parent.refresh_from_db()
    assert (parent.state, parent.result["succeeded"], parent.result["cancelled"]) == ("cancelled", 1, 8)
    assert Operation.objects.filter(parent=parent).count() == PER_NODE, "no other one was begun"


def test_a_lost_worker_costs_its_child_and_the_sweeper_brings_the_parent_to_its_end(
    operator: Actor, rows: list[Instance], bells: list[str]
) -> None:
    parent = bulk_submit(operator, _stop(rows))
    bulk_advance(str(parent.pk))
    began = [str(pk) for pk in Operation.objects.filter(parent=parent).values_list("pk", flat=True)]
    for operation_id in began[1:]:
        runner.operation_execute(operation_id)
    past = timezone.now() - timedelta(seconds=1)
    Operation.objects.filter(pk=began[0]).update(state="running", lease_until=past)
    assert sweep.operations_lost() == [began[0]], "a parent has no lease that could run out"
    runner.operation_recover(began[0])
    assert sweep.parents_open() == [str(parent.pk)]
    bulk_advance(str(parent.pk))
    parent.refresh_from_db()
    assert (parent.state, parent.result["succeeded"], parent.result["interrupted"]) == ("failed", 3, 1)
    assert sweep.parents_open() == []


def test_rights_that_were_taken_away_meanwhile_are_gone(
    operator: Actor, rows: list[Instance], bells: list[str]
) -> None:
    parent = bulk_submit(operator, _stop(rows))
    Membership.objects.filter(user_id=operator.user_id).delete()
    bulk_advance(str(parent.pk))
    assert set(BulkItem.objects.values_list("error_code", flat=True)) == {"INSTANCE_NOT_FOUND"}
    parent.refresh_from_db()
    assert parent.state == "failed" and not Operation.objects.filter(parent=parent).exists()


def test_a_parent_over_two_projects_is_seen_by_whoever_asked_and_told_to_nobody_else(
    operator: Actor,
    viewer: Actor,
    admin: Actor,
    rows: list[Instance],
    two_projects: Project,
    make: Callable[..., Instance],
    worked: Worked,
) -> None:
    other = make("second-1", project=str(two_projects.pk))
    with worked():
        parent = bulk_submit(operator, _stop([rows[0], other]))
    assert client_for(operator).get(f"/api/v1/operations/{parent.pk}").status_code == 200
    assert client_for(admin).get(f"/api/v1/operations/{parent.pk}").status_code == 200
    assert client_for(viewer).get(f"/api/v1/operations/{parent.pk}").status_code == 404
    assert not Event.objects.filter(operation_uid=parent.pk).exists()


def test_the_same_key_is_the_same_operation(operator: Actor, rows: list[Instance], worked: Worked) -> None:
    body = {"action": "stop", "ids": [str(row.pk) for row in rows]}
    client = client_for(operator)
    with worked():
        first = client.post(URL, body, format="json", HTTP_IDEMPOTENCY_KEY="k1").json()["operation"]
        again = client.post(URL, body, format="json", HTTP_IDEMPOTENCY_KEY="k1").json()["operation"]
    assert first["id"] == again["id"] and Operation.objects.filter(is_parent=True).count() == 1


def test_a_viewer_is_denied_every_one(viewer: Actor, rows: list[Instance], worked: Worked) -> None:
    with worked():
        parent = bulk_submit(viewer, _stop(rows))
    parent.refresh_from_db()
    assert (parent.state, parent.error_code) == ("failed", "PERMISSION_DENIED")
    assert set(Instance.objects.values_list("state", flat=True)) == {"running"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "explode", "ids": ["{id}"]}, "action"),
        ({"action": "create", "ids": ["{id}"]}, "action"),
        ({"action": "stop"}, "ids"),
        ({"action": "stop", "ids": []}, "ids"),
        ({"action": "stop", "ids": ["{id}"], "filter": {"q": "web"}}, "ids"),
        ({"action": "stop", "filter": {"name": "web"}}, "filter.name"),
        ({"action": "stop", "filter": {"state": "asleep"}}, "state"),
        ({"action": "stop", "ids": ["web-0"]}, "ids.0"),
        ({"action": "stop", "ids": ["{id}"], "options": {"signal": "KILL"}}, "signal"),
        ({"action": "snapshot", "ids": ["{id}"], "options": {"name": "a b"}}, "options.name"),
        ({"action": "snapshot", "ids": ["{id}"], "options": {"quiesce": "yes"}}, "options.quiesce"),
        ({"action": "stop", "ids": ["{id}"], "everything": True}, "everything"),
        ({"action": "stop", "ids": [str(uuid.UUID(int=n)) for n in range(1001)]}, "ids"),
    ],
)
def test_what_cannot_be_understood_begins_nothing(
    operator: Actor, rows: list[Instance], body: dict[str, Any], field: str
) -> None:
    sent = {**body}
    if body.get("ids") == ["{id}"]:
        sent["ids"] = [str(rows[0].pk)]
    answer = client_for(operator).post(URL, sent, format="json")
    assert answer.status_code == 400, answer.content
    assert field in str(answer.json()["error"]["details"]), answer.content
    assert not BulkItem.objects.exists()
