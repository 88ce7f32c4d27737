"""Actors, a node on the fake engine, and operations that run at once in the calling thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.registry import backend_forget, backend_register
from compute.execution.lease import heartbeat
from compute.models import Instance, Membership, Node, Operation, Project, User
from compute.selectors.access import actor_for
from compute.services import operations
from compute.services.instances import InstanceCreate, instance_create
from compute.states import Role
from compute.tasks import operation_run

backend_register("fake", "compute.backends.fake.FakeBackend")


@pytest.fixture
def project(db: Any) -> Project:
    return Project.objects.get_or_create(is_default=True, defaults={"name": "default"})[0]


def _user(project: Project, name: str, role: Role | None) -> User:
    user = User.objects.create_user(name, f"{name}@example.test", "correct horse battery")
    if role is None:
        user.is_superuser = user.is_staff = True
        user.save()
    else:
        Membership.objects.create(project=project, user=user, role=role.value)
    return user


@pytest.fixture
def admin(project: Project) -> Actor:
    return actor_for(_user(project, "ada", None))


@pytest.fixture
def operator(project: Project) -> Actor:
    return actor_for(_user(project, "oscar", Role.OPERATOR))


@pytest.fixture
def viewer(project: Project) -> Actor:
    return actor_for(_user(project, "vera", Role.VIEWER))


@pytest.fixture
def stranger(project: Project) -> Actor:
    """Has an account, is a member of nothing."""
    return actor_for(User.objects.create_user("stan", "", "correct horse battery"))


@pytest.fixture
def fake_node(project: Project) -> Iterator[Node]:
    """What appears on it goes to the default project, which a test with transactions takes away."""
    node = Node.objects.create(
        name="fake-1",
        backend="fake",
        url="fake://",
        is_reachable=True,
        capabilities=[
            "console",
            "events",
            "exec",
            "terminal",
            "kill",
            "logs",
            "pause",
            "reconfigure",
            "rename",
            "reset",
            "resize",
            "snapshot",
            "clone",
            "backup",
            "stats",
        ],
        memory_bytes=16 * 1024**3,
        cpu_cores=8,
    )
    yield node
    backend_forget(str(node.pk))
    FakeEngine.forget_all()


@pytest.fixture
def engine(fake_node: Node) -> FakeEngine:
    return FakeEngine.of(str(fake_node.pk))


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bells that would have been rung, instead of a broker; as ``worker_inline`` without leases."""
    rung: list[str] = []
    monkeypatch.setattr(heartbeat, "hold", lambda operation: threading.Event())
    monkeypatch.setattr(operations, "operation_ring", lambda operation_id, **_: rung.append(operation_id))
    return rung


@pytest.fixture
def worker_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hears every bell at once. What this test writes is seen by its own connection only, so
    the thread that keeps leases would find them lost."""
    monkeypatch.setattr(operations, "operation_ring", lambda operation_id, **_: operation_run(operation_id))
    monkeypatch.setattr(heartbeat, "hold", lambda operation: threading.Event())


@pytest.fixture
def make(
    admin: Actor, fake_node: Node, worker_inline: None, django_capture_on_commit_callbacks: Any
) -> Callable[..., Instance]:
    """``make("web")``: an instance that was really created on the fake engine."""

    def _make(name: str, **body: Any) -> Instance:
        with django_capture_on_commit_callbacks(execute=True):
            operation = instance_create(
                admin,
                InstanceCreate(name=name, backend="fake", **{"config": {"image": "demo"}, **body}),
            )
        assert Operation.objects.get(pk=operation.pk).state == "succeeded"
        return Instance.objects.get(pk=operation.instance_uid)

    return _make
