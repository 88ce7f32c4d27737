"""Instances that ran before LibGo came, or were made beside it, become a project's.

Three ways lead here: a list of ids (all or none), a filter, and the standing rules (what fits is adopted,
the rest is told with its reason). Each of them asks :func:`adoption_judge`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit
from compute.backends.types import LABEL_PROJECT
from compute.errors import ComputeError, InvalidInput, InvalidState, NameConflict
from compute.events import Fact, events_publish
from compute.execution.resources import owners_settle
from compute.models import Instance, Project
from compute.selectors.access import action_require
from compute.selectors.adoption import AdoptionFilter, stack_of, unmanaged_matching
from compute.selectors.instances import STACK_LABEL, instance_get
from compute.selectors.nodes import node_get
from compute.services.limits import AdoptionRoom, limits_lock
from compute.services.projects import project_get

# More at once would hold the lock on limits for too long.
ADOPT_MAX = 1000


@dataclass(frozen=True)
class Verdict:
    """What becomes of one instance; ``error`` says why it stays as it is."""

    row: Instance
    error: ComputeError | None = None


def instances_adopt(
    actor: Actor, wanted: Sequence[str | uuid.UUID], project: str | uuid.UUID
) -> list[Instance]:
    """All of them or none; those that are the project's already stay so. Raises ``InstanceNotFound``,
    ``NotFound``, ``InvalidState`` for one that LibGo made itself or whose stack stays elsewhere,
    ``ResourceLimitExceeded``."""
    action_require(actor, "instance.adopt")
    with transaction.atomic():
        limits_lock()
        target = project_get(actor, project)
        rows = [instance_get(actor, each) for each in dict.fromkeys(map(str, wanted))]
        for verdict in adoption_judge(target, rows):
            if verdict.error is not None:
                raise verdict.error
        _adopt(actor, target, rows, {})
    return rows


def unmanaged_adopt(actor: Actor, wanted: AdoptionFilter, project: str | uuid.UUID) -> list[Verdict]:
    """What matches and fits becomes the project's. Raises ``NotFound``, ``InvalidInput``."""
    action_require(actor, "instance.adopt")
    with transaction.atomic():
        target = project_get(actor, project)
        return adopt_what_fits(actor, target, _matching(actor, wanted), {})


def adoption_preview(
    actor: Actor,
    project: str | uuid.UUID,
    *,
    wanted: AdoptionFilter | None = None,
    ids: Sequence[str | uuid.UUID] = (),
) -> tuple[Project, list[Verdict]]:
    """What either way would do now; nothing is changed."""
    action_require(actor, "instance.adopt")
    target = project_get(actor, project)
    if wanted is not None:
        return target, adoption_judge(target, _matching(actor, wanted), careful=True)
    rows = [instance_get(actor, each) for each in dict.fromkeys(map(str, ids))]
    return target, adoption_judge(target, rows)


def adopt_what_fits(
    actor: Actor, target: Project, rows: Sequence[Instance], details: Mapping[str, Any]
) -> list[Verdict]:
    """Call in a transaction. ``details`` go into the audit."""
    limits_lock()
    verdicts = adoption_judge(target, rows, careful=True)
    _adopt(actor, target, [each.row for each in verdicts if each.error is None], details)
    return verdicts


def adoption_judge(target: Project, rows: Sequence[Instance], *, careful: bool = False) -> list[Verdict]:
    """In their order, each beside those that were taken before it. ``careful``: nobody named them one by
    one, so a name that the project has already, or LibGo's own mark of another project, stops one."""
    room, stays = AdoptionRoom(target), _stacks_elsewhere(target, rows)
    others = {str(pk) for pk in Project.objects.exclude(pk=target.pk).values_list("pk", flat=True)}
    names = set(target.instances.exclude(pk__in=[row.pk for row in rows]).values_list("name", flat=True))
    verdicts = []
    for row in rows:
        error = _obstacle(target, row, stays)
        if error is None and careful:
            error = _doubt(target, row, names, others)
        if error is None:
            try:
                room.take(row)
            except ComputeError as refused:
                error = refused
        if error is None:
            names.add(row.name)
        verdicts.append(Verdict(row, error))
    return verdicts


def adoption_filter_check(actor: Actor, wanted: AdoptionFilter) -> AdoptionFilter:
    """With the id of its node. Raises ``NotFound`` for a node that is not there, ``InvalidInput``."""
    if len(wanted.labels) > 20:
        raise InvalidInput.field("filter.labels", "may be 20 at most.")
    return replace(wanted, node=str(node_get(actor, wanted.node).pk) if wanted.node else "")


def _matching(actor: Actor, wanted: AdoptionFilter) -> list[Instance]:
    rows = unmanaged_matching(actor, adoption_filter_check(actor, wanted))
    if len(rows) > ADOPT_MAX:
        raise InvalidInput.field("filter", f"matches more than {ADOPT_MAX} instances; narrow it.")
    return rows


def _obstacle(
    target: Project, row: Instance, stays: Mapping[tuple[uuid.UUID, str], str]
) -> ComputeError | None:
    if row.managed and row.adopted_at is None:
        return InvalidState(
            f"{row.name} was made here and stays with {row.project.name}; only what was made outside "
            "is adopted.",
            state="managed",
        )
    owner = stays.get((row.node_id, stack_of(row)))
    if owner is not None:
        return InvalidState(
            f"{row.name} is a part of the stack {stack_of(row)}, which belongs to {owner}. A stack is not "
            f"torn apart: adopt it into {owner}, or the whole stack into {target.name}.",
            state="stack",
        )
    return None


def _doubt(target: Project, row: Instance, names: set[str], others: set[str]) -> ComputeError | None:
    if row.name in names:
        return NameConflict(
            f"{target.name} has an instance “{row.name}” already, on another node; each would be hard to "
            "name. Adopt it by itself if this is what you want.",
            name=row.name,
        )
    if str(row.engine_labels.get(LABEL_PROJECT, "")) in others:
        return InvalidState(
            f"{row.name} bears the mark of another project of LibGo's. Look at it, and adopt it by itself.",
            state="marked",
        )
    return None


def _stacks_elsewhere(target: Project, rows: Sequence[Instance]) -> dict[tuple[uuid.UUID, str], str]:
    """Of the stacks of these: whose they are, where children that are not among them belong to another
    project."""
    stacks = sorted({stack_of(row) for row in rows} - {""})
    if not stacks:
        return {}
    siblings = (
        Instance.objects.filter(managed=True, **{f"engine_labels__{STACK_LABEL}__in": stacks})
        .exclude(project=target)
        .exclude(pk__in=[row.pk for row in rows])
        .select_related("project")
        .only("node", "engine_labels", "project__name")
    )
    return {(each.node_id, stack_of(each)): each.project.name for each in siblings}


def _adopt(actor: Actor, target: Project, rows: Sequence[Instance], details: Mapping[str, Any]) -> None:
    moved = [row for row in rows if row.project_id != target.pk or not row.managed]
    now = timezone.now()
    for row in moved:
        change = {"before": {"project": row.project.name}, "after": {"project": target.name}, **details}
        row.project, row.managed, row.adopted_at, row.adoption_due = target, True, now, False
        row.save(update_fields=["project", "managed", "adopted_at", "adoption_due"])
        audit(actor, "instance.adopt", row.name, target_uid=row.pk, details=change)
    events_publish(
        [Fact("instance.adopted", f"{row.name} belongs to {target.name} now.", instance=row) for row in moved]
    )
    # Volumes and networks that only these use go with them.
    for node in {row.node_id: row.node for row in moved}.values():
        owners_settle(node)
