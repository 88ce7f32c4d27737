"""What an app asks of a spec beyond its shape: whose things it names, what the site's policy says.

``Backend.config_validate`` knows only the text of a configuration; a guard knows the actor, the
project and the node. It runs inside the service, for every door alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

from compute.actor import Actor
from compute.backends.registry import backend_guard
from compute.models import Node, Project

# Gives the configuration back, perhaps completed; raises ``ComputeError`` to refuse it.
ConfigGuard = Callable[[Actor, Project, Node, Mapping[str, Any]], dict[str, Any]]


def config_guarded(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration after its backend's guard has seen it."""
    dotted_path = backend_guard(node.backend)
    if not dotted_path:
        return dict(config)
    module, _, name = dotted_path.rpartition(".")
    guard = cast(ConfigGuard, getattr(importlib.import_module(module), name))
    return guard(actor, project, node, config)
