"""The menus of every page: each part registers its entries beside its routes, with the action they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import pgettext

from compute.actor import Actor
from compute.backends.registry import backend_problem
from compute.selectors.access import action_somewhere


@dataclass(frozen=True)
class MenuEntry:
    """``url_name`` is where it leads (with ``query`` behind it); it is marked on the pages whose
    names begin with ``pages``, or so (an empty tuple: on none). Who may do ``action`` nowhere does not see
    it. ``place`` orders the entries of a menu; a menu of a ``backend`` is there where the backend is usable.
    What is in no menu (``""``) is found by the command palette alone."""

    menu: str
    label: str
    url_name: str
    action: str
    place: int
    pages: str | tuple[str, ...] = ()
    query: str = ""
    backend: str = ""
    when: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Link:
    label: str
    href: str
    is_here: bool


@dataclass(frozen=True)
class Menu:
    """``backend`` is empty for a menu of the site's own."""

    label: str
    backend: str
    links: list[Link]

    @property
    def is_here(self) -> bool:
        return any(link.is_here for link in self.links)


# Tells a label of the menus from the same word elsewhere.
CONTEXT = "menu"
_entries: dict[tuple[str, str], MenuEntry] = {}


def menu_register(*entries: MenuEntry) -> None:
    """Beside the routes of the pages; one label of a menu stands once."""
    _entries.update({(entry.menu, entry.label): entry for entry in entries})


def menus_of(actor: Actor, here: str) -> list[Menu]:
    """Those of the backends first, then the site's, by name; ``here`` is the name of the page shown."""
    shown: dict[tuple[bool, str, str], list[MenuEntry]] = {}
    for entry in _allowed(actor):
        if entry.menu:
            shown.setdefault((not entry.backend, entry.menu, entry.backend), []).append(entry)
    return [
        Menu(pgettext(CONTEXT, label), backend, _links(entries, here))
        for (_, label, backend), entries in sorted(shown.items())
        if not backend or not backend_problem(backend)
    ]


def others_of(actor: Actor) -> list[Link]:
    """What ``actor`` may open of the entries that stand in no menu."""
    found = [entry for entry in _allowed(actor) if not entry.menu]
    return _links([entry for entry in found if not (entry.backend and backend_problem(entry.backend))], "")


def _allowed(actor: Actor) -> list[MenuEntry]:
    allowed = action_somewhere(actor, {entry.action for entry in _entries.values()})
    return [
        entry
        for entry in sorted(_entries.values(), key=lambda entry: entry.place)
        if entry.action in allowed and (entry.when is None or entry.when())
    ]


def menu_labels() -> set[str]:
    """What a language must have of them."""
    return {label for entry in _entries.values() for label in (entry.menu, entry.label) if label}


def _links(entries: Iterable[MenuEntry], here: str) -> list[Link]:
    return [
        Link(
            pgettext(CONTEXT, entry.label),
            reverse(entry.url_name) + (f"?{entry.query}" if entry.query else ""),
            _is_here(entry, here),
        )
        for entry in entries
    ]


def _is_here(entry: MenuEntry, here: str) -> bool:
    marked = entry.url_name if entry.pages == "" else entry.pages
    return bool(here) and here.startswith(marked)
