"""``/metrics``: who may scrape, what is told, and how much of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from compute.live import usage_write
from compute.models import Instance, Node
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db
Figures = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
def scraper(settings: Any) -> APIClient:
    settings.LIBGO = {**settings.LIBGO, "metrics": {"token": "s3cret-of-prometheus", "max_instances": 2}}
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer s3cret-of-prometheus")
    return client


def _figures(client: APIClient) -> Figures:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.content
    found: Figures = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def _measured(row: Instance | Node, ago_s: float = 0, **sample: Any) -> None:
    at = datetime.now(timezone.utc) - timedelta(seconds=ago_s)
    usage_write({str(row.pk): {"timestamp": at.isoformat(), "cpu_percent": 150.0, **sample}})


@attack("S89", "the token of the metrics elsewhere", refused="401")
def test_the_token_opens_metrics_and_nothing_else(scraper: APIClient) -> None:
    assert "libgo_operations_queue_age_seconds" in _figures(scraper)
    assert scraper.get("/api/v1/compute/instances").status_code == 401
    scraper.credentials(HTTP_AUTHORIZATION="Bearer s3cret-of-prometheuS")
    assert scraper.get("/metrics").status_code == 401


def test_without_a_configured_token_there_is_none(anonymous: APIClient, as_viewer: APIClient) -> None:
    anonymous.credentials(HTTP_AUTHORIZATION="Bearer ")
    assert anonymous.get("/metrics").status_code == 401
    assert as_viewer.get("/metrics").status_code == 403


def test_instances_and_nodes_have_their_figures(
    scraper: APIClient, make: Callable[..., Instance], fake_node: Node
) -> None:
    row = make("web")
    _measured(row, memory_bytes=1000, network_rx_bytes=5)
    _measured(fake_node)
    found = _figures(scraper)
    labels, value = found["libgo_instance_cpu_cores_used"][0]
    assert value == 1.5
    assert (labels["name"], labels["node"], labels["project"]) == ("web", "fake-1", "default")
    assert labels["instance"] == str(row.pk)
    assert found["libgo_instance_network_receive_bytes_total"][0][1] == 5
    assert found["libgo_instances"] == [({"backend": "fake", "state": "running"}, 1.0)]
    assert found["libgo_node_up"][0] == ({"node": "fake-1", "backend": "fake"}, 1.0)
    assert found["libgo_node_cpu_cores_used"][0][1] == 1.5
    assert found["libgo_node_watched"][0][1] == 0


def test_old_samples_are_no_figures(scraper: APIClient, make: Callable[..., Instance]) -> None:
    _measured(make("web"), ago_s=60)
    assert "libgo_instance_cpu_cores_used" not in _figures(scraper)


def test_the_number_of_series_is_bounded(scraper: APIClient, make: Callable[..., Instance]) -> None:
    for name in ("a", "b", "c"):
        _measured(make(name))
    found = _figures(scraper)
    assert len(found["libgo_instance_cpu_cores_used"]) == 2
    assert found["libgo_instances_without_figures"][0][1] == 1


def test_a_scrape_costs_the_same_for_any_number(
    scraper: APIClient, make: Callable[..., Instance], django_assert_max_num_queries: Any
) -> None:
    make("a")
    with django_assert_max_num_queries(9):
        scraper.get("/metrics")
