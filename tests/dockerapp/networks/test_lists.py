"""The lists of networks and volumes: from the mirror, by a number of queries that does not grow."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.actor import Actor
from compute.models import Instance, Node, Project, Resource
from compute.selectors.used import UsedFilter
from dockerapp.selectors.networks import network_row, networks_page
from dockerapp.selectors.volumes import volumes_page
from tests.compute.conftest import admin, operator, project, stranger

__all__ = ["admin", "operator", "project", "stranger"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def node(db: Any) -> Node:
    return Node.objects.create(name="docker-1", backend="docker", url="unix:///x", is_reachable=True)


def _fill(node: Node, project: Project, first: int, last: int) -> None:  # noqa: F811
    for number in range(first, last):
        for kind in ("network", "volume"):
            Resource.objects.create(
                node=node, kind=kind, engine_id=f"{number:064x}", name=f"t{number}", project=project
            )
        Instance.objects.create(
            node=node,
            project=project,
            backend="docker",
            type="container",
            name=f"c{number}",
            engine_id=f"c{number}",
            created_at=timezone.now(),
            networks=[{"network": f"t{number}", "ip_address": "10.0.0.1"}],
            storage=[{"source": f"t{number}", "target": "/data", "format": "volume"}],
        )


@pytest.mark.parametrize("pages", [networks_page, volumes_page])
def test_how_many_queries_a_list_takes(pages: Any, node: Node, project: Project, operator: Actor) -> None:  # noqa: F811
    counts = []
    for first, last in ((0, 2), (2, 40)):
        _fill(node, project, first, last)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            page = pages(operator, UsedFilter(in_use=True, page_size=100))
        assert page.total == last and all(item["containers"] for item in page.items)
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 6


def test_a_stranger_sees_the_host_s_by_name_and_none_of_its_users(
    node: Node,
    project: Project,  # noqa: F811
    stranger: Actor,  # noqa: F811
) -> None:
    _fill(node, project, 0, 1)
    Resource.objects.update(project=None)
    item = networks_page(stranger, UsedFilter()).items[0]
    assert item["in_use"] and item["containers"] == []


def test_a_network_is_found_by_the_beginning_of_its_id_but_a_name_goes_first(
    node: Node,
    project: Project,  # noqa: F811
    admin: Actor,  # noqa: F811
) -> None:
    made = [
        Resource.objects.create(node=node, kind="network", engine_id=engine_id * 64, name=name)
        for engine_id, name in (("a", "x"), ("b", "a" * 12))
    ]
    assert network_row(admin, "b" * 12) == made[1]
    assert network_row(admin, "a" * 12) == made[1], "the name, not the id that begins so"
    assert network_row(admin, "a" * 13) == made[0]
