"""Adoption as something that is done to many instances at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Instance
from compute.services.actions import InstanceAction, action_register, options_of
from compute.services.adoption import instances_adopt


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    options = options_of({"project": str}, given)
    if not 0 < len(options.get("project", "")) <= 63:
        raise InvalidInput.field("options.project", "is required: the id or the name of a project.")
    return options


def _adopt(actor: Actor, instance: Instance, options: Mapping[str, Any]) -> None:
    """Done at once: there is no operation to wait for."""
    instances_adopt(actor, [instance.pk], options["project"])


# What shall be adopted again and again has standing rules.
action_register(InstanceAction("adopt", "Adopt", "instance.adopt", _check, _adopt, repeats=False))
