"""Who gets the pages of projects and accounts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import User
from compute.permissions import CELLS, FOREIGNER, NOBODY, is_allowed
from tests.compute.access.ground import Ground

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]


def _client(actor: Actor | None) -> Client:
    client = Client()
    if actor is not None:
        client.force_login(User.objects.get(pk=actor.user_id))
    return client


def test_the_pages_are_for_whom_the_matrix_says(ground: Ground) -> None:
    target = User.objects.get(username="target")
    for cell in CELLS:
        User.objects.filter(pk=target.pk).update(is_active=True)
        client = _client(ground.actor(cell))
        for side, is_foreign in ((ground.own, cell is FOREIGNER), (ground.foreign, cell is not FOREIGNER)):
            if cell is FOREIGNER and side is ground.foreign:
                continue
            pk = side.project.pk
            for method, path, action in (
                ("get", f"/projects/{pk}", "project.read"),
                ("post", f"/projects/{pk}/edit", "project.update"),
                ("post", f"/projects/{pk}/member", "project.member"),
                ("get", "/users", "user.read"),
                ("get", f"/users/{target.pk}", "user.read"),
                ("post", f"/users/{target.pk}/disable", "user.update"),
            ):
                status = getattr(client, method)(path).status_code
                text = f"{path} as {cell.name}: {status}"
                if cell is NOBODY:
                    assert status == 302, text
                elif is_allowed(cell, action, is_foreign=is_foreign):
                    assert status in (200, 302, 400), text
                else:
                    refused = (404,) if is_foreign and action.startswith("project") else (403, 400)
                    assert status in refused, text
            if not is_allowed(cell, "user.update", is_foreign=False):
                assert User.objects.get(pk=target.pk).is_active
