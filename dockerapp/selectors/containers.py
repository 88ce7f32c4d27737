"""Which container is meant: from the mirror, and only among what the actor may see."""

from __future__ import annotations

import re
import uuid

from django.db.models import Q

from compute.actor import Actor
from compute.errors import ContainerNotFound, InvalidInput
from compute.models import Instance
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from dockerapp.selectors.nodes import BACKEND

# As much of an engine's id as its own tools show.
_PREFIX = re.compile(r"[0-9a-f]{12,63}")


def container_get(actor: Actor, container: str | uuid.UUID, node: str = "") -> Instance:
    """By LibGo's id, the name, the engine's id or 12 and more characters of its beginning; on one
    node or the only node that has it. What is asked for exactly goes before what only begins so.

    Raises ``ContainerNotFound`` for what is not visible; ``InvalidInput`` when several are meant.
    """
    wanted = str(container)
    rows = visible(actor, Instance.objects.select_related("node", "project")).filter(backend=BACKEND)
    if node:
        rows = rows.filter(by_id_or_name(node, id_column="node_id", name_column="node__name"))
    exactly = by_id_or_name(wanted) | Q(name=wanted) | (Q(engine_id=wanted) & ~Q(engine_id=""))
    found = list(rows.filter(exactly)[:2])
    if not found and _PREFIX.fullmatch(wanted):
        found = list(rows.filter(engine_id__startswith=wanted)[:2])
    if len(found) > 1:
        raise InvalidInput.field(
            "node", f"several containers are meant by “{wanted[:100]}”; give the node, or the whole id."
        )
    if not found:
        raise ContainerNotFound(f"There is no container “{wanted[:100]}”.", container=wanted[:100])
    return found[0]
