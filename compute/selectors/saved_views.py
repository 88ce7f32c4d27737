"""How somebody likes to look at a list."""

from __future__ import annotations

from typing import Any

from compute.actor import Actor
from compute.errors import NotFound
from compute.models import ListColumns, SavedView
from compute.selectors.page import time_text

_ID_MAX = 2**63 - 1


def views_of(actor: Actor, page: str) -> list[SavedView]:
    return list(SavedView.objects.filter(user_id=actor.user_id, page=page))


def view_of(actor: Actor, page: str, view_id: int) -> SavedView:
    """Raises ``NotFound`` for one that is gone, or somebody else's."""
    row = SavedView.objects.filter(user_id=actor.user_id, page=page, pk=min(view_id, _ID_MAX)).first()
    if row is None:
        raise NotFound("There is no such view.")
    return row


def view_dict(row: SavedView) -> dict[str, Any]:
    """The public shape."""
    return {"id": row.pk, "name": row.name, "query": row.query, "created_at": time_text(row.created_at)}


def columns_of(actor: Actor, page: str) -> list[str] | None:
    """None where nothing was chosen."""
    row = ListColumns.objects.filter(user_id=actor.user_id, page=page).first()
    return None if row is None else [str(name) for name in row.names]
