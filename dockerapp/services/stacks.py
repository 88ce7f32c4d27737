"""Asked-for changes to stacks: check, permission, limits, intent. Every door comes through here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import Actor
from compute.backends.types import LogLine, LogQuery, Resources
from compute.errors import (
    InstanceBusy,
    InvalidInput,
    InvalidState,
    NameConflict,
    OperationNotSupported,
)
from compute.models import Instance, Operation
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.selectors.limits import RESERVES, site_rules
from compute.selectors.resources import resources_visible
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.limits import Amounts, Claim, limits_check, limits_lock
from compute.services.logs import logs_piece
from compute.services.nodes import node_require
from compute.services.resource_work import Where, Work, work_submit
from compute.states import ACTIVE_OPERATION_STATES
from dockerapp.labels import LABEL_COMPOSE, LABEL_DEPENDS
from dockerapp.models import IS_THERE, Stack
from dockerapp.selectors.stacks import Found, stack_env, stack_get, stack_text
from dockerapp.services.common import where
from dockerapp.services.policy import registry_allowed_check
from dockerapp.services.stack_check import Verdict, env_check, name_check, stack_check

REPLICAS_MAX = 100
VERBS = ("start", "stop", "restart", "pull")
_LOG_LINES_MAX = 10_000


def stack_validate(actor: Actor, given: Mapping[str, Any], *, name: str = "", node: str = "") -> Verdict:
    """Say what speaks against a file without doing anything; for a known stack its own texts stand in
    for what is not given."""
    if name:
        found = _managed(stack_get(actor, name, node))
        action_require(actor, "stack.update", found.project_id)
        env = stack_env(found)
        wanted = env_check(given["env"], env) if "env" in given else env
        at = Where(found.node, found.project)
        return stack_check(
            actor, at, found.name, given["compose"] if "compose" in given else stack_text(found), wanted
        )
    at = where(actor, "stack.create", node=node or given.get("node", ""), project=given.get("project"))
    wanted = env_check(given.get("env") or {})
    return stack_check(actor, at, name_check(given.get("name") or "stack"), given.get("compose"), wanted)


def stack_create(
    actor: Actor, given: Mapping[str, Any], *, node: str = "", idempotency: Idempotency | None = None
) -> Operation:
    """Ask for a first deployment. Raises ``InvalidInput`` and ``PolicyDenied`` with all problems,
    ``NameConflict``, ``ResourceLimitExceeded``."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    name = name_check(given.get("name"))
    at = where(actor, "stack.create", node=node or given.get("node", ""), project=given.get("project"))
    env = env_check(given.get("env") or {})
    verdict = stack_check(actor, at, name, given.get("compose"), env)
    verdict.require()
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        _name_free(at, name)
        row = _row_new(at, name, given["compose"], env, verdict)
        params = _deploy_params(row, given["compose"], env, verdict)
        params[RESERVES] = _limits(actor, row, verdict.services(), known=())
        return _submit(actor, row, Work("stack.deploy", name, params, may_cancel=True), idempotency)


def stack_update(
    actor: Actor,
    name: str,
    given: Mapping[str, Any],
    *,
    node: str = "",
    options: Mapping[str, Any] | None = None,
    still: Callable[[], object] | None = None,
) -> Operation:
    """Deploy again, with what is given of ``compose`` and ``env`` changed. ``options``: ``pull`` asks the
    registries for newer images, ``recreate`` makes every container anew. ``still`` raises when the stack is
    no more what the caller wanted to change; asked under the lock."""
    found = stack_get(actor, name, node)
    row = _managed(found)
    action_require(actor, "stack.update", row.project_id)
    node_require(row.node)
    known = stack_env(row)
    env = env_check(given["env"], known) if "env" in given else known
    compose = given["compose"] if "compose" in given else stack_text(row)
    verdict = stack_check(actor, Where(row.node, row.project), row.name, compose, env)
    verdict.require()
    with transaction.atomic():
        limits_lock()
        row = _locked(row)
        if still is not None:
            still()
        scale = {} if "compose" in given else _known_scale(row, verdict)
        services = _scaled(verdict.services(), scale)
        params = _deploy_params(row, compose, env, verdict, scale=scale, **dict(options or {}))
        params[RESERVES] = _limits(actor, row, services, known=found.instances)
        # The mirror must know the new services while they appear.
        row.services = {**row.services, **verdict.services()}
        row.save(update_fields=["services"])
        return _submit(actor, row, Work("stack.deploy", row.name, params, may_cancel=True))


def stack_scale(actor: Actor, name: str, service: str, replicas: int, *, node: str = "") -> Operation:
    """More or fewer instances of one service; the others are left alone."""
    found = stack_get(actor, name, node)
    row = _managed(found)
    action_require(actor, "stack.scale", row.project_id)
    node_require(row.node)
    found.of_service(service)
    if not 0 <= replicas <= REPLICAS_MAX:
        raise InvalidInput.field("replicas", f"must be a number from 0 to {REPLICAS_MAX}.")
    with transaction.atomic():
        limits_lock()
        row = _locked(row)
        _deployed_require(row)
        scale = {**row.scale, service: replicas}
        services = _scaled(row.services, scale)
        params = {"stack": str(row.pk), "scale": scale, "service": service}
        reserves = _limits(actor, row, services, known=found.instances)
        work = Work("stack.scale", row.name, {**params, RESERVES: reserves}, may_cancel=True)
        return _submit(actor, row, work)


def stack_act(actor: Actor, name: str, verb: str, *, service: str = "", node: str = "") -> Operation:
    """start, stop, restart or pull; the whole stack in the order of its dependencies, or one service."""
    found = stack_get(actor, name, node)
    action_require(actor, f"stack.{verb}", found.project.pk)
    node_require(found.node)
    instances = found.of_service(service)
    if found.row is None:
        return _act_outside(actor, found, verb, instances, service)
    if verb == "pull":
        for label, body in found.services().items():
            if service in ("", label):
                registry_allowed_check(actor, body["image"])
    with transaction.atomic():
        row = _locked(found.row)
        _deployed_require(row)
        params = {"stack": str(row.pk), "service": service}
        return _submit(actor, row, Work(f"stack.{verb}", row.name, params, may_cancel=verb == "pull"))


def stack_delete(actor: Actor, name: str, *, volumes: bool = False, node: str = "") -> Operation:
    """Take it down: containers and networks, and its volumes only when asked."""
    found = stack_get(actor, name, node)
    action_require(actor, "stack.delete", found.project.pk)
    node_require(found.node)
    if found.row is None:
        return _delete_outside(actor, found, volumes=volumes)
    with transaction.atomic():
        row = _locked(found.row)
        params = {"stack": str(row.pk), "volumes": volumes}
        return _submit(actor, row, Work("stack.delete", row.name, params))


def stack_logs(
    actor: Actor, name: str, query: LogQuery, *, service: str = "", node: str = ""
) -> list[tuple[str, Instance, LogLine]]:
    """The logs of all its instances as one, by time: ``(service, instance, line)``, oldest first."""
    found = stack_get(actor, name, node)
    action_require(actor, "stack.logs", found.project.pk)
    lines: list[tuple[str, Instance, LogLine]] = []
    timed = LogQuery(query.tail, query.since, query.until, timestamps=True, max_bytes=query.max_bytes)
    for instance in found.of_service(service):
        label = found.service_of(instance)
        lines += [(label, instance, line) for line in logs_piece(actor, instance, timed)]
    lines.sort(key=lambda item: item[2].timestamp or item[1].created_at)
    kept = _LOG_LINES_MAX if query.tail is None else query.tail
    return lines[-kept:] if kept else []


# -- what was made outside --------------------------------------------------------------------


def _act_outside(actor: Actor, found: Found, verb: str, instances: list[Instance], service: str) -> Operation:
    """Exactly the containers that the actor sees, in the order that their labels tell."""
    if verb == "pull":
        raise OperationNotSupported(
            f"“{found.name}” was not deployed from here, so its compose file is not known.", capability="pull"
        )
    ordered = _in_order(found, instances)
    ids = [row.engine_id for row in (reversed(ordered) if verb == "stop" else ordered) if row.engine_id]
    params = {"outside": ids, "service": service}
    return work_submit(actor, Where(found.node, found.project), Work(f"stack.{verb}", found.name, params))


def _delete_outside(actor: Actor, found: Found, *, volumes: bool) -> Operation:
    """Its containers; its networks and volumes belong to the host, so only administrators remove them."""
    if volumes and not actor.is_admin:
        raise InvalidInput.field("volumes", "volumes of a stack made outside belong to the host.")
    things: dict[str, list[str]] = {"networks": [], "volumes": []}
    for kind in ["network", *(["volume"] if volumes else [])] if actor.is_admin else []:
        rows = resources_visible(actor, kind).filter(node=found.node)
        named = rows.filter(**{f"data__labels__{LABEL_COMPOSE}": found.name})
        things[f"{kind}s"] = [row.engine_id for row in named]
    ids = [row.engine_id for row in reversed(_in_order(found, list(found.instances))) if row.engine_id]
    work = Work("stack.delete", found.name, {"outside": ids, **things})
    return work_submit(actor, Where(found.node, found.project), work)


def _in_order(found: Found, instances: list[Instance]) -> list[Instance]:
    """What others depend on first (label ``depends_on``: ``db:service_healthy:false,…``)."""
    needs: dict[str, set[str]] = {}
    for row in instances:
        parts = str(row.engine_labels.get(LABEL_DEPENDS, "")).split(",")
        needs[found.service_of(row)] = {part.partition(":")[0] for part in parts if part}
    try:
        ordered = list(TopologicalSorter(needs).static_order())
    except CycleError:
        ordered = sorted(needs)
    return sorted(instances, key=lambda row: (ordered.index(found.service_of(row)), row.name))


# -- rows and params --------------------------------------------------------------------------


def _managed(found: Found) -> Stack:
    if found.row is None:
        raise OperationNotSupported(
            f"“{found.name}” was not deployed from here, so its compose file is not known. Deploy it anew "
            "under another name to change it from here.",
            capability="stacks",
        )
    return found.row


def _locked(row: Stack) -> Stack:
    """The row as it is now, held until the transaction ends. Raises ``InstanceBusy``."""
    row = (
        Stack.objects.select_for_update(of=("self",), no_key=True)
        .select_related("node", "project")
        .get(pk=row.pk)
    )
    last = row.last_operation
    if last is not None and last.state in ACTIVE_OPERATION_STATES:
        raise InstanceBusy(
            f"{row.name}: “{last.action}” is under way. Wait for it or cancel it.", operation=str(last.pk)
        )
    return row


def _deployed_require(row: Stack) -> None:
    if not row.deployed_sealed:
        raise InvalidState(f"{row.name} was never deployed to its end. Redeploy it first.", state="absent")


def _name_free(at: Where, name: str) -> None:
    """Compose goes by the name alone, so nothing else on the node may have it."""
    Stack.objects.filter(~IS_THERE, node=at.node, name=name).delete()
    if Stack.objects.filter(node=at.node, name=name).exists():
        raise NameConflict(f"There is already a stack “{name}” on {at.node.name}.", name=name)
    labelled = Instance.objects.filter(node=at.node, **{f"engine_labels__{LABEL_COMPOSE}": name})
    if labelled.exists():
        raise NameConflict(
            f"Containers on {at.node.name} belong to a Compose project “{name}” already.", name=name
        )


def _row_new(at: Where, name: str, compose: str, env: Mapping[str, str], verdict: Verdict) -> Stack:
    try:
        with transaction.atomic():
            return Stack.objects.create(
                node=at.node,
                project=at.project,
                name=name,
                compose_sealed=seal(compose),
                env_sealed=seal(dict(env)),
                services=verdict.services(),
            )
    except IntegrityError as error:
        raise NameConflict(f"There is already a stack “{name}” on {at.node.name}.", name=name) from error


def _deploy_params(
    row: Stack,
    compose: str,
    env: Mapping[str, str],
    verdict: Verdict,
    *,
    scale: Mapping[str, int] | None = None,
    pull: bool = False,
    recreate: bool = False,
) -> dict[str, Any]:
    """What was checked is what will go to the engine, whatever happens to the row meanwhile."""
    images = [[image, "always" if pull and when != "never" else when] for image, when in verdict.images]
    return {
        "stack": str(row.pk),
        "compose": seal(compose),
        "env": seal(dict(env)),
        "model": seal(verdict.checked.model),
        "services": verdict.services(),
        "before": row.services,
        "images": images,
        "scale": dict(scale or {}),
        "recreate": recreate,
    }


def _known_scale(row: Stack, verdict: Verdict) -> dict[str, int]:
    return {name: count for name, count in row.scale.items() if name in verdict.services()}


def _scaled(services: Mapping[str, Mapping[str, Any]], scale: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    return {name: {**body, "replicas": scale.get(name, body["replicas"])} for name, body in services.items()}


def _limits(
    actor: Actor, row: Stack, services: Mapping[str, Mapping[str, Any]], *, known: Iterable[Instance]
) -> dict[str, Any]:
    """Check what comes on top of the instances that are there; what the operation reserves."""
    rules, wanted, there = site_rules(), Amounts(), Amounts()
    for body in services.values():
        stated = Resources(body["cpu_cores"] or None, body["memory_bytes"] or None)
        wanted = wanted.plus(Amounts.new(stated, rules).times(int(body["replicas"])))
    for item in known:
        there = there.plus(Amounts.of(item, rules))
    more = replace(wanted.beyond(there), storage_bytes=0)
    if more.instances:
        node_require(row.node, for_new=True)
    claim = Claim(more, row.project, actor.user_id, row.node)
    limits_check(claim)
    return claim.reserves


def _submit(actor: Actor, row: Stack, work: Work, idempotency: Idempotency | None = None) -> Operation:
    operation = work_submit(actor, Where(row.node, row.project), work, idempotency=idempotency)
    Stack.objects.filter(pk=row.pk).update(last_operation=operation, updated_at=timezone.now())
    return operation
