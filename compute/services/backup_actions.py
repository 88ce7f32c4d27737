"""Backups as something that bulk and schedules do, with the retention of a schedule over its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.errors import InvalidInput
from compute.models import Instance, Operation
from compute.services.actions import InstanceAction, Kept, action_register, options_of
from compute.services.backups import backup_create, backup_delete

BACKUP = "backup"
_DESCRIPTION_MAX = 500


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    options = options_of({"target": str, "description": str}, given)
    if not 0 < len(options.get("target", "")) <= 100:
        raise InvalidInput.field("options.target", "is required: the id or the name of a backup target.")
    if len(options.get("description", "")) > _DESCRIPTION_MAX:
        raise InvalidInput.field("options.description", f"is longer than {_DESCRIPTION_MAX} characters.")
    return options


def _backup(actor: Actor, instance: Instance, options: Mapping[str, Any]) -> Operation:
    return backup_create(actor, instance.pk, options)


def _named(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A backup has no name of its own; the schedule's stands where people read."""
    return {"description": name, **options}


def _id_of(operation: Operation) -> str:
    return str(operation.params.get("backup", ""))


def _remove(actor: Actor, instance: Instance, backup_id: str) -> Operation:
    return backup_delete(actor, backup_id)


action_register(
    InstanceAction(
        BACKUP,
        "Back up",
        "instance.backup",
        _check,
        _backup,
        capability=Capability.BACKUP,
        kept=Kept(_named, _id_of, _remove),
    )
)
