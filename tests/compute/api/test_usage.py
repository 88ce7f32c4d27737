"""``…/usage/history`` over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.execution.usage import usage_store
from compute.live import _redis
from compute.models import Instance, Node
from compute.usage.points import Collector, project_subject

pytestmark = pytest.mark.django_db
ONE = "/api/v1/compute/instances"


def _past(subject: Any) -> None:
    _redis().flushall()
    collector = Collector()
    now = int(time()) // 10 * 10
    for at_s in range(now - 600, now, 5):
        collector.put(str(subject), at_s, {"cpu_percent": 25.0, "memory_bytes": 1e6})
    usage_store(collector, before_s=now)


def test_an_instance_has_its_past(as_viewer: APIClient, make: Callable[..., Instance]) -> None:
    row = make("web")
    _past(row.pk)
    for address in (str(row.pk), "web"):
        found = as_viewer.get(f"{ONE}/{address}/usage/history?start=-15m&interval=1m").json()
        assert (found["interval_s"], found["resolution_s"]) == (60, 10)
        assert len(found["timestamps"]) == len(found["series"]["cpu_percent"]["avg"]) in (15, 16)
        known = [value for value in found["series"]["cpu_percent"]["max"] if value is not None]
        assert known == [pytest.approx(25, rel=0.002)] * len(known) and 10 <= len(known) <= 11
        assert found["series"]["cpu_percent"]["avg"][0] is None, "a gap is a gap"
        assert found["timestamps"][0].endswith("Z")


def test_nodes_and_all_of_them_together_have_theirs(as_viewer: APIClient, fake_node: Node) -> None:
    other = Node.objects.create(name="fake-2", backend="fake", url="fake://")
    _past(fake_node.pk)
    _past(other.pk)
    one = as_viewer.get(f"/api/v1/nodes/{fake_node.pk}/usage/history?interval=300").json()
    assert max(v for v in one["series"]["cpu_percent"]["avg"] if v) == pytest.approx(25, rel=0.002)
    both = as_viewer.get("/api/v1/compute/cluster/usage/history?interval=300").json()
    assert max(v for v in both["series"]["cpu_percent"]["avg"] if v) == pytest.approx(50, rel=0.002)
    Node.objects.update(is_local=True, hostname="here")
    once = as_viewer.get("/api/v1/compute/cluster/usage/history?interval=300").json()
    assert max(v for v in once["series"]["cpu_percent"]["avg"] if v) == pytest.approx(25, rel=0.002)


def test_a_project_has_what_its_instances_used_on_all_nodes(
    as_viewer: APIClient, as_stranger: APIClient, make: Callable[..., Instance], fake_node: Node
) -> None:
    project = make("web").project
    other = Node.objects.create(name="fake-2", backend="fake", url="fake://")
    for node in (fake_node, other):
        _past(project_subject(node.pk, project.pk))
    address = f"/api/v1/projects/{project.name}/usage/history?interval=300"
    found = as_viewer.get(address).json()
    assert max(v for v in found["series"]["cpu_percent"]["avg"] if v) == pytest.approx(50, rel=0.002)
    assert as_stranger.get(address).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "start=yesterday",
        "start=2026-13-01T00:00:00Z",
        "start=-99999999d",
        "interval=x",
        "interval=0",
        "interval=99999999d",
        "start=2999-01-01T00:00:00Z",
        "start=0001-01-01T00:00:00Z",
        "start=-1h&end=-2h",
        "start=-365d&interval=10m&nonsense=1",
        "end=0001-01-01T00:00:00-23:59",
    ],
)
def test_bad_questions_are_told_so(as_viewer: APIClient, make: Callable[..., Instance], query: str) -> None:
    answer = as_viewer.get(f"{ONE}/{make('web').pk}/usage/history?{query}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["code"] == "INVALID_INPUT"


def test_the_beginning_of_time_is_too_long_ago_and_no_unreadable_time(
    as_viewer: APIClient, make: Callable[..., Instance]
) -> None:
    answer = as_viewer.get(f"{ONE}/{make('web').pk}/usage/history?start=1970-01-01T00:00:00%2B02:00")
    assert answer.status_code == 400 and "400 days" in answer.json()["error"]["message"], answer.content


def test_foreign_ones_are_not_there(as_stranger: APIClient, make: Callable[..., Instance]) -> None:
    assert as_stranger.get(f"{ONE}/{make('web').pk}/usage/history").status_code == 404


def test_a_chart_costs_few_queries(
    as_viewer: APIClient, make: Callable[..., Instance], django_assert_max_num_queries: Any
) -> None:
    row = make("web")
    _past(row.pk)
    with django_assert_max_num_queries(6):
        as_viewer.get(f"{ONE}/{row.pk}/usage/history?start=-365d")
