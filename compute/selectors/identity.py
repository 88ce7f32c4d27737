"""Things are asked for by id or by name; one place tells which it is."""

from __future__ import annotations

import uuid
from functools import reduce
from operator import or_

from django.db.models import Q


def by_id_or_name(value: str | uuid.UUID, *, id_column: str = "pk", name_column: str = "name") -> Q:
    """By id if it reads as a UUID, else by name."""
    key = id_of(value)
    return Q(**{name_column: str(value)}) if key is None else Q(**{id_column: key})


def id_of(value: str | uuid.UUID) -> uuid.UUID | None:
    """What reads as a UUID, as one."""
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
    except ValueError:
        return None


def words_in(q: str, *columns: str) -> Q:
    """Whether every word of ``q`` is found in one of the columns."""
    found = Q()
    for word in q.split():
        found &= reduce(or_, (Q(**{f"{column}__icontains": word}) for column in columns))
    return found
