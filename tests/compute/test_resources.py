"""The mirror of images, networks and volumes: what a list makes of the rows, and who sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compute.actor import Actor
from compute.backends.fake import FakeBackend
from compute.backends.types import ResourceInfo
from compute.errors import InvalidInput, VolumeNotFound
from compute.execution.resources import resources_look, resources_observe_complete
from compute.models import Event, Node, Project, Resource
from compute.selectors.nodes import node_config
from compute.selectors.resources import ResourceFilter, resource_get, resources_page

pytestmark = pytest.mark.django_db


def _volume(name: str, **more: Any) -> ResourceInfo:
    return ResourceInfo("volume", name, name, **more)


@pytest.fixture
def other(db: Any) -> Project:
    return Project.objects.create(name="other")


def test_a_list_makes_changes_and_removes_rows_and_tells_it_once(fake_node: Node, project: Project) -> None:
    resources_observe_complete(fake_node, "volume", [_volume("a"), _volume("b", size_bytes=5)])
    resources_observe_complete(fake_node, "volume", [_volume("b", size_bytes=6), _volume("c")])
    assert dict(Resource.objects.values_list("name", "size_bytes")) == {"b": 6, "c": None}
    last = Event.objects.order_by("seq").last()
    assert last is not None and last.type == "volume.changed"
    assert last.details == {"new": 1, "changed": 1, "gone": 1}, "counts only: everyone is told"


def test_a_list_that_began_before_another_and_ended_after_it_changes_nothing(
    fake_node: Node, project: Project
) -> None:
    class Engine(FakeBackend):
        """Whose first list is overtaken by another one."""

        lists = [[_volume("kept")], [_volume("kept"), _volume("new")], [_volume("kept"), _volume("removed")]]

        def resource_list(self, kind: str) -> list[ResourceInfo]:
            listed = self.lists.pop()
            if len(self.lists) == 2:
                resources_look(fake_node, self, kind)
            return listed

    engine = Engine(node_config(fake_node))
    resources_look(fake_node, engine, "volume")
    assert {row.name for row in Resource.objects.all()} == {"kept", "new"}
    resources_look(fake_node, engine, "volume")
    assert {row.name for row in Resource.objects.all()} == {"kept"}, "the next one counts again"


def test_the_same_list_again_tells_nothing(fake_node: Node, project: Project) -> None:
    for _ in range(2):
        resources_observe_complete(fake_node, "volume", [_volume("a", data={"driver": "local"})])
    assert Event.objects.count() == 1


def test_kinds_and_nodes_do_not_touch_each_other(fake_node: Node, project: Project) -> None:
    resources_observe_complete(fake_node, "volume", [_volume("a")])
    resources_observe_complete(fake_node, "network", [replace(_volume("a"), kind="network")])
    resources_observe_complete(fake_node, "network", [])
    assert Resource.objects.get().kind == "volume"


def test_the_mark_of_a_project_that_is_none_belongs_to_the_host(fake_node: Node, project: Project) -> None:
    infos = [
        _volume("own", project_id=str(project.pk)),
        _volume("forged", project_id="not-a-uuid"),
        _volume("stale", project_id="5f0c2c8e-0000-4000-8000-000000000000"),
    ]
    resources_observe_complete(fake_node, "volume", infos)
    assert dict(Resource.objects.values_list("name", "project__name")) == {
        "own": "default",
        "forged": None,
        "stale": None,
    }


def test_members_see_their_own_and_the_hosts_admins_see_all(
    fake_node: Node, project: Project, other: Project, viewer: Actor, stranger: Actor, admin: Actor
) -> None:
    infos = [
        _volume("ours", project_id=str(project.pk)),
        _volume("theirs", project_id=str(other.pk)),
        _volume("hosts"),
    ]
    resources_observe_complete(fake_node, "volume", infos)

    def names(actor: Actor) -> list[str]:
        return [row["name"] for row in resources_page(actor, ResourceFilter("volume")).items]

    assert names(viewer) == ["hosts", "ours"]
    assert names(admin) == ["hosts", "ours", "theirs"]
    with pytest.raises(VolumeNotFound):
        resource_get(viewer, "fake", "volume", "theirs", absent=VolumeNotFound)
    assert resource_get(admin, "fake", "volume", "theirs").project == other


def test_one_name_on_two_nodes_must_say_which(fake_node: Node, project: Project, admin: Actor) -> None:
    second = Node.objects.create(name="fake-2", backend="fake", url="fake://2")
    for node in (fake_node, second):
        resources_observe_complete(node, "volume", [_volume("data")])
    with pytest.raises(InvalidInput, match="several nodes"):
        resource_get(admin, "fake", "volume", "data")
    assert resource_get(admin, "fake", "volume", "data", node="fake-2").node == second
    with pytest.raises(VolumeNotFound):
        # Another engine's things are not found by way of this one.
        resource_get(admin, "docker", "volume", "data", node="fake-2", absent=VolumeNotFound)


def test_a_page_costs_two_queries_whatever_its_length(
    fake_node: Node, project: Project, admin: Actor, django_assert_num_queries: Any
) -> None:
    resources_observe_complete(fake_node, "volume", [_volume(f"v{n:03}") for n in range(120)])
    with django_assert_num_queries(2):
        page = resources_page(admin, ResourceFilter("volume", q="v0", sort=["-name"], page_size=20))
    assert page.total == 100 and page.items[0]["name"] == "v099"
