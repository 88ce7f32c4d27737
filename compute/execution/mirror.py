"""Make the rows equal to what an engine shows, and tell what changed.

Observations are truth, events are only hints to observe. Every function here takes what
``Backend.instance_list`` or ``instance_get`` returned and is safe to run twice.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from compute.backends.base import Backend
from compute.backends.registry import backend_registration
from compute.backends.types import InstanceInfo
from compute.differences import changed_told
from compute.errors import InstanceNotFound
from compute.events import Fact, events_publish
from compute.execution.gone import gone_since, note_gone, notes_settle, vanished
from compute.execution.looks import is_later
from compute.execution.resources import owners_settle
from compute.models import Instance, Node, Operation, Project
from compute.rows import row_delete, row_save
from compute.selectors.prepared import Prepared
from compute.selectors.resource_users import used_by
from compute.selectors.sealed_config import config_resealed
from compute.states import ACTIVE_OPERATION_STATES, InstanceState, OperationState

# A row whose create operation ended without an engine id and without its own clean-up.
_ORPHAN_AFTER = timedelta(minutes=2)
_ACTIVE = sorted(ACTIVE_OPERATION_STATES)
_GIVEN_UP = [OperationState.FAILED.value, OperationState.CANCELLED.value, OperationState.INTERRUPTED.value]

# Operations that put another thing of the engine in the place of the row's, and bind it themselves.
REPLACERS = ["instance.recreate", "instance.restore"]
# The one that moves an instance to another node, and its row with it.
MIGRATE = "instance.migrate"
# Operations that add and remove the row themselves, too.
_ROW_OWNERS = ["instance.create", "instance.delete", MIGRATE, *REPLACERS]

# Tells the project of an instance that appeared, None when it is nobody's that it knows.
Owner = Callable[[Node, InstanceInfo], "Project | None"]

_FACT_OF_STATE = {
    InstanceState.RUNNING: "instance.started",
    InstanceState.STOPPED: "instance.stopped",
    InstanceState.PAUSED: "instance.paused",
    InstanceState.ERROR: "instance.failed",
}


def instances_observe(node: Node, infos: Sequence[InstanceInfo], *, stamp: bool = False) -> set[str]:
    """Write what was seen of these instances; the others of the node are left alone. Engine ids of those
    that were looked at again, or were removed, meanwhile: the later look stays. ``stamp``: earlier looks
    that come later shall not count, also when this one changes nothing."""
    outdated: set[str] = set()
    if not infos:
        return outdated
    moving = moving_ids()
    with transaction.atomic():
        known = _known(node, infos)
        replaced = _being_replaced(node)
        facts: list[Fact] = []
        created: list[Instance] = []
        uses_changed = False
        # Once each, whatever an engine says; all in one order, so that nobody who writes others of them
        # waits in a circle.
        once = {info.engine_id: info for info in reversed(infos)}
        for _, info in sorted(once.items()):
            row = known.rows.get(info.engine_id) or _row_being_made(node, info)
            if _left_to_operation(row, info, replaced) or _left_to_move(row, info, moving):
                continue
            if row is None and known.gone(info):
                outdated.add(info.engine_id)
                continue
            if row is None and _came_too_late(node, info):
                continue
            if row is None:
                before = known.vanished.get(info.engine_id, {})
                row = _row_new(node, info, before)
                created.append(row)
                facts.append(_appeared(row, is_back=bool(before)))
                continue
            if _is_outdated(row, info):
                outdated.add(info.engine_id)
                continue
            used = used_by(row)
            fact = _row_update(row, info, stamp=stamp)
            if fact is not None:
                facts.append(fact)
                uses_changed |= used_by(row) != used
        Instance.objects.bulk_create(created)
        notes_settle(node, known.vanished.keys() & {row.engine_id for row in created})
        events_publish(facts)
        if created or uses_changed:
            owners_settle(node)
    return outdated


def instances_observe_complete(
    node: Node, infos: Sequence[InstanceInfo], looked_at: datetime | None = None
) -> set[str]:
    """Write a complete list, which was asked for at ``looked_at``: what it does not hold is gone. Engine
    ids of those that were looked at, made or removed since then."""
    with transaction.atomic():
        _changes_lock(node)
        outdated = instances_observe(node, infos)
        seen = {info.engine_id for info in infos}
        known = Instance.objects.filter(node=node).exclude(engine_id="").values_list("engine_id", flat=True)
        outdated |= instances_gone(node, set(known) - seen, looked_at)
        orphans = Instance.objects.filter(
            node=node, engine_id="", created_at__lt=timezone.now() - _ORPHAN_AFTER
        ).exclude(operations__state__in=_ACTIVE)
        _forget(node, orphans)
    return outdated


def instances_gone(node: Node, engine_ids: Iterable[str], looked_at: datetime | None = None) -> set[str]:
    """Remove the rows of instances that the engine, asked at ``looked_at``, did not have. One that is being
    made or deleted right now is left to its operation. Engine ids of those that were seen since then,
    which stay: a list that began before an instance was made does not know it."""
    wanted = list(set(engine_ids) - moving_ids().keys())
    if not wanted:
        return set()
    rows = Instance.objects.filter(node=node, engine_id__in=wanted).exclude(
        operations__in=Operation.objects.filter(action__in=_ROW_OWNERS, state__in=_ACTIVE)
    )
    later = {row for row in rows if looked_at and is_later(row.observed_at, looked_at)}
    _forget(node, [row for row in rows if row not in later], vanished=True)
    return {row.engine_id for row in later}


def memory_ran_out(node: Node, engine_ids: Iterable[str]) -> None:
    """Tell that the system ended a process in each of these because its memory was full. Whether the
    instance ended with it is seen by looking."""
    rows = Instance.objects.filter(node=node, engine_id__in=list(engine_ids)).order_by("engine_id")
    text = "{} ran out of memory: the system ended a process in it."
    events_publish([Fact("instance.out_of_memory", text.format(row.name), instance=row) for row in rows])


def moving_ids() -> dict[str, bool]:
    """Engine ids that two nodes may show at once: a move is under way (True), or it ended in the dark and
    is not settled yet (False). Its operation tells where the instance is."""
    rows = Operation.objects.filter(Q(state__in=_ACTIVE) | Q(undo_pending=True), action=MIGRATE)
    found: dict[str, bool] = {}
    for state, params in rows.values_list("state", "params"):
        engine_id = str(params.get("engine_id"))
        found[engine_id] = found.get(engine_id, False) or state in _ACTIVE
    return found


def _left_to_move(row: Instance | None, info: InstanceInfo, moving: dict[str, bool]) -> bool:
    """On the way neither side tells the whole. Later the side without the row does not count."""
    return info.engine_id in moving and (row is None or moving[info.engine_id])


def instance_moved(row: Instance, node: Node, info: InstanceInfo) -> None:
    """Bind a row to what it has become on another node. One transaction: nobody sees two, or none."""
    with transaction.atomic():
        _changes_lock(row.node)
        note_gone(row.node, [row])
        # A watcher that read the engine before the move began may have taken it for a new one.
        Instance.objects.filter(node=node, engine_id=info.engine_id).exclude(pk=row.pk).delete()
        before = row.node
        Instance.objects.filter(pk=row.pk).update(node=node)
        row.refresh_from_db()
        _row_update(row, info)
        text = f"{row.name} moved from {before.name} to {node.name}."
        events_publish([Fact("instance.migrated", text, instance=row, details={"from": before.name})])
        owners_settle(before)
        owners_settle(node)


def instance_forget(row: Instance) -> None:
    """Remove one row and say so. Its operations and events stay, by id and name."""
    _forget(row.node, [row])


def _forget(node: Node, rows: Iterable[Instance], *, vanished: bool = False) -> None:
    """Remove rows, however many, by one write each of facts, notes and rows."""
    wanted = {row.pk: row for row in rows}
    if not wanted:
        return
    with transaction.atomic():
        _changes_lock(node)
        there = Instance.objects.filter(pk__in=wanted)
        found = [wanted[pk] for pk in there.values_list("pk", flat=True)]
        events_publish([Fact("instance.deleted", f"{row.name} is gone.", instance=row) for row in found])
        note_gone(node, found, vanished=vanished)
        if len(found) == 1:
            row_delete(found[0])
        else:
            there.delete()
        if used := frozenset().union(*map(used_by, found)):
            owners_settle(node, used)


@dataclass(frozen=True)
class _Known:
    """What is known of those that a look found: ``rows`` by engine id; of those without a row whether they
    are ``gone`` since the look began, and by engine id what those were that had ``vanished`` before."""

    rows: dict[str, Instance]
    gone: Callable[[InstanceInfo], bool]
    vanished: dict[str, dict[str, Any]]


def _known(node: Node, infos: Sequence[InstanceInfo]) -> _Known:
    rows = _rows_by_engine_id(node, infos)
    unknown = [info for info in infos if info.engine_id not in rows]
    if not unknown:
        return _Known(rows, lambda info: False, {})
    _changes_lock(node)
    # Whoever held the lock before may have added them.
    return _Known(
        rows | _rows_by_engine_id(node, unknown), gone_since(node, unknown), vanished(node, unknown)
    )


def _changes_lock(node: Node) -> None:
    """Who adds and who removes rows of a node do so one after the other (SQLite has one writer anyway);
    taken before any row of an instance, so that nobody waits in a circle."""
    _LOCKED.first(node.pk)


_LOCKED = Prepared(
    lambda key: Node.objects.select_for_update(no_key=True).filter(pk=key).values_list("pk", flat=True)
)


def instance_reread(backend: Backend, node: Node, engine_id: str) -> None:
    """Ask the engine about one instance and write what it says. Raises ``InstanceNotFound`` after
    removing the row of one that is gone."""
    instances_observe(node, [instance_looked(backend, node, engine_id)], stamp=True)


def instance_looked(backend: Backend, node: Node, engine_id: str) -> InstanceInfo:
    """The half of it that asks."""
    began = timezone.now()
    try:
        return backend.instance_get(engine_id)
    except InstanceNotFound:
        instances_gone(node, [engine_id], began)
        raise


_ROW = Prepared(lambda key: Instance.objects.filter(pk=key).select_related("node"))


def instance_settled(row: Instance, info: InstanceInfo) -> None:
    """The half that writes, for the operation that is at work on this row and is no move or replacement of
    it: nobody else can be at one meanwhile, so less has to be asked."""
    with transaction.atomic():
        now = _ROW.first(row.pk)
        if now is None or now.engine_id != info.engine_id or _is_outdated(now, info):
            return
        _row_write(now, info)


def instance_adopt(row: Instance, info: InstanceInfo) -> None:
    """Bind the row of a create operation to what was made for it."""
    try:
        with transaction.atomic():
            _row_refresh(row)
            if row.engine_id and row.engine_id != info.engine_id:
                _changes_lock(row.node)
                note_gone(row.node, [row])
            _row_write(row, info)
    except IntegrityError:
        # Another row took this engine id first: a full list ran between make and mark.
        Instance.objects.filter(node=row.node, engine_id=info.engine_id).exclude(pk=row.pk).delete()
        row.refresh_from_db()
        _row_update(row, info)


def _row_refresh(row: Instance) -> None:
    """Its columns as they are now, and its node with them. Raises ``Instance.DoesNotExist``."""
    now = _ROW.first(row.pk)
    if now is None:
        raise Instance.DoesNotExist(f"Instance {row.pk} is gone.")
    for field in row._meta.concrete_fields:
        setattr(row, field.attname, getattr(now, field.attname))
    row.node = now.node


def _row_write(row: Instance, info: InstanceInfo) -> None:
    """What the engine says into the row; tell of it, and settle what it uses where that changed."""
    used = used_by(row)
    fact = _row_update(row, info, stamp=True)
    if fact is not None:
        events_publish([fact])
    if changed := used_by(row) ^ used:
        owners_settle(row.node, changed)


def _rows_by_engine_id(node: Node, infos: Sequence[InstanceInfo]) -> dict[str, Instance]:
    rows = Instance.objects.filter(node=node)
    if len(infos) <= 200:
        rows = rows.filter(engine_id__in=[info.engine_id for info in infos])
    return {row.engine_id: row for row in rows if row.engine_id}


def _being_replaced(node: Node) -> dict[str, str]:
    """Instance ids under an operation that replaces what the engine has of them, with its id."""
    rows = Operation.objects.filter(node=node, action__in=REPLACERS, state__in=_ACTIVE)
    return {str(uid): str(pk) for uid, pk in rows.values_list("instance_uid", "pk")}


def _left_to_operation(row: Instance | None, info: InstanceInfo, replaced: dict[str, str]) -> bool:
    """While a replacement is under way both the old and the new thing are there, under names that mean
    nothing to people; the operation tells its outcome itself."""
    if row is None:
        return info.operation_id in replaced.values()
    return str(row.pk) in replaced and replaced[str(row.pk)] != info.operation_id


def _came_too_late(node: Node, info: InstanceInfo) -> bool:
    """Whether it was made for a create that had to be given up: an engine that hung may still carry out
    what it was told. What the operation recorded is then taken back once more, and nobody sees it."""
    operations, instances = _uuid_list(info.operation_id), _uuid_list(info.instance_id)
    if not operations or not instances:
        return False
    given_up = Operation.objects.filter(
        pk__in=operations,
        node=node,
        action="instance.create",
        instance_uid__in=instances,
        # An image that was made from it would hand the marks on, but not the name.
        instance_name=info.name,
        state__in=_GIVEN_UP,
    ).exclude(undo_steps=[])
    return bool(given_up.update(undo_pending=True, dispatched_at=None))


def _row_being_made(node: Node, info: InstanceInfo) -> Instance | None:
    """The row that waits for this instance. The mark alone is no proof: images made from a
    container inherit its labels, so the row must still be without an engine id."""
    if not info.instance_id:
        return None
    return (
        Instance.objects.filter(node=node, engine_id="", name=info.name)
        .filter(pk__in=_uuid_list(info.instance_id))
        .first()
    )


def _uuid_list(text: str) -> list[str]:
    """A mark as the id that it claims to be, if it is one: anybody can write marks."""
    try:
        return [str(uuid.UUID(text))]
    except ValueError:
        return []


def _appeared(row: Instance, *, is_back: bool) -> Fact:
    text = f"{row.name} {'is back' if is_back else 'appeared'} on {row.node.name}."
    return Fact("instance.created", text, instance=row)


def _row_new(node: Node, info: InstanceInfo, before: Mapping[str, Any]) -> Instance:
    """``before``: the columns of one that had vanished, over those of a stranger."""
    owner = _owner(node, info)
    row = Instance(
        node=node,
        backend=node.backend,
        project=owner or Project.objects.get(is_default=True),
        engine_id=info.engine_id,
        created_at=info.created_at or timezone.now(),
        observed_at=info.observed_at,
        managed=owner is not None,
        adoption_due=owner is None,
    )
    for column, value in {**_observed(info, {}), **before}.items():
        setattr(row, column, value)
    return row


def _owner(node: Node, info: InstanceInfo) -> Project | None:
    """Whose it is, where the backend's app made it by other means than a create (a stack)."""
    dotted_path = backend_registration(node.backend).owner
    if not dotted_path or not info.project_id:
        return None
    module, _, name = dotted_path.rpartition(".")
    return cast(Owner, getattr(importlib.import_module(module), name))(node, info)


def _observed(info: InstanceInfo, config: Mapping[str, Any]) -> dict[str, Any]:
    """The columns; ``config`` is what is kept of it, which stays where it says the same."""
    columns = {
        "engine_id": info.engine_id,
        "name": info.name[:255],
        "type": str(info.type),
        "state": str(info.state),
        "status": info.status[:255],
        "health": info.health[:32],
        "image": info.image[:500],
        "image_id": info.image_id[:128],
        "cpu_cores": info.cpu_cores,
        "memory_bytes": info.memory_bytes,
        "storage_bytes": info.storage_bytes,
        "networks": [asdict(item) for item in info.networks],
        "storage": [asdict(item) for item in info.storage],
        "ports": [asdict(item) for item in info.ports],
        "engine_labels": dict(info.labels),
        "started_at": info.started_at,
        "finished_at": info.finished_at,
    }
    if info.config:
        columns["config"] = config_resealed(config, info.config)
    if info.pending is not None:
        columns["pending_changes"] = dict(info.pending)
    return columns


def _told(row: Instance) -> str:
    """The state, and of one that is down why, as far as the engine says."""
    is_down = row.state in (InstanceState.STOPPED, InstanceState.ERROR)
    return f"{row.name} is {row.state}" + (f": {row.status}." if is_down and row.status else ".")


def _is_outdated(row: Instance, info: InstanceInfo) -> bool:
    return is_later(row.observed_at, info.observed_at)


def _row_update(row: Instance, info: InstanceInfo, *, stamp: bool = False) -> Fact | None:
    """Save the columns that differ; the fact that tells it, or None when nothing did."""
    seen = _observed(info, row.config)
    changed = {column: value for column, value in seen.items() if getattr(row, column) != value}
    if not changed:
        if stamp:
            row.observed_at = info.observed_at
            row_save(row, "observed_at", "updated_at")
        return None
    old_state = row.state
    before = {column: getattr(row, column) for column in changed}
    for column, value in changed.items():
        setattr(row, column, value)
    starts_anew = "state" in changed and row.state not in (InstanceState.RUNNING, InstanceState.PAUSED)
    if info.pending is None and starts_anew and row.pending_changes:
        row.pending_changes = {}
    row.observed_at = info.observed_at
    row_save(row, *{**changed, "pending_changes": None, "observed_at": None, "updated_at": None})
    if row.state != old_state:
        kind = _FACT_OF_STATE.get(InstanceState(row.state), "instance.updated")
        return Fact(kind, _told(row), instance=row, details={"from": old_state, "status": row.status})
    told = changed_told(row.name, before, changed)
    return Fact("instance.updated", told, instance=row, details={"fields": sorted(changed)})
