"""What was made outside becomes a project's: by administrators, within its limits, all or none."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import AuditEvent, Event, Instance, Node, Project, User
from compute.services.accounts import pair_make

pytestmark = pytest.mark.django_db
BASE = "/api/v1/compute/instances"


def _client(actor: Actor) -> APIClient:
    client = APIClient()
    access = pair_make(User.objects.get(pk=actor.user_id), uuid.uuid4()).access
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def _outside(node: Node, project: Project, name: str, **more: Any) -> Instance:
    return Instance.objects.create(
        node=node,
        backend=node.backend,
        project=project,
        name=name,
        type="container",
        state="running",
        engine_id=name,
        created_at="2026-01-01T00:00:00Z",
        **more,
    )


def test_one_and_several_are_adopted_and_it_is_told(
    admin: Actor, operator: Actor, fake_node: Node, project: Project
) -> None:
    shop = Project.objects.create(name="shop")
    rows = [_outside(fake_node, project, f"old-{number}") for number in range(3)]
    client = _client(admin)
    answer = client.post(f"{BASE}/{rows[0].pk}/adopt", {"project": "shop"}, format="json")
    assert answer.json() == {"adopted": [str(rows[0].pk)], "refused": []}, answer.content
    body = {"ids": [str(row.pk) for row in rows], "project": str(shop.pk)}
    assert client.post(f"{BASE}/adopt", body, format="json").status_code == 200
    assert shop.instances.count() == 3
    assert AuditEvent.objects.filter(action="instance.adopt").count() == 3, "the first moved once"
    assert Event.objects.filter(type="instance.adopted", project_uid=shop.pk).count() == 3
    assert _client(operator).get(f"{BASE}/{rows[0].pk}").status_code == 404, "it left the other project"


def test_all_or_none(admin: Actor, fake_node: Node, project: Project) -> None:
    shop = Project.objects.create(name="shop", max_instances=1)
    first, second = _outside(fake_node, project, "a"), _outside(fake_node, project, "b")
    made = _outside(fake_node, project, "made", managed=True)
    client = _client(admin)
    for ids, code in (
        ([first.pk, second.pk], "RESOURCE_LIMIT_EXCEEDED"),
        ([first.pk, made.pk], "INVALID_STATE"),
        ([first.pk, uuid.uuid4()], "INSTANCE_NOT_FOUND"),
    ):
        body = {"ids": [str(each) for each in ids], "project": "shop"}
        answer = client.post(f"{BASE}/adopt", body, format="json")
        assert answer.json()["error"]["code"] == code, answer.content
    assert shop.instances.count() == 0
