"""May this person run this command inside this instance? Asked before the command is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.types import ExecResult, ExecSpec
from compute.errors import ComputeError, InvalidInput, InvalidState
from compute.models import Instance
from compute.selectors.access import action_require
from compute.services.guards import content_guarded
from compute.services.instances import capability_require
from compute.services.nodes import node_require
from compute.states import InstanceState

_TIMEOUT_S = 30.0
_TIMEOUT_MIN_S, _TIMEOUT_MAX_S = 0.1, 300.0
_ENV_MAX, _VALUE_MAX = 256, 32768


def exec_permission(actor: Actor, instance: Instance) -> None:
    """Raises ``PermissionDenied`` without ``console``."""
    action_require(actor, "instance.exec", instance.project_id)


def exec_prepare(actor: Actor, instance: Instance, body: Mapping[str, Any]) -> ExecSpec:
    """``body``: ``command`` (a list of texts), ``env``, ``work_dir``, ``user``, ``timeout`` (seconds).

    Raises ``PermissionDenied`` without ``console``, ``PolicyDenied`` for what reaches the host,
    ``InvalidState`` when it does not run, ``OperationNotSupported``, ``BackendUnavailable``.
    """
    exec_permission(actor, instance)
    wanted = _checked(body)
    capability_require(instance, Capability.EXEC)
    node_require(instance.node)
    if instance.state != InstanceState.RUNNING or not instance.engine_id:
        raise InvalidState(f"{instance.name} is {instance.state}; start it first.", state=instance.state)
    content_guarded(actor, instance)
    return wanted


def exec_details(wanted: ExecSpec) -> dict[str, Any]:
    """For the record: which program, not its arguments, because those may hold secrets."""
    return {"program": wanted.command[0][:200], "arguments": len(wanted.command) - 1}


def exec_result(ended: ExecResult | ComputeError | None) -> str:
    """How it ended, for the record. None: it was cut off."""
    if ended is None:
        return "cancelled"
    if isinstance(ended, ComputeError):
        return ended.code
    return "timed_out" if ended.timed_out else f"exit {ended.exit_code}"


def _checked(body: Mapping[str, Any]) -> ExecSpec:
    command, env = body.get("command"), body.get("env") or {}
    if not isinstance(command, list) or not command or not command[0]:
        raise InvalidInput.field("command", "must be a list of texts: the program, then its arguments.")
    for name, texts in (("command", command), ("work_dir", [body.get("work_dir") or ""])):
        if not all(isinstance(item, str) and "\x00" not in item for item in texts):
            raise InvalidInput.field(name, "must be text without null characters.")
    if len(env) > _ENV_MAX:
        raise InvalidInput.field("env", f"has more than {_ENV_MAX} entries.")
    for key, value in env.items():
        if not key or "=" in key or not key.isprintable() or len(value) > _VALUE_MAX or "\x00" in value:
            raise InvalidInput.field("env", "must be an object of texts; names have no “=”.")
    timeout = float(body.get("timeout", _TIMEOUT_S))
    if not _TIMEOUT_MIN_S <= timeout <= _TIMEOUT_MAX_S:
        raise InvalidInput.field(
            "timeout", f"must be seconds between {_TIMEOUT_MIN_S:g} and {_TIMEOUT_MAX_S:g}."
        )
    user = str(body.get("user") or "")
    if not user.isprintable():
        raise InvalidInput.field("user", "must be a name or a number, perhaps with a group behind a colon.")
    return ExecSpec(tuple(command), dict(env), str(body.get("work_dir") or ""), user, timeout)
