"""Things are asked for by id or by name; one place tells which it is."""

from __future__ import annotations

import uuid

from django.db.models import Q


def by_id_or_name(value: str | uuid.UUID, *, id_column: str = "pk", name_column: str = "name") -> Q:
    """By id if it reads as a UUID, else by name."""
    try:
        return Q(**{id_column: uuid.UUID(str(value))})
    except ValueError:
        return Q(**{name_column: str(value)})
