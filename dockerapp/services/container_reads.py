"""Reads of one container that only its engine can answer, as this person may see them."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from compute.actor import Actor
from compute.errors import InvalidInput, InvalidState
from compute.live import usage_dict
from compute.models import Instance
from compute.selectors.access import action_allowed, action_require
from compute.selectors.instances import instance_dict, labels_shown
from compute.selectors.masking import MASK, config_masked
from compute.services.nodes import node_require
from compute.states import InstanceState
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.nodes import docker_of
from dockerapp.services.policy import container_content_policy

# What ``ps`` may be asked on the host: it runs there, so only words that show processes and no
# environment.
_TOP_PLAIN = frozenset(("", "-ef", "-eF", "aux", "axu", "-aux", "-axu", "auxww", "-efww"))
_TOP_COLUMNS = frozenset(
    "pid ppid user uid gid group stat state time etime pcpu pmem %cpu %mem rss vsz nlwp tty comm args cmd "
    "command start lstart ni pri".split()
)


def container_detail(actor: Actor, wanted: str, node: str = "", *, size: bool = False) -> dict[str, Any]:
    """The shape of an instance and what only Docker tells beside it. What a health check printed is
    content: it needs ``console``."""
    row = container_get(actor, wanted, node)
    shown = instance_dict(row)
    seen = docker_of(row.node).containers.detail(engine_id_of(row), size=size)
    labels = labels_shown(seen.pop("labels"), row.labels)
    health = seen["health_check"]
    if health and not action_allowed(actor, "instance.logs", row.project_id):
        health["log"] = [{**item, "output": MASK if item["output"] else ""} for item in health["log"]]
    return {**shown, **seen, "config": config_masked(seen["config"]), "labels": labels}


def engine_id_of(row: Instance) -> str:
    """Raises ``InvalidState`` while it is still being made, ``BackendUnavailable`` when its node is away."""
    node_require(row.node)
    if not row.engine_id:
        raise InvalidState(f"{row.name} is still being made.", state=row.state)
    return row.engine_id


def container_top(actor: Actor, wanted: str, node: str = "", *, arguments: str = "") -> dict[str, Any]:
    """``{"titles", "processes", "truncated"}``. Needs ``console``: arguments of processes are content."""
    row = container_get(actor, wanted, node)
    action_require(actor, "instance.processes", row.project_id)
    engine_id = engine_id_of(row)
    _running_require(row)
    return docker_of(row.node).containers.top(engine_id, _top_arguments(arguments))


def container_changes(actor: Actor, wanted: str, node: str = "") -> dict[str, Any]:
    """``{"items": [{"path", "kind"}], "total", "truncated"}``. Needs ``export``, as files do."""
    row = container_get(actor, wanted, node)
    action_require(actor, "instance.changes", row.project_id)
    engine_id = engine_id_of(row)
    container_content_policy(actor, row)
    return docker_of(row.node).containers.changes(engine_id)


def container_stats(actor: Actor, wanted: str, node: str = "") -> dict[str, Any]:
    """A fresh sample, in the shape of usage."""
    row = container_get(actor, wanted, node)
    engine_id = engine_id_of(row)
    _running_require(row)
    return usage_dict(docker_of(row.node).containers.usage(engine_id))


def container_sampled(actor: Actor, wanted: str, node: str = "") -> Instance:
    """One that runs, so that samples of it come."""
    row = container_get(actor, wanted, node)
    _running_require(row)
    return row


async def container_wait(row: Instance, condition: str, timeout_s: float) -> int | None:
    """Its exit code once ``condition`` holds; None when that did not come true in time."""
    backend = await sync_to_async(docker_of, thread_sensitive=False)(row.node)
    return await backend.containers.wait(row.engine_id, condition, timeout_s)


def _running_require(row: Instance) -> None:
    if row.state not in (InstanceState.RUNNING, InstanceState.PAUSED):
        raise InvalidState(f"{row.name} is {row.state}; start it first.", state=row.state)


def _top_arguments(text: str) -> str:
    said = " ".join(text.split())
    if said in _TOP_PLAIN:
        return said
    flags, _, columns = said.rpartition(" ")
    names = columns.lower().split(",")
    if flags not in ("-eo", "-e -o", "-o") or "pid" not in names or not set(names) <= _TOP_COLUMNS:
        raise InvalidInput.field(
            "ps_args", "must be “-ef”, “aux”, or “-eo” with columns such as “pid,user,time,args”."
        )
    return said
