"""Queries that are asked at every request, with their text made once.

Django makes the SQL of a queryset anew at each use, which takes longer than the database takes to answer by
key. ``Prepared``: one queryset is compiled for each connection, with placeholders where the keys stand, and
asked again with other keys. ``Repeated``: querysets of any shape, each kept with its values for who asks the
same again, as screens and programs do that look at one list.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet

R = TypeVar("R")

# Each stands for the key at its place while the text is made; nothing else is equal to one.
_PLACEHOLDERS = tuple(uuid.UUID(int=0x6B1D0F3E8A554C1B9D0E5F0E8A3C7B00 + number) for number in range(6))
Key = uuid.UUID | str


class Prepared(Generic[R]):
    """``make`` gives the queryset for its keys, so many ids and behind them so many texts; whatever else
    stands in it is the same at every use. ``rows`` finds what ``list(make(…))`` would."""

    def __init__(self, make: Callable[..., QuerySet[Any, R]], keys: int = 1, texts: int = 0) -> None:
        texts_end = keys + texts
        self._make = make
        self._wanted = (*_PLACEHOLDERS[:keys], *map(str, _PLACEHOLDERS[keys:texts_end]))
        # A compiler belongs to its connection, and a connection to its thread.
        self._kept = threading.local()

    def rows(self, *keys: Key) -> list[R]:
        connection = connections[DEFAULT_DB_ALIAS]
        kept = self._kept
        if getattr(kept, "connection", None) is not connection:
            self._compile(connection)
        given = dict(zip(kept.placeholders, map(kept.told, keys), strict=True))
        params = tuple(given.get(param, param) for param in kept.params)
        kept.compiler.as_sql = lambda *args, **options: (kept.sql, params)
        found: QuerySet[Any, R] = kept.queryset._chain()
        found.query.get_compiler = lambda *args, **options: kept.compiler  # type: ignore[method-assign]
        return list(found)

    def first(self, *keys: Key) -> R | None:
        found = self.rows(*keys)
        return found[0] if found else None

    def _compile(self, connection: Any) -> None:
        kept = self._kept
        kept.queryset = self._make(*self._wanted)
        kept.compiler = kept.queryset.query.get_compiler(connection=connection)
        kept.sql, kept.params = kept.compiler.as_sql()
        kept.told = _native if connection.features.has_native_uuid_field else _hex
        kept.placeholders = tuple(map(kept.told, self._wanted))
        assert set(kept.placeholders) <= set(kept.params), "each key stands in the query"
        _converters_keep(kept.compiler)
        kept.connection = connection


class Repeated:
    """The texts of the ``most`` querysets that were asked last."""

    def __init__(self, most: int = 128) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: dict[Hashable, tuple[str, tuple[Any, ...]]] = {}

    def rows(
        self, key: Hashable, make: Callable[[], QuerySet[Any, tuple[Any, ...]]]
    ) -> list[tuple[Any, ...]]:
        """What the database answers to the queryset that ``make`` gives, value for value: nothing is turned
        into Django's types. All that the queryset is made of stands in ``key``, and it reads no clock."""
        connection = connections[DEFAULT_DB_ALIAS]
        text = self._kept.get(key)
        if text is None:
            try:
                text = make().query.get_compiler(connection=connection).as_sql()
            except EmptyResultSet:
                return []
            with self._lock:
                self._kept[key] = text
                while len(self._kept) > self._most:
                    del self._kept[next(iter(self._kept))]
        with connection.cursor() as cursor:
            cursor.execute(*text)
            return list(cursor.fetchall())


def _converters_keep(compiler: Any) -> None:
    """What turns the values of its columns into Django's types is found out once, too."""
    find = compiler.get_converters
    kept: list[Any] = []

    def converters(columns: Any) -> Any:
        if not kept:
            kept.append(find(columns))
        return kept[0]

    compiler.get_converters = converters


def _native(key: Key) -> Any:
    return key


def _hex(key: Key) -> Any:
    return key.hex if isinstance(key, uuid.UUID) else key
