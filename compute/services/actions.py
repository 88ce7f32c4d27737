"""What can be done to many instances at once, and by a schedule: one register, one door.

An action is a word, the right it needs, what checks its options, and the function that asks for
it: the same one that the API's own route calls, so no check is left out. Another part of LibGo adds
its own with :func:`action_register`, on import of a module that stands in ``_BRINGERS`` or in the
``actions`` of a backend's registration.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils import timezone

from compute.actor import Actor
from compute.backends.capabilities import ACTION_CAPABILITIES, Capability
from compute.backends.registry import backend_registrations
from compute.errors import InvalidInput
from compute.models import Instance, Operation
from compute.services.instances import instance_act, instance_delete, options_check
from compute.services.snapshots import snapshot_create, snapshot_delete
from compute.states import Action
from compute.tell import tell

Options = Mapping[str, Any]
# Gives the options back as they will be kept; raises ``InvalidInput`` naming the field.
Check = Callable[[Options], dict[str, Any]]
# Asks for it; None when there was nothing to do. Raises ``ComputeError`` to refuse.
Act = Callable[[Actor, Instance, Options], "Operation | None"]
# The same for what concerns a whole node: actor, the node's name, options.
ActOnNode = Callable[[Actor, str, Options], "Operation | None"]


@dataclass(frozen=True)
class Kept:
    """For actions that make something each time: how a schedule names what it makes (``named`` puts the
    name into the options, ``name_of`` finds it in the ended operation), and how one is removed later."""

    named: Callable[[Options, str], dict[str, Any]]
    name_of: Callable[[Operation], str]
    remove: Callable[[Actor, Instance, str], Operation | None]


@dataclass(frozen=True)
class InstanceAction:
    """``word`` as it stands in requests; ``title`` for people; ``needs`` as in ``compute.permissions``;
    ``danger``: ask twice."""

    word: str
    title: str
    needs: str
    check: Check
    act: Act
    danger: bool = False
    capability: Capability | None = None
    kept: Kept | None = None
    # Whether the form of schedules offers it.
    repeats: bool = True


@dataclass(frozen=True)
class NodeAction:
    """Something that a schedule does to a whole node of one backend."""

    word: str
    title: str
    backend: str
    needs: str
    check: Check
    act: ActOnNode


_actions: dict[str, InstanceAction] = {}
_node_actions: dict[str, NodeAction] = {}
# Modules of compute that register actions of their own when they are imported.
_BRINGERS: tuple[str, ...] = ("compute.services.backup_actions", "compute.services.adoption_actions")
_SNAPSHOT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,62}")


def action_register(action: InstanceAction | NodeAction) -> None:
    """Announce it; the last one of a word wins."""
    if isinstance(action, InstanceAction):
        _actions[action.word] = action
    else:
        _node_actions[action.word] = action


def actions_known() -> list[InstanceAction]:
    """All that can be done to instances, in the order in which they were announced."""
    _load()
    return list(_actions.values())


def node_actions_known() -> list[NodeAction]:
    _load()
    return list(_node_actions.values())


def action_get(word: str) -> InstanceAction:
    """Raises ``InvalidInput``."""
    _load()
    if word not in _actions:
        raise InvalidInput.field("action", f"“{word[:50]}” is not one of {', '.join(_actions)}.")
    return _actions[word]


def any_action_get(word: str) -> InstanceAction | NodeAction:
    """Raises ``InvalidInput``."""
    _load()
    found = _actions.get(word) or _node_actions.get(word)
    if found is None:
        known = ", ".join([*_actions, *_node_actions])
        raise InvalidInput.field("action", f"“{word[:50]}” is not one of {known}.")
    return found


def _load() -> None:
    for dotted_path in _BRINGERS:
        importlib.import_module(dotted_path)
    for registration in backend_registrations():
        if registration.actions and not registration.disabled_reason:
            importlib.import_module(registration.actions)


def options_of(known: Mapping[str, type], given: Options) -> dict[str, Any]:
    """Only known options, each of its type. Raises ``InvalidInput``."""
    for name, value in given.items():
        if name not in known:
            accepted = ", ".join(sorted(known)) or "none"
            raise InvalidInput.field(f"options.{str(name)[:50]}", f"is not known here; accepted: {accepted}.")
        if not isinstance(value, known[name]):
            raise InvalidInput.field(f"options.{name}", f"must be {_TYPE_WORDS[known[name]]}.")
    return dict(given)


_TYPE_WORDS = {bool: tell("true or false"), str: "text", dict: tell("an object"), list: "a list"}


def _lifecycle(action: Action, actor: Actor, instance: Instance, options: Options) -> Operation | None:
    return instance_act(actor, instance.pk, action, options)


def _delete(actor: Actor, instance: Instance, options: Options) -> Operation:
    return instance_delete(
        actor,
        instance.pk,
        force=bool(options.get("force", False)),
        keep_storage=bool(options.get("keep_storage", False)),
    )


def _snapshot_check(given: Options) -> dict[str, Any]:
    known = {"name": str, "description": str, "include_memory": bool, "quiesce": bool}
    options = options_of(known, given)
    if "name" in options and not _SNAPSHOT_NAME.fullmatch(options["name"]):
        raise InvalidInput.field(
            "options.name", "must be 1 to 63 letters, digits, dots, dashes or underscores."
        )
    if len(options.get("description", "")) > 500:
        raise InvalidInput.field("options.description", "is longer than 500 characters.")
    return options


def _snapshot(actor: Actor, instance: Instance, options: Options) -> Operation:
    stamp = timezone.now().strftime("bulk-%Y%m%d-%H%M%S")
    return snapshot_create(actor, instance.pk, {"name": stamp, **options})


def _snapshot_named(options: Options, name: str) -> dict[str, Any]:
    return {**options, "name": name}


def _snapshot_name(operation: Operation) -> str:
    return str(operation.params.get("name", ""))


def _snapshot_remove(actor: Actor, instance: Instance, name: str) -> Operation:
    return snapshot_delete(actor, instance.pk, name)


for _word in ("start", "stop", "restart", "pause", "unpause", "kill", "reset"):
    _action = Action(_word)
    action_register(
        InstanceAction(
            _word,
            "Resume" if _action is Action.UNPAUSE else _word.capitalize(),
            f"instance.{_word}",
            partial(options_check, _action),
            partial(_lifecycle, _action),
            danger=_action in (Action.KILL, Action.RESET),
            capability=ACTION_CAPABILITIES.get(_action),
        )
    )
action_register(
    InstanceAction(
        "snapshot",
        "Snapshot",
        "instance.snapshot",
        _snapshot_check,
        _snapshot,
        capability=Capability.SNAPSHOT,
        kept=Kept(_snapshot_named, _snapshot_name, _snapshot_remove),
    )
)
action_register(
    InstanceAction(
        "delete",
        "Delete",
        "instance.delete",
        partial(options_of, {"force": bool, "keep_storage": bool}),
        _delete,
        danger=True,
    )
)
