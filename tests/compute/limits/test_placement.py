"""Which node takes a new instance, and how much of it may be given away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compute.actor import Actor
from compute.errors import BackendUnavailable, ComputeError, InvalidInput, InvalidState
from compute.models import Instance, Node
from compute.services.limit_settings import site_limits_set
from compute.services.limits import NodeFull, arrival_check
from compute.services.nodes import node_update
from compute.services.placement import nodes_fit
from tests.compute.limits.conftest import GIB, Ask


def test_most_room_first(ask: Ask, second_node: Node, fake_node: Node) -> None:
    placed = [ask(f"n-{number}", memory=4 * GIB, cpu=1).node for number in range(3)]
    assert [node.name for node in placed if node] == ["fake-2"] * 3
    ask("big", memory=40 * GIB, cpu=1)
    last = ask("last", memory=GIB, cpu=1).node
    assert last is not None and last.name == "fake-1"


def test_by_name_and_by_labels(ask: Ask, second_node: Node, operator: Actor) -> None:
    assert ask("a", node="fake-1").node == Node.objects.get(name="fake-1")
    assert ask("b", node_labels={"zone": "b"}).node == second_node
    assert ask("c", node_labels={"zone": "b", "disk": "fast"}).node == second_node
    for node, labels in (("", {"zone": "c"}), ("fake-1", {"zone": "b"}), ("", {"zone": 1})):
        with pytest.raises(InvalidInput) as refused:
            nodes_fit(operator, "fake", node, labels)
        assert any(name.startswith("node_labels") for name in refused.value.details["fields"])


@pytest.mark.parametrize(
    "columns, error",
    [
        ({"is_draining": True}, InvalidState),
        ({"is_enabled": False}, BackendUnavailable),
        ({"is_reachable": False}, BackendUnavailable),
    ],
)
def test_what_takes_nothing_new(
    ask: Ask, fake_node: Node, second_node: Node, columns: dict[str, bool], error: type[ComputeError]
) -> None:
    Node.objects.filter(pk=second_node.pk).update(**columns)
    with pytest.raises(error):
        ask("a", node="fake-2")
    assert ask("b").node == fake_node
    Node.objects.filter(pk=fake_node.pk).update(**columns)
    with pytest.raises(error):
        ask("c")
    assert Instance.objects.count() == 1


def test_over_commit_sends_on_to_the_next_node_then_refuses(
    ask: Ask, admin: Actor, fake_node: Node, second_node: Node
) -> None:
    site_limits_set(admin, {"memory_overcommit": 1.5})
    node_update(admin, second_node.pk, {"memory_overcommit": 0.5})
    # 32 GiB of the second, 24 of the first.
    places = [ask(f"n-{number}", memory=8 * GIB).node for number in range(7)]
    assert sorted(node.name for node in places if node) == ["fake-1"] * 3 + ["fake-2"] * 4
    with pytest.raises(NodeFull) as refused:
        ask("over", memory=8 * GIB)
    assert refused.value.code == "RESOURCE_LIMIT_EXCEEDED"
    assert refused.value.details["limit"] == "memory_overcommit"
    assert refused.value.details["maximum"] in (24 * GIB, 32 * GIB)
    with pytest.raises(NodeFull):
        ask("named", memory=8 * GIB, node="fake-1")
    node_update(admin, fake_node.pk, {"memory_overcommit": 0})
    assert ask("again", memory=8 * GIB).node == fake_node


def test_one_that_moves_needs_room_where_it_comes_to(
    make: Callable[..., Instance], admin: Actor, second_node: Node
) -> None:
    web = make("web", node="fake-1", resources={"cpu": {"cores": 4}})
    node_update(admin, second_node.pk, {"cpu_overcommit": 0.1})
    with pytest.raises(NodeFull):
        arrival_check(web, Node.objects.get(pk=second_node.pk))
    node_update(admin, second_node.pk, {"cpu_overcommit": 1})
    reserved = arrival_check(web, Node.objects.get(pk=second_node.pk))
    assert reserved["node"] == str(second_node.pk) and reserved["cpu_cores"] == 4
