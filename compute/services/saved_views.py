"""What people set for their own lists. Nobody but themselves sees it, and everybody may."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.core.exceptions import TooManyFieldsSent
from django.db import IntegrityError, transaction
from django.http import QueryDict

from compute.actor import Actor
from compute.audit import audit
from compute.errors import InvalidInput, NameConflict
from compute.models import ListColumns, SavedView
from compute.selectors.saved_views import view_of

PER_PAGE_MAX = 30
_QUERY_MAX = 1000
INSTANCES = "instances"
INSTANCE_FILTERS = ("q", "state", "type", "backend", "node", "project", "image", "attention", "mine", "label")
# What of the address of a list a view keeps, in this order.
WORDS = {INSTANCES: (*INSTANCE_FILTERS, "sort", "group", "size")}


def query_kept(page: str, given: QueryDict) -> str:
    """What of an address a view keeps, in one order."""
    kept = QueryDict(mutable=True)
    for name in WORDS[page]:
        values = [value.replace("\x00", "") for value in given.getlist(name) if value]
        if values:
            kept.setlist(name, values)
    return kept.urlencode()


def query_check(page: str, text: str) -> str:
    """The query of an address, in the order in which it is kept. Raises ``InvalidInput`` for a word that
    the list does not know."""
    try:
        given = QueryDict(text.lstrip("?"))
    except TooManyFieldsSent as error:
        raise InvalidInput.field("query", "has too many words.") from error
    unknown = [name for name in given if name not in WORDS[page]]
    if unknown:
        raise InvalidInput.field("query", f"“{unknown[0][:40]}” is not one of {', '.join(WORDS[page])}.")
    return query_kept(page, given)


def view_save(actor: Actor, page: str, name: str, query: str, *, is_new: bool = False) -> SavedView:
    """Keep a query under a name; one of the same name gets the new query, unless it must be ``is_new``.
    Raises ``InvalidInput``, ``NameConflict``."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 40 or not name.isprintable():
        raise InvalidInput.field("name", "must be 1 to 40 characters.")
    if len(query) > _QUERY_MAX or not query.isprintable():
        raise InvalidInput.field("query", f"must be at most {_QUERY_MAX} characters.")
    try:
        with transaction.atomic():
            mine = SavedView.objects.filter(user_id=actor.user_id, page=page)
            is_known = mine.filter(name=name).exists()
            if is_known and is_new:
                raise NameConflict(f"You have a view “{name}” already.", name=name)
            if not is_known and mine.count() >= PER_PAGE_MAX:
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
    row = view_of(actor, page, view_id)
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
