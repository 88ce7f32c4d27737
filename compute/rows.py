"""Writes of single rows with their SQL made once.

Django makes the text of every INSERT and UPDATE anew, which takes ten times as long as the database takes for
one row. An operation writes a dozen of them on its way, so here the text is kept by what it is made of: the
table and the names of its columns. Values go through the same preparation of their fields as Django's own;
nobody is sent signals, as with ``bulk_create`` and ``update``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import SET_NULL, AutoField, Field, Model
from django.db.models.expressions import BaseExpression, Combinable
from django.db.models.sql import Query

M = TypeVar("M", bound=Model)

_OPERATORS = {"": "= %s", "lt": "< %s", "lte": "<= %s", "isnull": "IS NULL"}
# Texts by all that they are made of.
_KEPT = 512


class _Text(NamedTuple):
    """``values``: the parameters that are the same each time, and None where the value of a column stands."""

    sql: str
    values: tuple[Any, ...]
    gives_key: bool = False


def row_insert(row: M) -> M:
    """Write a new row; a key that the database gives is read back. Raises ``IntegrityError`` as saving it
    would. Columns may hold expressions without columns in them, such as ``Now()``."""
    fields = _columns_of(type(row))
    given = [field.pre_save(row, add=True) for field in fields]
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        text = _insert_text(cursor.db.vendor, type(row), tuple(map(_kind, given)))
        cursor.execute(text.sql, _params(cursor.db, text, list(zip(fields, given, strict=True))))
        if text.gives_key:
            row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    return row


def rows_insert(model: type[M], rows: Sequence[M]) -> None:
    """Write new rows, each with its key afterwards: one with kept SQL, several by one statement."""
    if len(rows) == 1:
        row_insert(rows[0])
    else:
        model._default_manager.bulk_create(rows)


def row_save(row: Model, *names: str) -> None:
    """Write these columns of a row. Raises ``DatabaseError`` when it is not there any more."""
    given = {name: _field(type(row), name).pre_save(row, add=False) for name in names}
    if not rows_update(type(row), {"pk": row.pk}, given):
        raise DatabaseError(f"{type(row).__name__} {row.pk} is gone.")


def row_delete(row: Model) -> None:
    """Remove it, and its key where others refer to it. Where that means more, Django does it."""
    references = _references(type(row))
    if not all(field.remote_field.on_delete is SET_NULL for field in references):
        row.delete()
        return
    for field in references:
        rows_update(field.model, {field.name: row.pk}, {field.name: None})
    rows_delete(type(row), {"pk": row.pk})


def rows_delete(model: type[Model], where: Mapping[str, Any]) -> None:
    """Remove rows to which nothing refers, and which are as ``where`` says."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        text = _delete_text(cursor.db.vendor, model, tuple(where))
        cursor.execute(text.sql, _params(cursor.db, text, _asked(model, where)))


def rows_update(model: type[Model], where: Mapping[str, Any], columns: Mapping[str, Any]) -> int:
    """Write ``columns``, values or expressions without columns in them, to the rows whose columns are as
    ``where`` says; how many. In ``where`` a name stands alone (never for None), or with ``__lt``, ``__lte``,
    or ``__isnull``, which is always True."""
    kinds = tuple((name, _kind(value)) for name, value in columns.items())
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        text = _update_text(cursor.db.vendor, model, tuple(where), kinds)
        given = [(_field(model, name), value) for name, value in columns.items()]
        cursor.execute(text.sql, _params(cursor.db, text, given + _asked(model, where)))
        return int(cursor.rowcount)


@lru_cache(maxsize=_KEPT)
def _insert_text(vendor: str, model: type[Model], kinds: tuple[Hashable, ...]) -> _Text:
    connection, fields = connections[DEFAULT_DB_ALIAS], _columns_of(model)
    quoted = connection.ops.quote_name
    values = [_value_text(kind) for kind in kinds]
    names = ", ".join(quoted(str(field.column)) for field in fields)
    shown = ", ".join(value.sql for value in values)
    table, key = quoted(model._meta.db_table), model._meta.pk
    # Names are those of our models, values are parameters.
    sql = f"INSERT INTO {table} ({names}) VALUES ({shown})"  # nosec B608
    gives_key = key not in fields
    if gives_key:
        sql += f" RETURNING {quoted(key.column)}"
    return _Text(sql, tuple(each for value in values for each in value.values), gives_key)


@lru_cache(maxsize=_KEPT)
def _update_text(
    vendor: str, model: type[Model], where: tuple[str, ...], kinds: tuple[tuple[str, Hashable], ...]
) -> _Text:
    quoted = connections[DEFAULT_DB_ALIAS].ops.quote_name
    values = [_value_text(kind) for _, kind in kinds]
    pairs = zip(kinds, values, strict=True)
    columns = ", ".join(
        f"{quoted(str(_field(model, name).column))} = {value.sql}" for (name, _), value in pairs
    )
    tests = _where_text(model, where)
    table = quoted(model._meta.db_table)
    # As above: no value stands in it.
    sql = f"UPDATE {table} SET {columns} WHERE {tests.sql}"  # nosec B608
    return _Text(sql, (*(each for value in values for each in value.values), *tests.values))


@lru_cache(maxsize=_KEPT)
def _delete_text(vendor: str, model: type[Model], where: tuple[str, ...]) -> _Text:
    tests = _where_text(model, where)
    table = connections[DEFAULT_DB_ALIAS].ops.quote_name(model._meta.db_table)
    # As above: no value stands in it.
    sql = f"DELETE FROM {table} WHERE {tests.sql}"  # nosec B608
    return tests._replace(sql=sql)


def _where_text(model: type[Model], where: tuple[str, ...]) -> _Text:
    quoted, tests = connections[DEFAULT_DB_ALIAS].ops.quote_name, []
    for name in where:
        column, _, operator = name.partition("__")
        tests.append(f"{quoted(str(_field(model, column).column))} {_OPERATORS[operator]}")
    sql = " AND ".join(tests)
    return _Text(sql, (None,) * sql.count("%s"))


def _asked(model: type[Model], where: Mapping[str, Any]) -> list[tuple[Field[Any, Any], Any]]:
    return [
        (_field(model, name.partition("__")[0]), value)
        for name, value in where.items()
        if not name.endswith("__isnull")
    ]


def _value_text(kind: Hashable) -> _Text:
    """Of one column: a place for its value, or what its expression is in this database."""
    if not isinstance(kind, BaseExpression):
        return _Text("%s", (None,))
    compiler = Query(None).get_compiler(connection=connections[DEFAULT_DB_ALIAS])
    sql, params = compiler.compile(kind.resolve_expression(compiler.query, allow_joins=False, for_save=True))
    return _Text(sql, tuple(params))


def _params(connection: Any, text: _Text, given: list[tuple[Field[Any, Any], Any]]) -> list[Any]:
    own = (
        field.get_db_prep_save(value, connection)
        for field, value in given
        if not isinstance(value, Combinable)
    )
    return [next(own) if value is None else value for value in text.values]


def _kind(value: Any) -> Hashable:
    """What the text depends on: an expression itself, of a value only that it is one."""
    return value if isinstance(value, Combinable) else None


@lru_cache(maxsize=_KEPT)
def _columns_of(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    """All but a key that the database gives. Not by ``db_returning_fields``, among which are columns with a
    default of the database, whose value is our own all the same."""
    return tuple(field for field in model._meta.concrete_fields if not isinstance(field, AutoField))


@lru_cache(maxsize=_KEPT)
def _references(model: type[Model]) -> tuple[Any, ...]:
    """The fields of other models, and its own, that refer to it."""
    found: Any = model._meta.get_fields(include_hidden=True)
    return tuple(each.field for each in found if each.auto_created and not each.concrete)


@lru_cache(maxsize=_KEPT)
def _field(model: type[Model], name: str) -> Field[Any, Any]:
    found: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return found
