"""One ground for all cells: what a cell changes is taken back after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from compute.backends.registry import backend_register
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
