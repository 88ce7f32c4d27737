"""What a schedule can do to a whole engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Operation
from compute.services.actions import NodeAction, action_register, options_of
from dockerapp.pieces import KINDS
from dockerapp.selectors.nodes import BACKEND
from dockerapp.services.system import system_prune

_KNOWN = {**dict.fromkeys(KINDS, bool), "unused_images": bool}


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    options = options_of(_KNOWN, given)
    if not any(options.values()):
        raise InvalidInput.field("options", f"say what may go: set one of {', '.join(_KNOWN)} to true.")
    return options


def _prune(actor: Actor, node: str, options: Mapping[str, Any]) -> Operation:
    return system_prune(actor, node, options)


action_register(NodeAction("prune", "Prune the engine", BACKEND, "system.prune", _check, _prune))
