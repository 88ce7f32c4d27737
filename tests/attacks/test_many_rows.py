"""Tens of thousands of rows that somebody piled up: lists stay pages, and quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import Operation, Project
from tests.attacks.catalogue import attack
from tests.compute.api.conftest import client_for

pytestmark = pytest.mark.django_db
_MANY = 20_000
_PATH = "/api/v1/operations"
_WITHIN_S = 3.0


@pytest.fixture
def as_admin(admin: Actor) -> APIClient:
    return client_for(admin)


@attack(
    "S82",
    "20,000 operations, listed, searched, sorted, and asked for far behind",
    refused="a page each time, of 500 at the most, with as few queries as for few rows",
)
def test_tens_of_thousands_of_rows_are_read_by_pages(as_admin: APIClient, project: Project) -> None:
    _rows(project, 1)
    few = _queries(lambda: as_admin.get(f"{_PATH}?page_size=50"))
    _rows(project, _MANY)
    asked = ["page_size=50", "page_size=500", "page=1999&page_size=50", "q=zzz", "page_size=50&q=stack-9"]
    for query in asked:
        began = time.thread_time()
        answer = as_admin.get(f"{_PATH}?{query}")
        took = time.thread_time() - began
        assert answer.status_code in (200, 400), f"{query}: {answer.status_code} {answer.content[:300]!r}"
        assert took < _WITHIN_S, f"{query} took {took:.1f} s"
        if answer.status_code == 200:
            assert len(answer.json()["items"]) <= 500
    assert len(as_admin.get(f"{_PATH}?page_size=50").json()["items"]) == 50
    assert as_admin.get(f"{_PATH}?page_size=1000000000").status_code == 400
    assert _queries(lambda: as_admin.get(f"{_PATH}?page_size=50")) <= few + 2


def _queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as seen:
        call()
    return len(seen)


def _rows(project: Project, count: int) -> None:
    rows = (
        Operation(action="stack.deploy", state="succeeded", target=f"stack-{n}", project=project)
        for n in range(count)
    )
    Operation.objects.bulk_create(rows, batch_size=2000)
