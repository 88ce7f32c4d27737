"""The picture of networks: what is on it, for whom, and that its cost does not grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.backends.types import ResourceInfo
from compute.execution.resources import resources_observe_complete
from compute.models import Instance, Node, Project, User
from compute.selectors.topology import topology
from compute.views.topology import drawing
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


@pytest.fixture
def lan(make: Callable[..., Instance], fake_node: Node, project: Project) -> None:
    """A network with two on it, an empty one that is stopped, and one who is alone."""
    infos = [
        ResourceInfo("network", "n1", "lan", data={"driver": "nat", "ipam": [{"subnet": "10.1.2.0/24"}]}),
        ResourceInfo("network", "n2", "<b>&'\"", data={"driver": "route", "active": False}),
    ]
    resources_observe_complete(fake_node, "network", infos)
    for name, networks in (
        ("db", [{"network": "lan", "ip_address": "10.1.2.7"}, {"network": "br9"}]),
        ("web", [{"network": "lan"}]),
        ("alone", []),
    ):
        make(name)
        Instance.objects.filter(name=name).update(networks=networks)


def test_who_is_where(lan: None, admin: Actor, stranger: Actor) -> None:
    (host,) = topology(admin)
    assert [(network.name, network.known, network.active) for network in host.networks] == [
        ("<b>&'\"", True, False),
        ("lan", True, True),
        ("br9", False, True),
    ]
    assert [(member.name, member.addresses) for member in host.members] == [
        ("db", {"lan": "10.1.2.7", "br9": ""}),
        ("web", {"lan": ""}),
    ]
    assert [member.name for member in host.alone] == ["alone"]
    (theirs,) = topology(stranger)
    assert theirs.members == [] and theirs.alone == [], "others' instances are not there"


def test_the_cost_does_not_grow(
    lan: None, make: Callable[..., Instance], admin: Actor, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        make(f"more-{number}")
    with django_assert_num_queries(3):
        topology(admin)


@attack("S67", "markup in names on the map", refused="text")
def test_the_picture_holds_everything_as_text(
    lan: None, admin: Actor, client: Client, settings: Any, fake_node: Node
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=admin.user_id))
    page = client.get("/networks/map").content.decode()
    for words in ("10.1.2.0/24", "10.1.2.7", "br9", "&lt;b&gt;&amp;&#x27;&quot;", "On no network", "stopped"):
        assert words in page, words
    assert "<b>&'" not in page
    (host,) = topology(admin)
    shown = drawing(host)
    assert [box["name"] for box in shown["networks"]] == ["br9", "lan", "<b>&'\""], "used ones stand first"
    assert len(shown["lines"]) == 3
    boxes = [*shown["networks"], *shown["members"]]
    assert all(0 <= box["y"] and box["y"] + shown["box_height"] <= shown["height"] for box in boxes)
