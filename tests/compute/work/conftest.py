"""A worker that hears every bell at once, those of parents too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from compute import tasks
from compute.models import Instance, Membership, Node, Project, User
from compute.services import operations, parents
from compute.services.bulk import bulk_advance
from compute.states import Role
from tests.compute.api.conftest import client_for

__all__ = ["client_for"]

Worked = Callable[[], AbstractContextManager[Any]]


@pytest.fixture
def worked(
    worker_inline: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> Worked:
    """``with worked(): ...``: at its end all work that was asked for in it has been done."""
    for module in (tasks, parents, operations):
        monkeypatch.setattr(module, "parent_ring", bulk_advance)
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def rows(fake_node: Node, project: Project, engine: Any, make: Callable[..., Instance]) -> list[Instance]:
    return [make(f"web-{n}") for n in range(4)]


@pytest.fixture
def nine(rows: list[Instance], make: Callable[..., Instance]) -> list[Instance]:
    return [*rows, *(make(f"web-{n}") for n in range(4, 9))]


@pytest.fixture
def foreign(make: Callable[..., Instance]) -> Instance:
    """Of a project in which the operator is nothing."""
    other = Project.objects.create(name="other")
    return make("secret", project=str(other.pk))


@pytest.fixture
def two_projects(operator: Any) -> Project:
    """A second project in which the operator may only look."""
    other = Project.objects.create(name="second")
    Membership.objects.create(
        project=other, user=User.objects.get(pk=operator.user_id), role=Role.VIEWER.value
    )
    return other
