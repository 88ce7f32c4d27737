from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.audit_guards import guards_lay
from compute.audit_net import refusals_forget
from tests.compute.api.conftest import client_for


@pytest.fixture(autouse=True)
def _no_old_refusals() -> None:
    refusals_forget()


@pytest.fixture
def guarded(db: Any) -> None:
    """The triggers, until the test's transaction is rolled back."""
    guards_lay(connection)


@pytest.fixture
def as_admin(admin: Actor) -> APIClient:
    return client_for(admin)


@pytest.fixture
def as_operator(operator: Actor) -> APIClient:
    return client_for(operator)


@pytest.fixture
def as_viewer(viewer: Actor) -> APIClient:
    return client_for(viewer)
