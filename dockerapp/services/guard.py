"""The guard of a container's configuration: whose things it names, what the site's policy says.

One function for every door (create, clone, template, stack ...); each noun has its own check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.models import Node, Project
from dockerapp.services import ownership
from dockerapp.services.image_policy import image_guard
from dockerapp.services.ports import ports_guard


def config_guard(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, completed; a part of one (what is changed on a container) is held to the same.
    Raises ``PolicyDenied`` naming the rule, ``InvalidInput``, and the words for what is not there."""
    checked = image_guard(actor, project, node, dict(config)) if config.get("image") else dict(config)
    ports_guard(actor, node, checked.get("ports") or [])
    return ownership.config_guard(actor, project, node, checked)
