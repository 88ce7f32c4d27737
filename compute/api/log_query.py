"""How a piece of a log is asked for, by request and by socket alike."""

from __future__ import annotations

from datetime import datetime

from django.utils.dateparse import parse_datetime

from compute.api.base import whole
from compute.errors import InvalidInput

TAIL_MAX = 10_000


def tail_of(name: str, value: str) -> int | None:
    """A number of lines; None for “all”."""
    if value == "all":
        return None
    count = whole(name, value)
    if count > TAIL_MAX:
        raise InvalidInput.field(name, f"must be at most {TAIL_MAX}, or “all”.")
    return count


def time_of(name: str, value: str) -> datetime:
    """A moment; digits behind the microsecond are cut off."""
    try:
        found = parse_datetime(value.replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput.field(name, "must be a time such as 2026-01-31T12:00:00Z.")
    return found
