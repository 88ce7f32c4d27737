"""ok → pending → firing → resolved, for each kind of rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from compute.execution.alerts.evaluate import alerts_evaluate, alerts_prune
from compute.models import (
    Alert,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    Backup,
    BackupTarget,
    Event,
    Instance,
    Node,
    Operation,
    Resource,
)
from tests.compute.alerts.conftest import NOW

pytestmark = pytest.mark.django_db
Rule = Callable[..., AlertRule]
CPU = {"metric": "cpu_percent", "threshold": 80.0, "clear_threshold": 60.0}


def _look(after_s: float = 0) -> list[tuple[str, str]]:
    """Evaluate ``after_s`` after the beginning; the alerts as (thing, state)."""
    alerts_evaluate(NOW + timedelta(seconds=after_s))
    return sorted(Alert.objects.values_list("subject_name", "state"))


def _at(state: str, row: Instance, **columns: Any) -> None:
    Instance.objects.filter(pk=row.pk).update(state=state, **columns)


def test_a_threshold_must_be_passed_for_the_time(
    make: Any, rule: Rule, busy: Any, webhook: AlertChannel
) -> None:
    row = make("web")
    rule("instance_usage", webhook, for_s=30, **CPU)
    busy(row, cpu_percent=50)
    assert _look() == []
    busy(row, cpu_percent=95)
    assert _look(0) == [("web", "pending")]
    assert _look(29) == [("web", "pending")]
    assert not AlertDelivery.objects.exists()
    assert _look(30) == [("web", "firing")]
    assert _look(40) == [("web", "firing")]
    alert = Alert.objects.get()
    assert (alert.value, alert.started_at, alert.fired_at) == (95, NOW, NOW + timedelta(seconds=30))
    assert "cpu is 95.0 %, above 80 %" in alert.message
    assert AlertDelivery.objects.get().payload["alerts"][0]["subject"] == "web"
    busy(row, cpu_percent=70)
    assert _look(50) == [("web", "firing")], "between the thresholds it stays as it is"
    busy(row, cpu_percent=60)
    assert _look(60) == [("web", "resolved")]
    assert [each.event for each in AlertDelivery.objects.order_by("created_at")] == [
        "alert.firing",
        "alert.resolved",
    ]
    assert list(Event.objects.filter(type__startswith="alert.").values_list("type", flat=True)) == [
        "alert.firing",
        "alert.resolved",
    ]


def test_what_was_too_short_never_was(make: Any, rule: Rule, busy: Any) -> None:
    row = make("web")
    rule("instance_usage", for_s=30, **CPU)
    busy(row, cpu_percent=95)
    _look()
    busy(row, cpu_percent=70)
    assert _look(10) == []
    busy(row, cpu_percent=95)
    assert _look(35) == [("web", "pending")], "the time begins anew"


def test_amounts_are_told_with_units_and_stay_numbers_for_programs(
    make: Any, rule: Rule, busy: Any, webhook: AlertChannel
) -> None:
    row = make("web")
    rule("instance_usage", webhook, metric="memory_bytes", threshold=2.0 * 1024**3)
    busy(row, memory_bytes=2_684_354_561, memory_limit_bytes=4 * 1024**3)
    assert _look() == [("web", "firing")]
    told = AlertDelivery.objects.get().payload["alerts"][0]
    assert told["message"] == "web: memory is 2.5 GiB, above 2 GiB." and told["value"] == 2_684_354_561


def test_below_works_the_other_way_round(make: Any, rule: Rule, busy: Any) -> None:
    row = make("web")
    rule("instance_usage", metric="memory_percent", above=False, threshold=10.0, clear_threshold=20.0)
    busy(row, memory_bytes=5, memory_limit_bytes=100)
    assert _look() == [("web", "firing")]
    busy(row, memory_bytes=15, memory_limit_bytes=100)
    assert _look(1) == [("web", "firing")]
    busy(row, memory_bytes=25, memory_limit_bytes=100)
    assert _look(2) == [("web", "resolved")]


def test_what_is_not_measured_changes_nothing(make: Any, rule: Rule, busy: Any) -> None:
    from_redis = make("web")
    rule("instance_usage", **CPU)
    busy(from_redis, cpu_percent=95)
    _look()
    busy(from_redis)
    assert _look(1) == [("web", "firing")]
    _at("stopped", from_redis)
    assert _look(2) == [("web", "resolved")]


def test_there_is_one_alert_for_each_rule_and_thing(make: Any, rule: Rule, busy: Any) -> None:
    for name in ("a", "b"):
        busy(make(name), cpu_percent=95)
    rule("instance_usage", **CPU)
    for second in range(5):
        assert _look(second) == [("a", "firing"), ("b", "firing")]
    assert Alert.objects.count() == 2


def test_what_stopped_by_wish_is_not_down(make: Any, rule: Rule) -> None:
    row = make("web")
    rule("instance_down")
    Operation.objects.all().update(action="instance.start")
    assert _look() == []
    _at("stopped", row, status="Exited (1)")
    assert _look(1) == [("web", "firing")]
    assert "Exited (1)" in Alert.objects.get().message
    _at("running", row)
    assert _look(2) == [("web", "resolved")]
    Operation.objects.all().update(action="instance.stop")
    _at("stopped", row)
    assert _look(3) == [("web", "resolved")]


def test_what_ends_by_itself_after_it_was_made_is_down(make: Any, rule: Rule) -> None:
    row = make("web")
    rule("instance_down")
    _at("stopped", row, status="Exited (3)")
    assert _look() == [("web", "firing")]


def test_what_was_never_to_be_started_is_not_down_whatever_else_was_done_to_it(make: Any, rule: Rule) -> None:
    row = make("web")
    rule("instance_down")
    made = Operation.objects.get(instance=row)
    made.params["auto_start"] = False
    made.save()
    Operation.objects.create(
        action="instance.snapshot", instance=row, node=row.node, state="succeeded", finished_at=NOW
    )
    _at("stopped", row)
    assert _look() == []


def test_what_is_being_worked_on_is_judged_afterwards(make: Any, rule: Rule) -> None:
    row = make("web")
    rule("instance_down")
    Operation.objects.all().update(action="instance.start", state="running")
    _at("stopped", row)
    assert _look() == []
    Operation.objects.all().update(state="succeeded")
    assert _look(1) == [("web", "firing")]


def test_a_failing_health_check_is_told(make: Any, rule: Rule) -> None:
    row = make("web")
    rule("instance_unhealthy")
    _at("running", row, health="unhealthy")
    assert _look() == [("web", "firing")]


def test_a_node_that_vanishes_is_one_alert_and_no_storm(
    make: Any, rule: Rule, fake_node: Node, busy: Any, webhook: AlertChannel
) -> None:
    for name in ("a", "b", "c"):
        busy(make(name), cpu_percent=95)
    Operation.objects.all().update(action="instance.start")
    for each in (rule("instance_down", webhook), rule("node_unreachable", webhook)):
        assert each.pk
    Node.objects.update(is_reachable=False, error="no route")
    Instance.objects.update(state="stopped")
    assert _look() == [("fake-1", "firing")]
    assert "no route" in Alert.objects.get().message
    assert AlertDelivery.objects.count() == 1
    Node.objects.update(is_reachable=True)
    Instance.objects.update(state="running")
    assert _look(5) == [("fake-1", "resolved")]


def test_many_of_one_rule_are_told_together(make: Any, rule: Rule, webhook: AlertChannel) -> None:
    for name in ("a", "b", "c"):
        _at("error", make(name))
    Operation.objects.all().update(action="instance.start")
    rule("instance_down", webhook)
    _look()
    assert len(AlertDelivery.objects.get().payload["alerts"]) == 3


def test_hosts_and_pools_that_fill_up(rule: Rule, fake_node: Node, busy: Any) -> None:
    Node.objects.update(storage_total_bytes=100, storage_used_bytes=95)
    data = {"capacity": 100, "allocation": 96}
    Resource.objects.create(node=fake_node, kind="pool", engine_id="p", name="default", data=data)
    busy(fake_node, cpu_percent=400)
    rule("node_usage", metric="storage_percent", threshold=90.0)
    rule("pool_filling", metric="storage_percent", threshold=90.0)
    assert _look() == [("default (fake-1)", "firing"), ("fake-1", "firing")]
    AlertRule.objects.all().delete()
    rule("node_usage", metric="cpu_percent", threshold=49.0)
    assert _look() == [("fake-1", "firing")], "400 % of one core are half of eight"


def test_a_failed_operation_is_told_until_it_goes_well(make: Any, rule: Rule) -> None:
    row = make("web")
    failed = {"instance": row, "instance_uid": row.pk, "instance_name": "web", "project": row.project}
    rule("operation_failed", action="instance")
    Operation.objects.all().delete()
    Operation.objects.create(
        action="instance.start", state="failed", error_message="No room", finished_at=timezone.now(), **failed
    )
    assert _look() == [("web", "firing")]
    assert Alert.objects.get().message == "instance.start of web failed: No room"
    Operation.objects.create(action="instance.start", state="succeeded", finished_at=timezone.now(), **failed)
    assert _look(1) == [("web", "resolved")]


def test_rules_of_a_project_see_its_things_only(make: Any, rule: Rule, project: Any, busy: Any) -> None:
    row, other = make("web"), make("other")
    for each in (row, other):
        busy(each, cpu_percent=95)
    elsewhere = type(project).objects.create(name="elsewhere")
    Instance.objects.filter(pk=other.pk).update(project=elsewhere)
    rule("instance_usage", project=project, **CPU)
    assert _look() == [("web", "firing")]


def test_a_silenced_rule_tells_when_the_silence_ends(make: Any, rule: Rule, webhook: AlertChannel) -> None:
    _at("error", make("web"))
    Operation.objects.all().update(action="instance.start")
    rule("instance_down", webhook, silenced_until=NOW + timedelta(seconds=60))
    assert _look() == [("web", "firing")]
    assert not AlertDelivery.objects.exists()
    _look(60)
    assert AlertDelivery.objects.get().event == "alert.firing"
    _look(65)
    assert AlertDelivery.objects.count() == 1


def test_what_was_never_told_is_not_told_to_be_over(make: Any, rule: Rule, webhook: AlertChannel) -> None:
    row = make("web")
    _at("error", row)
    Operation.objects.all().update(action="instance.start")
    rule("instance_down", webhook, silenced_until=NOW + timedelta(seconds=60))
    _look()
    _at("running", row)
    assert _look(70) == [("web", "resolved")]
    assert not AlertDelivery.objects.exists()


@pytest.mark.parametrize("away", ["rule", "instance"])
def test_what_is_switched_off_or_gone_is_over(make: Any, rule: Rule, away: str) -> None:
    row = make("web")
    _at("error", row)
    Operation.objects.all().update(action="instance.start")
    rule("instance_down")
    _look()
    if away == "rule":
        AlertRule.objects.update(is_enabled=False)
    else:
        Instance.objects.all().delete()
    assert _look(1) == [("web", "resolved")]


def test_old_ones_are_dropped(make: Any, rule: Rule) -> None:
    row = make("web")
    _at("error", row)
    Operation.objects.all().update(action="instance.start")
    rule("instance_down")
    _look()
    _at("running", row)
    _look(1)
    alerts_prune(NOW + timedelta(days=80))
    assert Alert.objects.count() == 1
    alerts_prune(NOW + timedelta(days=100))
    assert not Alert.objects.exists()


def test_what_a_look_costs_does_not_grow(make: Any, rule: Rule, django_assert_max_num_queries: Any) -> None:
    for name in ("a", "b", "c", "d"):
        make(name)
    for kind in ("instance_down", "instance_unhealthy"):
        rule(kind)
    with django_assert_max_num_queries(16):
        alerts_evaluate(datetime.now(NOW.tzinfo))


def test_what_was_not_backed_up_for_so_many_hours(make: Any, rule: Rule, project: Any) -> None:
    old, young, kept = make("old"), make("young"), make("kept")
    now = timezone.now()
    Instance.objects.filter(pk__in=[old.pk, kept.pk]).update(created_at=now - timedelta(hours=50))
    target = BackupTarget.objects.create(name="disk", kind="local")
    about = {"target": target, "project": project, "backend": "fake", "type": "container"}
    made = Backup.objects.create(instance_uid=kept.pk, instance_name="kept", state="ready", **about)
    Backup.objects.filter(pk=made.pk).update(finished_at=now - timedelta(hours=3))
    Backup.objects.create(instance_uid=old.pk, instance_name="old", state="damaged", finished_at=now, **about)
    rule("backup_overdue", metric="backup_age_hours", threshold=24.0)
    assert _look() == [("old", "firing")], "one that is damaged is no backup"
    assert Alert.objects.get().message == "old was not backed up for 24 hours. There is no backup of it."
    Backup.objects.filter(pk=made.pk).update(finished_at=now - timedelta(hours=30))
    assert _look(10) == [("kept", "firing"), ("old", "firing")]
    assert "Its last backup is 30 hours old." in Alert.objects.get(subject_name="kept").message
    Backup.objects.update(state="ready", finished_at=now)
    assert _look(20) == [("kept", "resolved"), ("old", "resolved")]
    Node.objects.update(capabilities=[])
    Instance.objects.filter(pk=young.pk).update(created_at=now - timedelta(hours=50))
    assert ("young", "firing") not in _look(30), "what cannot be backed up is not asked for it"


def test_what_appears_beside_libgo_is_told_until_it_is_adopted(
    make: Any, rule: Rule, fake_node: Node
) -> None:
    make("ours")
    old, new = make("old"), make("new")
    Instance.objects.exclude(name="ours").update(managed=False)
    since = rule("instance_unmanaged").created_at
    Instance.objects.filter(pk=old.pk).update(created_at=since - timedelta(hours=1))
    Instance.objects.filter(pk=new.pk).update(created_at=since + timedelta(seconds=1))
    assert _look() == [("new", "firing")]
    assert Alert.objects.get().project_uid is None, "who looks after the site hears of it"
    Instance.objects.filter(pk=new.pk).update(managed=True)
    assert _look(10) == [("new", "resolved")]
