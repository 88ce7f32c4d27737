"""What a guest tells and does through its agent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.errors import ComputeError, InvalidInput, InvalidState
from compute.execution.sessions import session_begin, session_end
from compute.models import Instance
from compute.selectors.access import action_require
from compute.services.guards import content_guarded
from compute.services.instances import capability_require
from compute.services.nodes import node_require
from compute.states import InstanceState
from kvm.selectors.machines import machine_get
from kvm.selectors.nodes import kvm_of

T = TypeVar("T")
FILE_MAX = 1024 * 1024
_PATH_MAX = 4096


def guest_shown(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """``{agent, hostname, os, timezone, time, interfaces, filesystems, users}``, asked now. Raises
    ``PermissionDenied`` without ``console``, ``InvalidState`` without an agent or when it does not run."""
    row = _target(actor, id_or_name, "instance.guest")
    return kvm_of(row.node).guest_info(row.engine_id)


def guest_file_target(actor: Actor, id_or_name: str | uuid.UUID, path: str) -> Instance:
    """Everything that can be checked before a file is moved. Raises ``PermissionDenied`` without
    ``export``, ``InvalidInput`` for a path that is not whole."""
    row = _target(actor, id_or_name, "instance.guest_files")
    if not path.startswith("/") or path.endswith("/") or len(path) > _PATH_MAX:
        raise InvalidInput.field("path", "must be the whole path of a file, from / on.")
    return row


def guest_file_read(actor: Actor, row: Instance, path: str) -> bytes:
    """At most ``FILE_MAX`` bytes. Raises ``NotFound``, ``PayloadTooLarge``, ``InvalidState``."""
    return _told(
        actor,
        row,
        "instance.guest_file_read",
        path,
        lambda: kvm_of(row.node).guest_file_read(row.engine_id, path),
    )


def guest_file_write(actor: Actor, row: Instance, path: str, data: bytes) -> dict[str, Any]:
    """Create or replace it; a part is never left behind as the whole without an error. Raises
    ``NotFound`` for a folder that is not there, ``InvalidState``."""
    _told(
        actor,
        row,
        "instance.guest_file_write",
        path,
        lambda: kvm_of(row.node).guest_file_write(row.engine_id, path, data),
    )
    return {"path": path, "size": len(data)}


def _target(actor: Actor, id_or_name: str | uuid.UUID, action: str) -> Instance:
    row = machine_get(actor, id_or_name)
    action_require(actor, action, row.project_id)
    capability_require(row, Capability.EXEC)
    node_require(row.node)
    if row.state != InstanceState.RUNNING or not row.engine_id:
        raise InvalidState(f"{row.name} is {row.state}; start it first.", state=row.state)
    content_guarded(actor, row)
    return row


def _told(actor: Actor, row: Instance, action: str, path: str, work: Callable[[], T]) -> T:
    """Noted before it is done, so that the audit tells of it whatever becomes of this process."""
    noted, result = session_begin(actor, action, row, {"path": path[:500]}), "INTERNAL"
    try:
        found = work()
        result = "ok"
    except ComputeError as error:
        result = error.code
        raise
    finally:
        session_end(noted, result)
    return found
