"""Instances that ran before LibGo came, or were made beside it, become a project's."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.errors import InvalidState
from compute.events import Fact, events_publish
from compute.models import Instance
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.services.limits import adoption_check
from compute.services.projects import project_get


def instances_adopt(
    actor: Actor, wanted: Sequence[str | uuid.UUID], project: str | uuid.UUID
) -> list[Instance]:
    """All of them or none; those that are the project's already stay so. Raises ``InstanceNotFound``,
    ``NotFound``, ``InvalidState`` for one that LibGo made itself, ``ResourceLimitExceeded``."""
    action_require(actor, "instance.adopt")
    with transaction.atomic():
        target = project_get(actor, project)
        rows = [instance_get(actor, each) for each in dict.fromkeys(map(str, wanted))]
        for row in rows:
            if row.managed:
                raise InvalidState(
                    f"{row.name} was made here and stays with {row.project.name}; only what was made outside "
                    "is adopted.",
                    state="managed",
                )
        adoption_check(target, rows)
        moved = [row for row in rows if row.project_id != target.pk]
        for row in moved:
            details = {"before": {"project": row.project.name}, "after": {"project": target.name}}
            audit(actor, "instance.adopt", row.name, target_uid=row.pk, details=details)
            row.project = target
            row.save(update_fields=["project", "updated_at"])
        facts = [
            Fact("instance.adopted", f"{row.name} belongs to {target.name} now.", instance=row)
            for row in moved
        ]
        events_publish(facts)
    return rows
