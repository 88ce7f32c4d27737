"""One ground for all cells: what a cell changes is taken back after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from compute.backends.registry import backend_register
from compute.models import Instance, Resource, User
from compute.permissions import CELLS
from compute.services import operations
from tests.compute.access.ground import Ground, ground_make

backend_register("fake", "compute.backends.fake.FakeBackend")


@pytest.fixture(scope="module")
def laid(django_db_setup: None, django_db_blocker: Any) -> Iterator[Ground]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield ground_make()
        transaction.set_rollback(True)


@pytest.fixture
def ground(laid: Ground, db: None, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(operations, "operation_ring", lambda *_, **__: None)
    return laid


@pytest.fixture(scope="module")
def uids(laid: Ground, django_db_blocker: Any) -> dict[str, dict[str, str]]:
    """The ids of each side: addresses of pages have nothing else."""
    found = {}
    with django_db_blocker.unblock():
        things = {row.name: str(row.pk) for row in Resource.objects.all()}
        shared = {f"{row.backend}_node": str(row.node_id) for row in Instance.objects.all()}
        shared["user"] = str(User.objects.get(username="target").pk)
        for side in (laid.own, laid.foreign):
            ids = {key: things.get(name, name) for key, name in {**laid.hosts, **side.ids}.items()}
            more = {"stack": side.ids["stack"], "project_id": str(side.project.pk)}
            found[side.project.name] = {**ids, **shared, **more}
    return found


@pytest.fixture(scope="module")
def sessions(laid: Ground, django_db_blocker: Any) -> dict[str, str]:
    """The session of each cell that has one, by the cell's name."""
    found = {}
    with django_db_blocker.unblock():
        for cell in CELLS:
            client, actor = Client(), laid.actor(cell)
            if actor is not None:
                client.force_login(User.objects.get(pk=actor.user_id))
                found[cell.name] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return found


@pytest.fixture
def clients(ground: Ground, sessions: dict[str, str], settings: Any) -> dict[str, Client]:
    """Each with the session as it was: what a test does with it is taken back."""
    settings.ALLOWED_HOSTS = ["testserver"]
    found = {cell.name: Client(raise_request_exception=False) for cell in CELLS}
    for name, key in sessions.items():
        found[name].cookies[settings.SESSION_COOKIE_NAME] = key
    return found
