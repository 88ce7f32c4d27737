"""Schedules: who may, when they run, as whom, and what becomes of what they make."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from compute.actor import Actor
from compute.errors import ComputeError
from compute.models import (
    ApiToken,
    AuditEvent,
    BulkItem,
    Event,
    Instance,
    Membership,
    Node,
    Operation,
    Project,
    Schedule,
    ScheduleMade,
    ScheduleRun,
    User,
)
from compute.selectors.access import actor_for
from compute.services.bulk import BulkRequest, bulk_advance, bulk_submit
from compute.services.schedule_runs import (
    made_collect,
    retention_of_schedules,
    schedule_run_now,
    schedules_due,
    schedules_orphaned,
)
from compute.services.schedules import schedule_create, schedule_pause, schedule_update
from compute.services.snapshots import snapshot_create, snapshots_list
from compute.services.tokens import token_create, token_open, token_revoke
from tests.compute.work.conftest import Worked, client_for

schedule_token = import_module("compute.migrations.0023_schedule_token")
pytestmark = pytest.mark.django_db
URL = "/api/v1/compute/schedules"
BODY: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "action": "stop",
    "target": {"filter": {"q": "web-"}},
}


def _made(actor: Actor, **changes: Any) -> Schedule:
    return schedule_create(actor, {**BODY, **changes})


def _due(row: Schedule, late: timedelta = timedelta(seconds=5)) -> datetime:
    """Let it be due each minute, at this one's beginning first; the time so much later."""
    planned = timezone.now().replace(second=0, microsecond=0)
    Schedule.objects.filter(pk=row.pk).update(next_at=planned, cron="* * * * *")
    return planned + late


def _states() -> list[str]:
    return list(ScheduleRun.objects.order_by("id").values_list("state", flat=True))


def test_one_is_made_shown_changed_and_removed(operator: Actor, fake_node: Node) -> None:
    client = client_for(operator)
    answer = client.post(URL, BODY, format="json")
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["owner"], made["is_enabled"], made["last_run"]) == ("oscar", True, None)
    assert made["next_at"] > timezone.now().isoformat()[:19]
    assert client.get(answer["Location"]).json() == made
    assert client.get(f"{URL}?q=night").json()["total"] == 1
    changed = client.put(f"{URL}/nightly", {"cron": "0 4 * * 0", "keep": {}}, format="json")
    assert changed.status_code == 200 and changed.json()["cron"] == "0 4 * * 0"
    assert client.post(URL, BODY, format="json").json()["error"]["code"] == "NAME_CONFLICT"
    assert client.put(f"{URL}/nightly/pause").json()["is_enabled"] is False
    assert client.put(f"{URL}/nightly/resume").json()["is_enabled"] is True
    assert client.delete(f"{URL}/nightly").status_code == 204
    assert client.get(f"{URL}/{made['id']}").status_code == 404
    changes = AuditEvent.objects.get(action="schedule.update").details
    assert changes == {"before": {"cron": "30 2 * * *"}, "after": {"cron": "0 4 * * 0"}}


def test_a_preview_says_it_in_words(operator: Actor) -> None:
    answer = client_for(operator).post(f"{URL}/preview", {"cron": "30 2 * * *"}, format="json").json()
    assert answer["words"] == "At 02:30 every day" and len(answer["next"]) == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron": "never"}, "cron"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"action": "explode"}, "action"),
        ({"options": {"signal": "KILL"}}, "signal"),
        ({"target": {}}, "target"),
        ({"target": {"ids": ["x"]}}, "target.ids"),
        ({"target": {"ids": []}}, "target.ids"),
        ({"target": {"ids": 5}}, "target.ids"),
        ({"target": {"node": "fake-1"}}, "target"),
        ({"target": {"filter": {"project": "other"}}}, "target.filter.project"),
        ({"target": {"filter": {"state": "asleep"}}}, "state"),
        ({"target": {"filter": {"q": 5}}}, "target.filter.q"),
        ({"target": {"filter": []}}, "target.filter"),
        ({"keep": {"daily": 7}}, "keep"),
        ({"action": "snapshot", "keep": {"dayly": 0}}, "keep.dayly"),
        ({"missed": "perhaps"}, "missed"),
        ({"missed_within_s": 1}, "missed_within_s"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_understood_is_refused(operator: Actor, changes: dict[str, Any], field: str) -> None:
    answer = client_for(operator).post(URL, {**BODY, **changes}, format="json")
    assert answer.status_code == 400 and field in answer.content.decode(), answer.content
    assert not Schedule.objects.exists()


def test_viewers_look_and_others_do_not_see_it(
    operator: Actor, viewer: Actor, stranger: Actor, fake_node: Node
) -> None:
    row = _made(operator)
    assert client_for(viewer).get(f"{URL}/{row.pk}").status_code == 200
    for method, path in (
        ("post", ""),
        ("put", f"/{row.pk}"),
        ("delete", f"/{row.pk}"),
        ("post", f"/{row.pk}/run"),
    ):
        body = {**BODY, "name": "mine"} if path == "" else {}
        answer = getattr(client_for(viewer), method)(f"{URL}{path}", body, format="json")
        assert answer.status_code == 403, (method, path, answer.content)
        if path:
            foreign = getattr(client_for(stranger), method)(f"{URL}{path}", body, format="json")
            assert foreign.status_code == 404, (method, path, foreign.content)
    assert client_for(stranger).get(URL).json()["total"] == 0


def test_an_operator_may_not_schedule_what_only_administrators_do(operator: Actor, project: Project) -> None:
    body = {**BODY, "action": "prune", "target": {"node": "local"}, "options": {"images": True}}
    assert client_for(operator).post(URL, body, format="json").status_code == 403


def test_due_it_runs_once_however_many_clocks_ring(
    operator: Actor, rows: list[Instance], foreign: Instance, worked: Worked
) -> None:
    row = _made(operator)
    now = _due(row)
    with worked():
        for _ in range(3):
            schedules_due(now)
        # A second process that read the row before the first wrote it.
        _due(row)
        schedules_due(now)
    run = ScheduleRun.objects.get()
    assert (run.state, run.operation.state if run.operation else "") == ("started", "succeeded")
    assert set(Instance.objects.filter(name__startswith="web-").values_list("state", flat=True)) == {
        "stopped"
    }
    foreign.refresh_from_db()
    assert foreign.state == "running"
    row.refresh_from_db()
    assert row.next_at and row.next_at > now
    shown = client_for(operator).get(f"{URL}/{row.pk}/runs").json()["items"][0]
    assert (shown["state"], shown["result"]["total"]) == ("succeeded", 4)
    assert Event.objects.filter(type="schedule.ran", project_uid=row.project_id).count() == 1


@pytest.mark.parametrize(
    ("policy", "late", "state"),
    [
        ("skip", timedelta(hours=3), "skipped"),
        ("late", timedelta(minutes=40), "started"),
        ("late", timedelta(hours=3), "skipped"),
        ("skip", timedelta(seconds=60), "started"),
    ],
)
def test_after_a_sleep_there_is_one_run_or_none_never_a_burst(
    operator: Actor, fake_node: Node, worked: Worked, policy: str, late: timedelta, state: str
) -> None:
    row = _made(operator, missed=policy, missed_within_s=3600)
    now = timezone.now().replace(second=30, microsecond=0)
    planned = now - late
    # Hourly at that minute, due every hour for days: the last time is what counts.
    Schedule.objects.filter(pk=row.pk).update(
        cron=f"{planned.minute} {planned.hour} * * *", timezone="UTC", next_at=planned - timedelta(days=9)
    )
    with worked():
        schedules_due(now)
        schedules_due(now)
    assert _states() == [state]
    row.refresh_from_db()
    assert row.next_at and row.next_at > now


def test_while_the_last_run_is_under_way_it_is_skipped(
    operator: Actor, rows: list[Instance], bells: list[str]
) -> None:
    row = _made(operator)
    now = _due(row)
    schedules_due(now)
    schedules_due(now + timedelta(minutes=1))
    assert _states() == ["started", "skipped"]
    answer = client_for(operator).post(f"{URL}/{row.pk}/run")
    assert answer.status_code == 409, answer.content
    schedule_update(operator, row.pk, {"overlap": "run"})
    assert client_for(operator).post(f"{URL}/{row.pk}/run").status_code == 200


def test_lost_rights_refuse_the_run_and_say_so(operator: Actor, rows: list[Instance], worked: Worked) -> None:
    row = _made(operator)
    Membership.objects.filter(user_id=operator.user_id).update(role="viewer")
    now = _due(row)
    with worked():
        schedules_due(now)
    run = ScheduleRun.objects.get()
    assert run.state == "refused" and "permission" in run.reason
    assert AuditEvent.objects.filter(action="schedule.refused", result="PERMISSION_DENIED").exists()
    assert Event.objects.filter(type="schedule.refused").exists()
    assert not Operation.objects.filter(is_parent=True).exists()


def test_a_disabled_owner_pauses_it_with_the_reason(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    row = _made(operator)
    User.objects.filter(pk=operator.user_id).update(is_active=False)
    now = _due(row)
    with worked():
        schedules_due(now)
    row.refresh_from_db()
    assert not row.is_enabled and "switched off" in row.paused_reason
    assert not ScheduleRun.objects.exists()
    assert AuditEvent.objects.filter(action="schedule.pause", username="system").exists()


def test_whoever_changes_it_is_its_owner(operator: Actor, admin: Actor, fake_node: Node) -> None:
    row = _made(admin)
    schedule_update(operator, row.pk, {"name": "other"})
    row.refresh_from_db()
    assert row.owner_id == operator.user_id


def test_paused_it_does_not_run(operator: Actor, rows: list[Instance], worked: Worked) -> None:
    row = _made(operator)
    schedule_pause(operator, row.pk, paused=True)
    now = _due(row)
    with worked():
        schedules_due(now)
    assert not ScheduleRun.objects.exists()


def test_retention_removes_what_the_schedule_made_and_nothing_else(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    one = rows[0]
    with worked():
        snapshot_create(operator, one.pk, {"name": "auto-nightly-by-hand"})
    row = _made(operator, action="snapshot", target={"ids": [str(one.pk)]}, keep={"last": 2})
    for _ in range(4):
        with worked():
            schedule_run_now(operator, row.pk)
        made_collect()
    # Names bear the second; these were made within one or two.
    made = list(ScheduleMade.objects.order_by("made_at").values_list("name", flat=True))
    for number in range(3):
        name = f"auto-nightly-extra-{number}"
        with worked():
            snapshot_create(operator, one.pk, {"name": name})
        ScheduleMade.objects.create(
            schedule=row,
            instance_uid=one.pk,
            name=name,
            made_at=timezone.now() - timedelta(days=9 - number),
        )
    for _ in range(10):
        with worked():
            retention_of_schedules()
    names = {item["name"] for item in snapshots_list(operator, one.pk)}
    expected = set([*(f"auto-nightly-extra-{n}" for n in range(3)), *made][-2:])
    assert names == {"auto-nightly-by-hand", *expected}
    assert set(ScheduleMade.objects.values_list("name", flat=True)) == expected


def test_retention_without_the_right_to_delete_keeps_all_and_says_why(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    row = _made(operator, action="snapshot", target={"ids": [str(rows[0].pk)]}, keep={"last": 1})
    with worked():
        snapshot_create(operator, rows[0].pk, {"name": "old"})
    for number, name in enumerate(["old", "new"]):
        ScheduleMade.objects.create(
            schedule=row,
            instance_uid=rows[0].pk,
            name=name,
            made_at=timezone.now() - timedelta(days=2 - number),
        )
    Membership.objects.filter(user_id=operator.user_id).update(role="viewer")
    with worked():
        retention_of_schedules()
    row.refresh_from_db()
    assert "permission" in row.keep_problem and ScheduleMade.objects.count() == 2


def test_running_it_by_hand_needs_the_right_to_its_action(
    admin: Actor, operator: Actor, fake_node: Node
) -> None:
    row = _made(admin)
    Schedule.objects.filter(pk=row.pk).update(action="prune", target={"node": "local"})
    with pytest.raises(ComputeError):
        schedule_run_now(operator, row.pk)


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    operator: Actor, fake_node: Node, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        row = _made(operator, name=f"s{number}")
        ScheduleRun.objects.create(schedule=row, planned_at=timezone.now(), state="skipped")
    client = client_for(operator)
    with django_assert_max_num_queries(7):
        assert client.get(URL).json()["total"] == 12


def test_an_administrator_prunes_an_engine_by_schedule(
    admin: Actor, project: Project, bells: list[str]
) -> None:
    node = Node.objects.create(name="engine-1", backend="docker", url="unix:///nowhere", is_reachable=True)
    wanted = {"action": "prune", "target": {"node": "engine-1"}, "options": {"images": True}}
    row = _made(admin, **wanted)
    schedules_due(_due(row))
    run = ScheduleRun.objects.select_related("operation").get()
    assert run.operation is not None and run.operation.action == "system.prune"
    assert (run.operation.node_id, run.operation.params["kinds"]) == (node.pk, ["images"])
    Operation.objects.update(state="succeeded")
    made_collect()
    run.refresh_from_db()
    assert run.is_collected
    for wrong in ({"options": {}}, {"options": {"everything": True}}, {"target": {"filter": {}}}):
        with pytest.raises(ComputeError):
            _made(admin, **{**wanted, "name": "other", **wrong})


def _by_token(actor: Actor, *scopes: str, **more: Any) -> tuple[Actor, ApiToken]:
    """Somebody who came in with a new personal token of the actor."""
    shape, text = token_create(actor, {"name": f"t{ApiToken.objects.count()}", "scopes": scopes, **more})
    user, credential = token_open(text, "")
    return actor_for(user, credential=credential), ApiToken.objects.get(pk=shape["id"])


def test_a_token_lends_a_schedule_no_more_than_its_scope(
    admin: Actor, rows: list[Instance], worked: Worked
) -> None:
    narrow, _ = _by_token(admin, "read", "create", "update")
    with pytest.raises(ComputeError, match="permission"):
        _made(narrow)
    row = _made(narrow, action="snapshot")
    Schedule.objects.filter(pk=row.pk).update(action="stop")
    now = _due(row)
    with worked():
        schedules_due(now)
    run = ScheduleRun.objects.get()
    assert run.state == "refused" and "“stop”" in run.reason


@pytest.mark.parametrize("how", ["revoked", "expired", "forgotten"])
def test_with_its_token_a_schedule_ends_until_somebody_takes_it_over(
    admin: Actor, operator: Actor, rows: list[Instance], worked: Worked, how: str
) -> None:
    by_token, token = _by_token(admin, "operate")
    row = _made(by_token)
    now = _due(row)
    with worked():
        schedules_due(now)
    assert _states() == ["started"]
    if how == "revoked":
        token_revoke(admin, token.pk)
    elif how == "expired":
        ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    else:
        Schedule.objects.filter(pk=row.pk).update(token_uid=None)
    refused = client_for(operator).post(f"{URL}/{row.pk}/run")
    assert refused.json()["run"]["state"] == "refused" and "token" in refused.json()["run"]["reason"]
    schedules_orphaned()
    shown = client_for(operator).get(f"{URL}/{row.pk}").json()
    assert not shown["is_enabled"] and "was revoked" in shown["paused_reason"]
    page = Client()
    page.force_login(User.objects.get(pk=operator.user_id))
    assert b"was revoked" in page.get(f"/schedules/{row.pk}").content
    assert AuditEvent.objects.filter(action="schedule.pause", username="system").exists()
    resumed = client_for(operator).put(f"{URL}/{row.pk}/resume").json()
    assert (resumed["is_enabled"], resumed["owner"]) == (True, operator.username)
    schedules_orphaned()
    now = _due(row)
    with worked():
        schedules_due(now + timedelta(minutes=1))
    assert _states() == ["started", "refused", "started"]


def test_a_token_that_was_narrowed_narrows_its_schedules(
    admin: Actor, rows: list[Instance], worked: Worked
) -> None:
    by_token, token = _by_token(admin, "operate")
    row = _made(by_token)
    ApiToken.objects.filter(pk=token.pk).update(scopes=["read"])
    now = _due(row)
    with worked():
        schedules_due(now)
    run = ScheduleRun.objects.get()
    assert run.state == "refused" and "“stop”" in run.reason
    # Another project is none of the token's.
    ApiToken.objects.filter(pk=token.pk).update(scopes=["operate"], project_uids=[str(uuid.uuid4())])
    with worked():
        schedules_due(_due(row) + timedelta(minutes=1))
    assert _states() == ["refused", "refused"]


def test_what_waits_of_a_bulk_ends_with_its_token(admin: Actor, nine: list[Instance], worked: Worked) -> None:
    by_token, token = _by_token(admin, "operate")
    parent = bulk_submit(by_token, BulkRequest("stop", [each.pk for each in nine]))
    token_revoke(admin, token.pk)
    bulk_advance(str(parent.pk))
    items = BulkItem.objects.filter(parent=parent)
    assert {(item.state, item.error_code) for item in items} == {("refused", "UNAUTHENTICATED")}


def test_schedules_of_before_find_their_token_again(admin: Actor, rows: list[Instance]) -> None:
    known, token = _by_token(admin, "create", "stop")
    row = _made(known)
    twice, _ = _by_token(admin, "read", "operate")
    other = _made(twice, name="other")
    _by_token(admin, "operate", "read")
    assert Schedule.objects.update(token_uid=None) == 2
    schedule_token.tokens_find(apps, None)
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.token_uid, other.token_uid) == (token.pk, None)
