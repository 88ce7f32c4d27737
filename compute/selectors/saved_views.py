"""How somebody likes to look at a list."""

from __future__ import annotations

from compute.actor import Actor
from compute.models import ListColumns, SavedView


def views_of(actor: Actor, page: str) -> list[SavedView]:
    return list(SavedView.objects.filter(user_id=actor.user_id, page=page))


def columns_of(actor: Actor, page: str) -> list[str] | None:
    """None where nothing was chosen."""
    row = ListColumns.objects.filter(user_id=actor.user_id, page=page).first()
    return None if row is None else [str(name) for name in row.names]
