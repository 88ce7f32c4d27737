"""Clients that log in as people and programs do, without the counts of earlier tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute import live

BASE = "/api/v1"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    for key in live._redis().scan_iter(f"{live._PREFIX}rate:*"):
        live._redis().delete(key)


@pytest.fixture
def log_in(db: Any) -> Callable[..., Any]:
    """``log_in("ada")``: the answer of the login route."""

    def _log_in(
        username: str = "ada", password: str = PASSWORD, address: str = "127.0.0.1", **more: Any
    ) -> Any:
        body = {"username": username, "password": password, **more}
        return APIClient(REMOTE_ADDR=address).post(f"{BASE}/auth/login", body, format="json")

    return _log_in


def bearer(access: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def token_client(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert error["code"] == code and error["message"], error
    return dict(error)
