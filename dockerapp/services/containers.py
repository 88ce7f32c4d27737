"""Asked-for changes of containers that only Docker knows; the rest is ``compute.services.instances``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.backends.types import Resources
from compute.errors import InvalidInput, InvalidState
from compute.models import Instance, Operation
from compute.selectors.access import action_require, visible
from compute.selectors.sealed_config import config_sealed
from compute.services.guards import config_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instance_body import InstanceCreate, labels_check, resources_check
from compute.services.instances import instance_create
from compute.services.limits import RESERVES, growth_check
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.services.projects import project_for
from compute.states import InstanceState
from dockerapp.references import reference_parse
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.nodes import BACKEND, docker_node, docker_of
from dockerapp.services.container_reads import engine_id_of
from dockerapp.services.policy import container_content_policy, image_name_space_check

# Instructions that say how an image is run; none of them reaches outside of it.
_COMMIT_INSTRUCTIONS = frozenset(
    "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL STOPSIGNAL USER VOLUME WORKDIR".split()
)
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+\S")
_CHANGES_MAX, _TEXT_MAX = 64, 1000
_HEALTH_TIMEOUT_S, _STOP_TIMEOUT_S, _TIMEOUT_MAX_S = 60.0, 10.0, 600.0
_ENDED = (InstanceState.CREATED, InstanceState.STOPPED, InstanceState.ERROR)
_SIDE_MAX = 1000


def container_create(
    actor: Actor, node: str, body: Mapping[str, Any], *, idempotency: Idempotency | None = None
) -> Operation:
    """``body`` as of :class:`InstanceCreate`. Raises what ``instance_create`` raises."""
    where = docker_node(actor, node)
    wanted = InstanceCreate(**{**body, "backend": BACKEND, "node": str(where.pk)})
    return instance_create(actor, wanted, idempotency=idempotency)


def container_recreate(actor: Actor, wanted: str, node: str, body: Mapping[str, Any]) -> Operation:
    """Put one of other settings in its place. ``body``: ``config`` (only what changes), ``resources``,
    ``labels``, ``health_timeout`` and ``stop_timeout`` (seconds). The resulting container is checked as
    a new one would be. Raises ``PolicyDenied``, ``InvalidInput``, ``InstanceBusy``."""
    with transaction.atomic():
        row = container_get(actor, wanted, node)
        action_require(actor, "instance.recreate", row.project_id)
        engine_id_of(row)
        container_content_policy(actor, row)
        params = recreate_params(actor, row, body)
        return operation_submit(actor, Intent("instance.recreate", row.node, row, params, may_cancel=True))


def recreate_params(actor: Actor, row: Instance, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the handler of a replacement needs, checked."""
    config = docker_of(row.node).changes_validate(
        body.get("config") or {}, allow_root_equivalent=actor.is_admin
    )
    # The guard judges the whole that comes out, and may complete what was asked for.
    whole = config_guarded(actor, row.project, row.node, {"image": row.image, **row.config, **config})
    resources = resources_check(body.get("resources") or {})
    if resources.storage_bytes is not None:
        raise InvalidInput.field("resources.storage.total_space", "cannot be limited on Docker.")
    reserves = {RESERVES: growth_check(row, resources)} if resources != Resources() else {}
    keys = {*config, "pull", "registry"} if {"image", "pull"} & set(config) else set(config)
    return {
        "config": config_sealed({key: whole[key] for key in sorted(keys) if key in whole}),
        "resources": asdict(resources),
        "labels": labels_check("labels", body.get("labels") or {}),
        "health_timeout": _seconds("health_timeout", body.get("health_timeout", _HEALTH_TIMEOUT_S)),
        "stop_timeout": _seconds("stop_timeout", body.get("stop_timeout", _STOP_TIMEOUT_S)),
        **reserves,
    }


def container_commit(
    actor: Actor,
    wanted: str,
    node: str,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """An image of what it is now. ``body``: ``repo``, ``tag``, ``message``, ``author``, ``pause``,
    ``changes``. Needs ``export``; whoever is no administrator writes only under the project's name."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    with transaction.atomic():
        row = container_get(actor, wanted, node)
        action_require(actor, "instance.commit", row.project_id)
        params = _commit_params(actor, row, body)
        engine_id_of(row)
        container_content_policy(actor, row)
        operation = operation_submit(actor, Intent("instance.commit", row.node, row, params))
        idempotency_store(actor, idempotency, operation)
    return operation


def _commit_params(actor: Actor, row: Instance, body: Mapping[str, Any]) -> dict[str, Any]:
    repository, tag = str(body["repo"]), str(body.get("tag") or "latest")
    found = reference_parse(f"{repository}:{tag}", field="repo")
    if found.digest or found.tag != tag:
        raise InvalidInput.field("repo", "must be a repository without a tag or digest.")
    image_name_space_check(actor, row.project, repository, field="repo")
    changes = body.get("changes") or []
    if len(changes) > _CHANGES_MAX:
        raise InvalidInput.field("changes", f"has more than {_CHANGES_MAX} entries.")
    for item in changes:
        word = _INSTRUCTION.match(item)
        if not word or word[1].upper() not in _COMMIT_INSTRUCTIONS or "\n" in item or len(item) > _TEXT_MAX:
            known = ", ".join(sorted(_COMMIT_INSTRUCTIONS))
            raise InvalidInput.field("changes", f"entries are one line each and begin with one of {known}.")
    return {
        "repository": found.repository,
        "tag": tag,
        "message": str(body.get("message") or ""),
        "author": str(body.get("author") or ""),
        "pause": bool(body.get("pause", True)),
        "changes": list(changes),
    }


def container_resize(actor: Actor, wanted: str, node: str, *, height: int, width: int) -> None:
    """The size of the terminal of its first process."""
    row = container_get(actor, wanted, node)
    action_require(actor, "instance.exec", row.project_id)
    for name, value in (("height", height), ("width", width)):
        if not 1 <= value <= _SIDE_MAX:
            raise InvalidInput.field(name, f"must be from 1 to {_SIDE_MAX}.")
    engine_id = engine_id_of(row)
    if row.state != InstanceState.RUNNING:
        raise InvalidState(f"{row.name} is {row.state}; start it first.", state=row.state)
    container_content_policy(actor, row)
    docker_of(row.node).containers.resize(engine_id, height=height, width=width)
    size = {"height": height, "width": width}
    audit(actor, "instance.resize", row.name, target_uid=row.pk, details=size)


def containers_prune(actor: Actor, node: str, project: str | None, *, dry_run: bool) -> Operation:
    """Remove what does not run: of one project, or as administrator without a project of the whole
    node. ``dry_run`` only tells what would go and how much that frees."""
    where = docker_node(actor, node)
    node_require(where)
    whose = None if actor.is_admin and project is None else project_for(actor, project)
    if whose is not None:
        action_require(actor, "instance.prune", whose.pk)
    rows = visible(actor, Instance.objects.filter(node=where, state__in=[word.value for word in _ENDED]))
    if whose is not None:
        rows = rows.filter(project=whose)
    ids = [str(pk) for pk in rows.exclude(engine_id="").order_by("name").values_list("pk", flat=True)]
    with transaction.atomic():
        intent = Intent(
            "container.prune",
            where,
            params={"instances": ids, "dry_run": dry_run},
            target="stopped containers",
            project=whose,
        )
        return operation_submit(actor, intent)


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _TIMEOUT_MAX_S:
        raise InvalidInput.field(name, f"must be seconds between 0 and {_TIMEOUT_MAX_S:g}.")
    return float(value)
