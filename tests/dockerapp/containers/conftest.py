"""Actors, two projects, and rows of containers as the watcher would have written them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from compute.models import Instance, Node, Project
from tests.compute.conftest import admin, operator, project, stranger, viewer

__all__ = ["admin", "operator", "project", "stranger", "viewer"]

Row = Callable[..., Instance]


@pytest.fixture
def node(db: Any) -> Node:
    return Node.objects.create(
        name="docker-1", backend="docker", url="unix:///var/run/docker.sock", is_reachable=True, is_local=True
    )


@pytest.fixture
def foreign(db: Any) -> Project:
    """A project that none of the actors belongs to, but for the administrator."""
    return Project.objects.create(name="foreign")


@pytest.fixture
def row(node: Node, project: Project) -> Row:  # noqa: F811
    """``row("web")``: a mirrored container that no engine has."""

    def make(name: str, **columns: Any) -> Instance:
        wanted: dict[str, Any] = {
            "node": node,
            "project": project,
            "backend": "docker",
            "type": "container",
            "state": "running",
            "engine_id": uuid.uuid4().hex + uuid.uuid4().hex,
            "created_at": timezone.now(),
        }
        return Instance.objects.create(name=name, **{**wanted, **columns})

    return make
