"""Which container is meant by an id, a name, or the beginning of an engine's id."""

from __future__ import annotations

import pytest

from compute.actor import Actor
from compute.errors import ContainerNotFound, InvalidInput
from compute.models import Node, Project
from dockerapp.selectors.containers import container_get
from tests.attacks.catalogue import attack
from tests.dockerapp.containers.conftest import Row

pytestmark = pytest.mark.django_db


def test_ids_names_and_beginnings_of_engine_ids_name_it(row: Row, operator: Actor) -> None:
    web = row("web")
    for wanted in (str(web.pk), "web", web.engine_id, web.engine_id[:12], web.engine_id[:40]):
        assert container_get(operator, wanted) == web


@attack("S36", "beginnings of engine ids that are too short or foreign", refused="404")
def test_what_is_absent_foreign_or_too_short_is_not_found(
    row: Row, foreign: Project, operator: Actor
) -> None:
    web, other = row("web"), row("theirs", project=foreign)
    wishes = [str(other.pk), "theirs", other.engine_id, other.engine_id[:12], web.engine_id[:11], "web%", ""]
    messages = set()
    for wanted in wishes:
        with pytest.raises(ContainerNotFound) as refused:
            container_get(operator, wanted)
        messages.add(refused.value.message.replace(wanted or "“”", ""))
    assert all(message.startswith("There is no container") for message in messages)


def test_an_instance_without_an_engine_id_is_not_found_by_nothing(row: Row, admin: Actor) -> None:
    made = row("being-made", engine_id="")
    assert container_get(admin, "being-made") == made
    with pytest.raises(ContainerNotFound):
        container_get(admin, "")


def test_other_backends_are_not_containers(row: Row, admin: Actor, node: Node) -> None:
    row("vm", backend="kvm", type="vm")
    with pytest.raises(ContainerNotFound):
        container_get(admin, "vm")


def test_a_name_goes_before_the_beginning_of_another_s_id(row: Row, admin: Actor) -> None:
    web = row("web", engine_id="abcdefabcdef" + "0" * 52)
    named = row("abcdefabcdef")
    assert container_get(admin, "abcdefabcdef") == named
    assert container_get(admin, "abcdefabcdef0") == web


def test_a_name_on_two_nodes_asks_for_the_node(row: Row, admin: Actor, node: Node) -> None:
    second = Node.objects.create(name="docker-2", backend="docker", url="tcp://192.0.2.1:2376")
    here, there = row("web"), row("web", node=second)
    with pytest.raises(InvalidInput, match="give the node"):
        container_get(admin, "web")
    assert container_get(admin, "web", "docker-1") == here
    assert container_get(admin, "web", str(second.pk)) == there
