"""Who else is asked before anyone gets inside an instance: the guard of its backend's app."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import async_to_sync

from compute import streams
from compute.actor import Actor
from compute.backends.registry import backend_register
from compute.backends.types import SessionSpec
from compute.errors import ComputeError, PolicyDenied
from compute.models import Instance
from compute.services.execs import exec_prepare
from compute.services.instances import instance_update
from compute.services.snapshots import instance_clone, snapshot_create
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db(transaction=True)
_FAKE = "compute.backends.fake.FakeBackend"


def refuse(actor: Actor, instance: Instance) -> None:
    """A guard that lets only administrators in."""
    if not actor.is_admin:
        raise PolicyDenied("It reaches the host.", rule="host_path")


@pytest.fixture(autouse=True)
def guard() -> Iterator[None]:
    backend_register("fake", _FAKE, content_guard="tests.compute.test_content_guard.refuse")
    yield
    backend_register("fake", _FAKE)


@attack("S39", "the same by exec, resize, rename, snapshot and clone", refused="403")
def test_every_door_asks_the_guard(operator: Actor, admin: Actor, make: Callable[..., Instance]) -> None:
    web = make("web")

    async def open_session() -> None:
        await streams.exec_open(operator, str(web.pk), SessionSpec(()))

    doors: list[Callable[[], object]] = [
        async_to_sync(open_session),
        lambda: exec_prepare(operator, web, {"command": ["ls"]}),
        lambda: instance_update(operator, web.pk, {"resources": {"memory": {"limit": 2**26}}}),
        lambda: instance_update(operator, web.pk, {"name": "other"}),
        lambda: snapshot_create(operator, web.pk, {"name": "s"}),
        lambda: instance_clone(operator, web.pk, {"name": "other"}),
    ]
    for door in doors:
        with pytest.raises(PolicyDenied, match="reaches the host"):
            door()
    assert exec_prepare(admin, web, {"command": ["ls"]})
    try:
        snapshot_create(admin, web.pk, {"name": "s"})
    except ComputeError as error:
        raise AssertionError(f"an administrator is let in: {error.message}") from error
