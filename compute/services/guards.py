"""What an app asks of a spec beyond its shape: whose things it names, what the site's policy says.

``Backend.config_validate`` knows only the text of a configuration; a guard knows the actor, the
project and the node. It runs inside the service, for every door alike. A content guard is asked
before anyone gets inside an instance, whoever made it. A third kind, asked by services and workers alike,
stands in ``compute.execution.guards``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.utils.module_loading import import_string

from compute.actor import Actor
from compute.backends.registry import backend_registration
from compute.models import Instance, Node, Project

# Gives the configuration back, perhaps completed; raises ``ComputeError`` to refuse it.
ConfigGuard = Callable[[Actor, Project, Node, Mapping[str, Any]], dict[str, Any]]
# Raises ``PolicyDenied`` when getting inside would be getting onto the host.
ContentGuard = Callable[[Actor, Instance], None]


def config_guarded(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration after its backend's guard has seen it."""
    dotted_path = backend_registration(node.backend).guard
    if not dotted_path:
        return dict(config)
    return cast(ConfigGuard, import_string(dotted_path))(actor, project, node, config)


def content_guarded(actor: Actor, instance: Instance) -> None:
    """Ask the backend's content guard. Raises ``PolicyDenied``, and what reading the engine raises."""
    dotted_path = backend_registration(instance.backend).content_guard
    if dotted_path:
        cast(ContentGuard, import_string(dotted_path))(actor, instance)
