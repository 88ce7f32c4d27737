"""The command palette (Ctrl-K): what a few typed words can mean among instances and nodes.

Pages are not looked up here: the script finds them in the menus of the page it is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from compute.actor import Actor
from compute.menu import others_of
from compute.selectors.instances import InstanceFilter, instances_page
from compute.selectors.nodes import nodes_list
from compute.states import NodeStatus
from compute.views.common import actor_of, page
from compute.views.instances import rows_for_page
from compute.views.tabs import instance_tabs
from compute.wording import word_text

_INSTANCES_MAX, _NODES_MAX, _WORDS_MAX = 8, 4, 100
# Shorter ones would make a verb of the beginning of every name.
_VERB_MIN = 2


@dataclass(frozen=True)
class Choice:
    """One line: ``label`` says what happens, ``hint`` on what; ``is_change`` is sent, others are opened."""

    label: str
    hint: str
    url: str
    colour: str = ""
    is_change: bool = False


@require_GET
@page
def palette(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "")[:_WORDS_MAX]
    return render(request, "compute/_palette.html", {"choices": choices_for(actor_of(request), words)})


def choices_for(actor: Actor, words: str) -> list[Choice]:
    """At most a screen of them. “web” opens what is called so, and tells what can be done with the
    first; “stop web” stops; “logs web” opens its logs."""
    # PostgreSQL takes no null character, not even to look for it.
    words = words.replace("\x00", "").strip()
    if not words:
        return []
    verb, _space, rest = words.partition(" ")
    found: list[Choice] = []
    if rest.strip() and len(verb) >= _VERB_MIN:
        found = [
            choice
            for row in _rows(actor, rest.strip())
            for choice in _doings(row)
            if choice.label.lower().startswith(verb.lower())
        ]
    rows = _rows(actor, words)
    found += [
        Choice(row["name"], _instance_hint(row), reverse("instance", args=[row["id"]]), row["colour"])
        for row in rows
    ]
    if rows and not rest:
        found += _doings(rows[0])
    return [*found, *_others(actor, words), *_nodes(actor, words)]


def _others(actor: Actor, words: str) -> Iterator[Choice]:
    """“new st” leads to where a stack is written: what no menu has."""
    wanted = words.lower().split()
    for link in others_of(actor):
        if all(word in link.label.lower() for word in wanted):
            yield Choice(link.label, _("page"), link.href)


def _rows(actor: Actor, words: str) -> list[dict[str, Any]]:
    """The best first: what is called so, then what begins so, then the rest."""
    found = instances_page(actor, InstanceFilter(q=words, page_size=_INSTANCES_MAX)).items
    rows = rows_for_page(actor, found)
    wanted = words.lower()
    return sorted(rows, key=lambda row: (row["name"] != wanted, not row["name"].startswith(wanted)))


def _doings(row: dict[str, Any]) -> list[Choice]:
    """What can be done with one now, then what can be opened of it."""
    changes = [
        Choice(
            capfirst(word_text(action)),
            row["name"],
            reverse("instance_action", args=[row["id"], action]),
            is_change=True,
        )
        for action in row["actions"]
    ]
    tabs = [Choice(tab.title, row["name"], tab.url) for tab in instance_tabs(row) if tab.place == "tabs"]
    return changes + tabs


def _instance_hint(row: dict[str, Any]) -> str:
    said = {"state": word_text(row["state"]), "node": row["node"]["name"]}
    text = _("VM, %(state)s, on %(node)s") if row["type"] == "vm" else _("container, %(state)s, on %(node)s")
    return text % said


def _nodes(actor: Actor, words: str) -> Iterator[Choice]:
    matching = [row for row in nodes_list(actor) if words.lower() in row["name"].lower()]
    for row in matching[:_NODES_MAX]:
        colour = NodeStatus(row["status"]).colour
        yield Choice(
            row["name"],
            _("node, %(status)s") % {"status": word_text(row["status"])},
            reverse("node", args=[row["id"]]),
            colour,
        )
