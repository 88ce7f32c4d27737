"""What people set for their own lists. Nobody but themselves sees it, and everybody may."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import IntegrityError, transaction

from compute.actor import Actor
from compute.audit import audit
from compute.errors import InvalidInput, NameConflict, NotFound
from compute.models import ListColumns, SavedView

PER_PAGE_MAX = 30
_QUERY_MAX = 1000


def view_save(actor: Actor, page: str, name: str, query: str) -> SavedView:
    """Keep a query under a name; one of the same name gets the new query. Raises ``InvalidInput``."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 40 or not name.isprintable():
        raise InvalidInput.field("name", "must be 1 to 40 characters.")
    if len(query) > _QUERY_MAX or not query.isprintable():
        raise InvalidInput.field("query", f"must be at most {_QUERY_MAX} characters.")
    try:
        with transaction.atomic():
            mine = SavedView.objects.filter(user_id=actor.user_id, page=page)
            if not mine.filter(name=name).exists() and mine.count() >= PER_PAGE_MAX:
                raise InvalidInput.field("name", f"there can be {PER_PAGE_MAX}; remove one of them first.")
            row, _ = SavedView.objects.update_or_create(
                user_id=actor.user_id, page=page, name=name, defaults={"query": query}
            )
    except IntegrityError as error:
        raise NameConflict(f"There is a view “{name}” by now.", name=name) from error
    audit(actor, "view.save", name, details={"page": page})
    return row


def view_delete(actor: Actor, page: str, view_id: int) -> None:
    """Raises ``NotFound`` for one that is gone, or somebody else's."""
    row = SavedView.objects.filter(user_id=actor.user_id, page=page, pk=view_id).first()
    if row is None:
        raise NotFound("There is no such view.")
    row.delete()
    audit(actor, "view.delete", row.name, details={"page": page})


def columns_set(actor: Actor, page: str, names: Iterable[str], known: Collection[str]) -> None:
    """Show these of the ``known`` columns from now on. Raises ``InvalidInput`` for others."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise InvalidInput.field("columns", f"“{name[:40]}” is not one of {', '.join(known)}.")
    ListColumns.objects.update_or_create(user_id=actor.user_id, page=page, defaults={"names": wanted})
    audit(actor, "columns.set", page, details={"columns": wanted})
