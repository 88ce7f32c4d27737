"""What lists of this app share."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest

from compute.actor import Actor
from compute.permissions import holds
from compute.selectors.access import permissions_by_project
from compute.services.projects import projects_list


def sort_of(request: HttpRequest, known: Sequence[str]) -> list[str]:
    """The order that stands in the address; nothing for one that is not known."""
    word = request.GET.get("sort", "")
    return [word] if word.removeprefix("-") in known else []


def may_anywhere(actor: Actor, action: str) -> bool:
    """Whether the actor may do it in any project: what a page offers at all. The service
    decides."""
    if actor.is_admin:
        return True
    allowed = permissions_by_project(actor, (row["id"] for row in projects_list(actor)))
    return any(holds(found, action) for found in allowed.values())
