"""Writes of work that cannot be asked for again: they wait for a database that is away, locked or full."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Longer than any restart of a database; after that the sweeper closes what was under way.
PATIENCE_S = 600.0
_PAUSES_S = (0.2, 0.5, 1.0)


def patiently(write: Callable[[], T]) -> T:
    """Do it, and again until the database takes it; it must do no harm twice. Raises ``DatabaseError``
    after ``PATIENCE_S``, and at once within a transaction, which only its owner can begin anew."""
    until, tries = time.monotonic() + PATIENCE_S, 0
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            if tries == 0:
                log.warning("database_away", reason=str(error))
            connection.close()
        time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
        tries += 1
