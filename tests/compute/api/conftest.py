"""Clients for the API: one logged in per role."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import User
from compute.services.accounts import pair_make


def client_for(actor: Actor) -> APIClient:
    client = APIClient()
    access = pair_make(User.objects.get(pk=actor.user_id), uuid.uuid4()).access
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


@pytest.fixture
def as_admin(admin: Actor) -> APIClient:
    return client_for(admin)


@pytest.fixture
def as_operator(operator: Actor) -> APIClient:
    return client_for(operator)


@pytest.fixture
def as_viewer(viewer: Actor) -> APIClient:
    return client_for(viewer)


@pytest.fixture
def as_stranger(stranger: Actor) -> APIClient:
    return client_for(stranger)


@pytest.fixture
def anonymous(db: Any) -> APIClient:
    return APIClient()
