"""What pages cost: the same number of queries, however many rows they show."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.actor import Actor
from compute.models import Instance, User

pytestmark = pytest.mark.django_db


def test_an_operators_list_asks_for_rights_once(
    operator: Actor, make: Callable[..., Instance], client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=operator.user_id))

    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            answer = client.get("/instances")
        assert answer.status_code == 200
        return len(seen)

    make("web-0")
    client.get("/instances")
    one = cost()
    for number in range(1, 6):
        make(f"web-{number}")
    assert cost() == one
    assert b"Stop" in client.get("/instances").content, "an operator may stop what runs"


def test_a_live_region_of_what_is_gone_is_told_to_leave(admin: Actor, client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=admin.user_id))
    path = f"/instances/{uuid.uuid4()}"
    answer = client.get(f"{path}?part=head", HTTP_HX_REQUEST="true")
    assert answer.status_code == 204 and "/instances" in answer["HX-Trigger"]
    assert client.get(path).status_code == 404, "a person who asks for it is told so"


def test_what_belongs_to_one_stack_stands_together_and_the_rest_comes_last(
    admin: Actor, make: Callable[..., Instance], client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=admin.user_id))
    stacks = {"a-alone": "", "b-shop": "shop", "c-blog": "blog", "d-shop": "shop"}
    for name, stack in stacks.items():
        row = make(name)
        if stack:
            Instance.objects.filter(pk=row.pk).update(engine_labels={"com.docker.compose.project": stack})
    page = client.get("/instances?group=stack").content.decode()
    shown = sorted(stacks, key=lambda name: page.index(f'data-name="{name}"'))
    assert shown == ["c-blog", "b-shop", "d-shop", "a-alone"]
    assert page.count("group-row") == 3 and "In no stack" in page
    assert client.get("/instances?group=colour").status_code == 400


def test_an_instance_shows_its_addresses_ports_disks_and_labels(
    admin: Actor, make: Callable[..., Instance], client: Client
) -> None:
    row = make("web")
    row.networks = [{"network": "front", "ip_address": "10.9.8.7", "ipv6_address": "fd00::7"}]
    row.ports = [{"port": 80, "protocol": "tcp", "host_ip": "0.0.0.0", "host_port": 8080}]  # noqa: S104
    row.storage = [{"target": "sda", "source": ""}]
    row.save()
    client.force_login(User.objects.get(pk=admin.user_id))
    shown = client.get(f"/instances/{row.pk}")
    assert shown.status_code == 200
    for text in ("Addresses", "10.9.8.7", "fd00::7", "Port of the host", "8080", "sda"):
        assert text in shown.content.decode()
