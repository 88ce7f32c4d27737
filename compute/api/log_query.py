"""How a piece of a log is asked for, by request and by socket alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from compute.api.base import Parse, boolean, whole
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


def follows(asked: Mapping[str, Any]) -> None:
    """What is followed has no end. Raises ``InvalidInput``."""
    if asked.get("follow") and "until" in asked:
        raise InvalidInput.field("until", "cannot be combined with follow.")


def format_of(name: str, value: str) -> str:
    if value not in ("json", "text"):
        raise InvalidInput.field(name, "must be json or text.")
    return value


LOG_QUERY: dict[str, Parse] = {
    "tail": tail_of,
    "since": time_of,
    "until": time_of,
    "timestamps": boolean,
    "stdout": boolean,
    "stderr": boolean,
    "follow": boolean,
    "format": format_of,
}
