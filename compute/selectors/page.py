"""Pages of lists, the same for every noun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from compute.errors import InvalidInput
from compute.states import Word

PAGE_SIZE_MAX = 500


@dataclass(frozen=True)
class Page:
    """``items`` have the shape of the public API."""

    items: list[dict[str, Any]]
    total: int
    page: int
    page_size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.page_size))


@dataclass(frozen=True)
class RenderedPage:
    """A ``Page`` whose items are JSON already; another ``digest`` tells that some of it changed."""

    items: list[orjson.Fragment]
    digest: bytes
    total: int
    page: int
    page_size: int


def between(name: str, value: int, most: int) -> int:
    """``value``. Raises ``InvalidInput`` outside 1..``most``."""
    if not 1 <= value <= most:
        raise InvalidInput.field(name, f"must be between 1 and {most}.")
    return value


def page_bounds(page: int, page_size: int) -> tuple[int, int]:
    """Offset and end. Raises ``InvalidInput`` outside 1.. and 1..``PAGE_SIZE_MAX``."""
    if not 1 <= page <= 1_000_000:
        raise InvalidInput.field("page", "must be 1 or more.")
    between("page_size", page_size, PAGE_SIZE_MAX)
    return (page - 1) * page_size, page * page_size


def order_by(sort: list[str], columns: dict[str, str], tie: str) -> list[str]:
    """``["-created_at", "name"]`` as columns, with ``tie`` last so that pages never overlap."""
    ordering = []
    for word in sort:
        descending, name = word.startswith("-"), word.removeprefix("-")
        if name not in columns:
            raise InvalidInput.field("sort", f"“{name}” is not one of {', '.join(sorted(columns))}.")
        ordering.append(("-" if descending else "") + columns[name])
    return [*ordering, tie]


def one_of(name: str, value: str, words: type[Word]) -> str:
    """``value``, when it is one of the words. Raises ``InvalidInput`` naming them."""
    known = [word.value for word in words]
    if value not in known:
        raise InvalidInput.field(name, f"“{value[:50]}” is not one of {', '.join(known)}.")
    return value


def listed(rows: Sequence[dict[str, Any]], sort: Sequence[str], q: str) -> list[dict[str, Any]]:
    """Of rows in the shape of the public API those in whose texts every word of ``q`` is found, sorted by
    fields that are no lists or objects. Raises ``InvalidInput`` for others."""
    found, wanted = list(rows), q.lower().split()
    if wanted:
        found = [row for row in rows if all(word in _texts(row) for word in wanted)]
    plain = {name for row in rows for name, value in row.items() if not isinstance(value, (list, dict))}
    # The last one first: sorting keeps the order of what is equal.
    for word in reversed(sort):
        name = word.removeprefix("-")
        if rows and name not in plain:
            raise InvalidInput.field("sort", f"“{name}” is not one of {', '.join(sorted(plain))}.")
        found.sort(key=lambda row: _sortable(row.get(name)), reverse=word.startswith("-"))
    return found


def _texts(row: Mapping[str, Any]) -> str:
    """Those of what it names (a member's user), too."""
    named = [each for value in row.values() if isinstance(value, dict) for each in value.values()]
    return "\n".join(value.lower() for value in (*row.values(), *named) if isinstance(value, str))


def _sortable(value: Any) -> tuple[int, Any]:
    """What is not there comes first; texts regardless of their case."""
    if value is None or isinstance(value, (list, dict)):
        return 0, 0
    return (2, value.lower()) if isinstance(value, str) else (1, value)


def time_text(value: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")
