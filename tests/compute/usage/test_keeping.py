"""Stored, rolled up, read again, dropped."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

import pytest
from django.utils import timezone as django_timezone

from compute.backends.fake import FakeBackend
from compute.errors import InstanceNotFound, InvalidInput
from compute.execution import sampler as sampling
from compute.execution.sampler import Sampler
from compute.execution.turns import turn
from compute.execution.usage import usage_prune, usage_prune_gone, usage_roll, usage_store
from compute.live import _redis, usage_recent, usage_write
from compute.models import Instance, Node, Project, UsageBlock
from compute.selectors.nodes import node_config
from compute.selectors.usage import Span, columns_of, instance_history, span_for
from compute.usage.codec import FINE, HOURLY, MINUTE, QUARTER
from compute.usage.points import Collector, project_subject

pytestmark = pytest.mark.django_db
HOUR = 1_700_000_000 // 3600 * 3600
CPU = 0


def _store(subject: str, start_s: int, end_s: int, cpu: float = 10.0) -> None:
    """Samples every 5 s, stored as the sampler does it."""
    collector = Collector()
    for at_s in range(start_s, end_s, 5):
        collector.put(subject, at_s, {"cpu_percent": cpu})
        if at_s % 300 == 0:
            usage_store(collector, before_s=at_s)
    usage_store(collector, before_s=end_s)


def _read(subject: str, start_s: int, end_s: int, interval_s: int, resolution: Any) -> dict[int, float]:
    span = Span(start_s, end_s, interval_s, resolution)
    cpu = columns_of([uuid.UUID(subject)], span)[uuid.UUID(subject)][CPU]
    return {at: round(value, 1) for at, value in zip(span.times, cpu, strict=True) if value is not None}


@pytest.fixture
def subject() -> str:
    return str(uuid.uuid4())


def test_points_are_stored_rolled_up_and_read(subject: str) -> None:
    _store(subject, HOUR, HOUR + 1800, 10)
    _store(subject, HOUR + 1800, HOUR + 3600, 30)
    assert UsageBlock.objects.count() == 4
    assert len(_read(subject, HOUR, HOUR + 3600, 10, FINE)) == 360
    assert usage_roll(now_s=HOUR + 7200) == 4
    assert usage_roll(now_s=HOUR + 7200) == 0
    minutes = _read(subject, HOUR, HOUR + 3600, 60, MINUTE)
    assert len(minutes) == 60
    assert (minutes[HOUR], minutes[HOUR + 3540]) == (10, 30)
    assert _read(subject, HOUR, HOUR + 3600, 900, QUARTER) == {
        HOUR: 10,
        HOUR + 900: 10,
        HOUR + 1800: 30,
        HOUR + 2700: 30,
    }
    assert _read(subject, HOUR, HOUR + 3600, 3600, HOURLY) == {HOUR: 20}


def test_what_is_not_rolled_up_yet_is_in_coarser_series_too(subject: str) -> None:
    _store(subject, HOUR, HOUR + 1800)
    usage_roll(now_s=HOUR + 900 + 100)
    assert UsageBlock.objects.filter(step_s=MINUTE.step_s).count() == 1
    assert list(_read(subject, HOUR, HOUR + 3600, 900, QUARTER)) == [HOUR, HOUR + 900]


def test_a_gap_stays_a_gap(subject: str) -> None:
    _store(subject, HOUR, HOUR + 600)
    _store(subject, HOUR + 1200, HOUR + 1800)
    usage_roll(now_s=HOUR + 7200)
    minutes = _read(subject, HOUR, HOUR + 1800, 60, MINUTE)
    assert HOUR + 540 in minutes
    assert not [at for at in minutes if HOUR + 600 <= at < HOUR + 1200]
    assert HOUR + 1200 in minutes


def test_a_second_sampler_adds_to_the_block_of_the_first(subject: str) -> None:
    first, second = Collector(), Collector()
    first.put(subject, HOUR, {"cpu_percent": 1.0})
    second.put(subject, HOUR + 10, {"cpu_percent": 2.0})
    usage_store(second, before_s=HOUR + 20)
    usage_store(first, before_s=HOUR + 20)
    assert _read(subject, HOUR, HOUR + 20, 10, FINE) == {HOUR: 1.0, HOUR + 10: 2.0}


def test_points_that_come_late_are_rolled_up_again(subject: str) -> None:
    _store(subject, HOUR, HOUR + 450, 10)
    usage_roll(now_s=HOUR + 7200)
    _store(subject, HOUR + 450, HOUR + 900, 30)
    usage_roll(now_s=HOUR + 7200)
    assert _read(subject, HOUR, HOUR + 900, 900, QUARTER) == {HOUR: pytest.approx(20, abs=0.7)}


def test_old_blocks_go_and_those_that_wait_stay(subject: str) -> None:
    _store(subject, HOUR, HOUR + 900)
    day_later = HOUR + 86400
    assert usage_prune(now_s=day_later) == 0, "it has not been rolled up"
    usage_roll(now_s=day_later)
    assert usage_prune(now_s=day_later) == 1
    assert {row.step_s for row in UsageBlock.objects.all()} == {60, 900, 3600}
    assert usage_prune(now_s=HOUR + 200 * 86400) == 2
    assert usage_prune(now_s=HOUR + 500 * 86400) == 1
    assert not UsageBlock.objects.exists()


def test_the_past_of_what_was_deleted_goes_after_a_day(make: Any, subject: str) -> None:
    row = make("web")
    for each in (subject, str(row.pk)):
        _store(each, HOUR, HOUR + 100)
    assert usage_prune_gone() == 0
    tomorrow = datetime.now(timezone.utc).timestamp() + 90_000
    assert usage_prune_gone(now_s=tomorrow) == 1
    assert UsageBlock.objects.get().subject == row.pk


def test_the_past_of_a_project_is_kept_for_as_long_as_the_project(make: Any, fake_node: Node) -> None:
    row = make("web")
    kept = str(project_subject(fake_node.pk, row.project_id))
    for each in (kept, str(project_subject(fake_node.pk, uuid.uuid4()))):
        _store(each, HOUR, HOUR + 100)
    assert usage_prune_gone(now_s=datetime.now(timezone.utc).timestamp() + 90_000) == 1
    assert str(UsageBlock.objects.get().subject) == kept


def test_one_has_the_turn_at_a_time() -> None:
    with turn("usage", 30) as first, turn("usage", 30) as second, turn("other", 30) as third:
        assert (first, second, third) == (True, False, True)
    with turn("usage", 30) as again:
        assert again


# -- the sampler -------------------------------------------------------------------------------------


@pytest.fixture
def clean_redis() -> None:
    _redis().flushall()


def _sampler(node: Node) -> Sampler:
    return Sampler(node, FakeBackend(node_config(node)))


def _now() -> datetime:
    return django_timezone.now()


def test_the_sampler_stores_instances_and_their_node(make: Any, fake_node: Node, clean_redis: None) -> None:
    row = make("web")
    watched = _sampler(fake_node)
    watched.look()
    watched.store_rest()
    subjects = set(UsageBlock.objects.values_list("subject", flat=True))
    assert subjects == {row.pk, fake_node.pk, project_subject(fake_node.pk, row.project_id)}
    assert usage_recent(str(fake_node.pk))[0]["cpu_percent"] == 12.5, "all that runs on it"


def test_what_a_project_uses_of_a_node_is_the_sum_of_its_instances(
    make: Any, fake_node: Node, clean_redis: None
) -> None:
    first, second = make("web"), make("db")
    elsewhere = Project.objects.create(name="elsewhere")
    Instance.objects.filter(pk=second.pk).update(project=elsewhere)
    make("more")
    _sampler(fake_node).look()
    of_default, of_elsewhere = (
        usage_recent(str(project_subject(fake_node.pk, project)))[0]
        for project in (first.project_id, elsewhere.pk)
    )
    assert (of_default["cpu_percent"], of_elsewhere["cpu_percent"]) == (25.0, 12.5)


def test_a_new_sampler_takes_over_what_the_last_one_had_not_stored(
    make: Any, fake_node: Node, clean_redis: None
) -> None:
    row = make("web")
    now_s = int(_now().timestamp())
    for ago_s in range(60, 0, -2):
        stamp = datetime.fromtimestamp(now_s - ago_s, timezone.utc).isoformat()
        usage_write({str(row.pk): {"timestamp": stamp, "cpu_percent": 7.0}})
    watched = _sampler(fake_node)
    watched.look()
    watched.store_rest()
    points = _read(str(row.pk), now_s // 10 * 10 - 60, now_s + 20, 10, FINE)
    assert len(points) >= 5


def test_the_past_survives_a_broker_that_forgets_all(make: Any, fake_node: Node, clean_redis: None) -> None:
    row = make("web")
    watched = _sampler(fake_node)
    watched.look()
    _redis().flushall()
    watched.store_rest()
    now_s = int(_now().timestamp())
    assert len(_read(str(row.pk), now_s // 10 * 10 - 20, now_s + 20, 10, FINE)) == 1


def test_a_database_that_fails_loses_nothing(
    make: Any, fake_node: Node, clean_redis: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("web")
    watched = _sampler(fake_node)
    watched.look()

    def fail(*_: Any, **__: Any) -> int:
        raise sampling.DatabaseError("locked")

    with monkeypatch.context() as broken:
        broken.setattr(sampling, "usage_store", fail)
        watched.store_rest()
    assert not UsageBlock.objects.exists()
    watched.store_rest()
    assert UsageBlock.objects.count() == 3


# -- what may be asked -------------------------------------------------------------------------------

NOW = float(HOUR + 1000)


def _span(ago_s: float, interval_s: int | None = None) -> Span:
    return span_for(datetime.fromtimestamp(NOW - ago_s, timezone.utc), None, interval_s, now_s=NOW)


@pytest.mark.parametrize(
    ("ago_s", "interval_s", "resolution"),
    [
        (3600, 10, FINE),
        (6 * 3600, 30, FINE),
        (86400, 120, MINUTE),
        (7 * 86400, 900, QUARTER),
        (30 * 86400, 3600, HOURLY),
        (365 * 86400, 43200, HOURLY),
    ],
)
def test_the_interval_is_chosen(ago_s: int, interval_s: int, resolution: Any) -> None:
    span = _span(ago_s)
    assert (span.interval_s, span.resolution) == (interval_s, resolution)
    assert len(span.times) <= 752
    assert all(at % interval_s == 0 for at in span.times)


def test_an_interval_finer_than_what_is_kept_becomes_that() -> None:
    assert _span(86400, 70).interval_s == 120
    assert _span(10 * 86400, 900).interval_s == 900
    assert _span(300 * 86400, 86400).resolution is HOURLY


@pytest.mark.parametrize(
    ("ago_s", "interval_s"), [(-10, None), (3600, 5), (365 * 86400, 3600), (500 * 86400, None)]
)
def test_what_cannot_be_answered_is_refused(ago_s: float, interval_s: int | None) -> None:
    with pytest.raises(InvalidInput):
        _span(ago_s, interval_s)


def test_a_foreign_instance_has_no_past(make: Any, stranger: Any) -> None:
    with pytest.raises(InstanceNotFound):
        instance_history(stranger, str(make("web").pk), _span(3600))
