"""What each action does, on the worker's side.

A handler gets a :class:`Work` and returns the operation's ``result``. It raises ``ComputeError``;
the runner undoes, records and closes. Apps add their own actions with ``handler_register``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_registration
from compute.backends.types import (
    BroughtBack,
    ImportFile,
    InstanceInfo,
    InstanceSpec,
    NetworkJoin,
    Resources,
    SnapshotSpec,
    StorageJoin,
    UndoStep,
)
from compute.errors import ComputeError, InstanceNotFound
from compute.execution.backup_store import RestoreSource, reader_of
from compute.execution.guards import snapshot_guarded, snapshot_is_guarded
from compute.execution.mirror import (
    instance_adopt,
    instance_forget,
    instance_looked,
    instance_settled,
    instances_observe,
)
from compute.execution.report import OperationReporter
from compute.execution.resources import grants_of, resources_look
from compute.execution.secrets import spec_secrets
from compute.models import Instance, Node, Operation
from compute.selectors.access import operation_actor
from compute.selectors.sealed_config import config_opened
from compute.stages import stage
from compute.states import InstanceType

STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Work:
    """One claimed operation with all that its handler needs."""

    operation: Operation
    node: Node
    backend: Backend
    report: OperationReporter
    # What came with the request, of an operation that the web process carries out itself.
    body: Iterable[bytes] = ()

    @property
    def instance(self) -> Instance:
        """The row it works on. Raises ``InstanceNotFound`` when it vanished since."""
        row = self.operation.instance
        if row is None:
            raise InstanceNotFound(f"The instance “{self.operation.instance_name}” is gone.")
        return row

    @property
    def engine_id(self) -> str:
        return self.instance.engine_id


Handler = Callable[[Work], dict[str, Any]]
Undoer = Callable[[Operation, UndoStep], None]
_handlers: dict[str, Handler] = {}
_undoers: dict[str, Undoer] = {}


def handler_register(action: str, handler: Handler) -> None:
    """Announce who carries out ``action`` on any backend; the last one registered wins."""
    _handlers[action] = handler


def undoer_register(kind: str, undoer: Undoer) -> None:
    """Announce who takes back a recorded step that is a row of LibGo's own, not a thing of the engine."""
    _undoers[kind] = undoer


def undoer_for(operation: Operation, backend: str, kind: str) -> Undoer | None:
    """None: the engine's. An app's are announced with its handlers."""
    handler_for(operation.action, backend)
    return _undoers.get(kind)


def handler_for(action: str, backend: str) -> Handler | None:
    """Who carries out ``action`` on a node of ``backend``. Two apps may each have their own of one name
    (both make networks). The handlers of an app are imported when an action is met that is not
    everybody's, so its engine library costs only the workers."""
    if action in _handlers:
        return _handlers[action]
    registration = backend_registration(backend)
    if not registration.handlers or registration.disabled_reason:
        return None
    found: Handler | None = importlib.import_module(registration.handlers).HANDLERS.get(action)
    return found


def _create(work: Work) -> dict[str, Any]:
    params = work.operation.params
    spec = InstanceSpec(
        name=work.instance.name,
        type=InstanceType(work.instance.type),
        instance_id=str(work.instance.pk),
        operation_id=str(work.operation.pk),
        project_id=str(work.instance.project_id),
        config=config_opened(params["config"]),
        resources=Resources(**params["resources"]),
        labels=params["labels"],
        auto_start=params["auto_start"],
        grants=grants_of(work.operation, work.instance.project_id),
        secrets=spec_secrets(work.node, work.instance.project_id, params["config"]),
    )
    info = _made(work, spec)
    instance_adopt(work.instance, info)
    observe(work, *made_beside(work))
    return {"engine_id": info.engine_id}


def made_beside(work: Work) -> list[str]:
    """The kinds of things that were made for the instance: the steps that would take them back are called
    after them."""
    return sorted({step.kind for step in work.report.undo_steps} & work.backend.resource_kinds)


def _made(work: Work, spec: InstanceSpec) -> InstanceInfo:
    """From an image, from another instance, from a file, or from a backup."""
    origin = work.operation.params.get("origin") or {}
    if "clone_of" in origin:
        linked = bool(origin.get("linked"))
        return work.backend.instance_clone(origin["clone_of"], spec, work.report, linked=linked)
    if "file" in origin:
        # The body was read before; asking for its end lets the request go on without us.
        for _ in work.body:
            work.report.checkpoint()
        return work.backend.instance_import(spec, ImportFile(**origin["file"]), work.report)
    if "backup" in origin:
        reader = reader_of(origin["backup"], lambda count: work.report.checkpoint())
        return work.backend.instance_restore(spec, RestoreSource(reader), work.report)
    return work.backend.instance_create(spec, work.report)


def _delete(work: Work) -> dict[str, Any]:
    params = work.operation.params
    names = _snapshots_to_go(work)
    work.backend.instance_delete(work.engine_id, keep_storage=params["keep_storage"], report=work.report)
    for name in names:
        work.backend.snapshot_delete(work.engine_id, str(work.instance.pk), name, work.report)
    instance_forget(work.instance)
    return {}


def _snapshots_to_go(work: Work) -> list[str]:
    """Those of a VM are part of its storage; nobody finds those of a container without it."""
    kept = work.operation.params["keep_storage"] and work.instance.type == InstanceType.VM
    if kept or Capability.SNAPSHOT not in work.backend.capabilities:
        return []
    return [item.name for item in work.backend.snapshot_list(work.engine_id, str(work.instance.pk))]


def _update(work: Work) -> dict[str, Any]:
    """Whatever of name, configuration and limits is asked for, each in force when the next begins."""
    params = work.operation.params
    pending: dict[str, Any] = {}
    if params.get("name"):
        work.report.progress(10, f"Renaming it to {params['name']}")
        work.backend.instance_rename(work.engine_id, params["name"], work.report)
    if params.get("config"):
        work.report.progress(20, "Changing its configuration")
        work.backend.instance_reconfigure(work.engine_id, params["config"], work.report)
    if params.get("resources"):
        resources = Resources(**params["resources"])
        waiting = work.backend.instance_resize(work.engine_id, resources)
        work.backend.instance_update(work.engine_id, resources, work.report)
        pending = {name: params["resources"][name] for name in sorted(waiting) if params["resources"][name]}
        Instance.objects.filter(pk=work.instance.pk).update(pending_changes=pending)
    info = work.backend.instance_get(work.engine_id)
    instances_observe(work.node, [info])
    return {"pending_changes": pending if info.pending is None else dict(info.pending)}


def _start(work: Work) -> dict[str, Any]:
    work.backend.instance_start(work.engine_id, work.report)
    return _reread(work)


def _stop(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.backend.instance_stop(
        work.engine_id,
        timeout_s=params.get("timeout", STOP_TIMEOUT_S),
        force=params.get("force", False),
        report=work.report,
    )
    return _reread(work)


def _restart(work: Work) -> dict[str, Any]:
    timeout_s = work.operation.params.get("timeout", STOP_TIMEOUT_S)
    work.backend.instance_restart(work.engine_id, timeout_s=timeout_s, report=work.report)
    return _reread(work)


def _pause(work: Work) -> dict[str, Any]:
    work.backend.instance_pause(work.engine_id, work.report)
    return _reread(work)


def _unpause(work: Work) -> dict[str, Any]:
    work.backend.instance_unpause(work.engine_id, work.report)
    return _reread(work)


def _kill(work: Work) -> dict[str, Any]:
    work.backend.instance_kill(work.engine_id, work.operation.params.get("signal", "SIGKILL"), work.report)
    return _reread(work)


def _reset(work: Work) -> dict[str, Any]:
    work.backend.instance_reset(work.engine_id, work.report)
    return _reread(work)


def _save(work: Work) -> dict[str, Any]:
    work.backend.instance_save(work.engine_id, work.report)
    return _reread(work)


def _save_discard(work: Work) -> dict[str, Any]:
    work.backend.instance_save_discard(work.engine_id)
    return _reread(work)


def _storage_attach(work: Work) -> dict[str, Any]:
    join = StorageJoin(**work.operation.params["join"])
    name = work.backend.storage_attach(work.engine_id, join, work.report)
    _reread(work)
    storage = Instance.objects.get(pk=work.instance.pk).storage
    return next((dict(item) for item in storage if item["name"] == name), {"name": name})


def _storage_detach(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(10, f"Detaching {params['name']}")
    work.backend.storage_detach(work.engine_id, params["name"], delete=params["delete"], report=work.report)
    return _reread(work)


def _network_attach(work: Work) -> dict[str, Any]:
    params = work.operation.params
    join = NetworkJoin(**{**params, "aliases": tuple(params["aliases"])})
    work.report.progress(30, f"Connecting it to {join.network}")
    project_id = work.instance.project_id
    grants = grants_of(work.operation, project_id)
    work.backend.network_attach(work.engine_id, join, grants, str(project_id))
    _reread(work)
    networks = Instance.objects.get(pk=work.instance.pk).networks
    return next((dict(item) for item in networks if item["network"] == join.network), {})


def _network_detach(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(30, f"Taking it off {params['network']}")
    work.backend.network_detach(work.engine_id, params["network"], force=params["force"])
    return _reread(work)


def _snapshot(work: Work) -> dict[str, Any]:
    params = work.operation.params
    work.report.progress(20, f"Taking the snapshot {params['name']}")
    made = work.backend.snapshot_create(work.engine_id, _snapshot_spec(work), work.report)
    return {"snapshot": made.name, "size_bytes": made.size_bytes}


def _snapshot_delete(work: Work) -> dict[str, Any]:
    name = work.operation.params["name"]
    work.report.progress(20, f"Deleting the snapshot {name}")
    work.backend.snapshot_delete(work.engine_id, str(work.instance.pk), name, work.report)
    return {"snapshot": name}


def _restore(work: Work) -> dict[str, Any]:
    wanted = replace(_snapshot_spec(work), brings_back=_judged_again(work))
    info = work.backend.snapshot_restore(work.engine_id, wanted, work.report)
    instance_adopt(work.instance, info)
    return {"engine_id": info.engine_id}


def _judged_again(work: Work) -> tuple[BroughtBack, ...] | None:
    """What the snapshot would bring back now, which whoever asked may still give; None: nothing to judge."""
    if not snapshot_is_guarded(work.instance):
        return None
    name = work.operation.params["name"]
    for found in work.backend.snapshot_list(work.engine_id, str(work.instance.pk)):
        if found.name == name:
            snapshot_guarded(operation_actor(work.operation), work.instance, found)
            return found.brings_back
    return ()


def _snapshot_spec(work: Work) -> SnapshotSpec:
    params = work.operation.params
    return SnapshotSpec(
        name=params["name"],
        instance_id=str(work.instance.pk),
        operation_id=str(work.operation.pk),
        project_id=str(work.instance.project_id),
        description=params.get("description", ""),
        include_memory=params.get("include_memory"),
        quiesce=params.get("quiesce", False),
    )


def observe(work: Work, *kinds: str) -> None:
    """List these kinds of things again, so that the answer and the next read agree. A list that fails now
    is made good by the watcher."""
    try:
        resources_look(work.node, work.backend, *kinds)
    except ComputeError as error:
        work.report.log(f"They could not be listed again ({', '.join(kinds)}): {error.message}")


def _reread(work: Work) -> dict[str, Any]:
    """The last step of every action that ends in another state: the truth into the mirror."""
    stage(work.operation.pk, "acted")
    info = instance_looked(work.backend, work.node, work.engine_id)
    stage(work.operation.pk, "looked")
    instance_settled(work.instance, info)
    return {}


for _action, _handler in {
    "create": _create,
    "delete": _delete,
    "update": _update,
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "pause": _pause,
    "unpause": _unpause,
    "kill": _kill,
    "reset": _reset,
    "snapshot": _snapshot,
    "snapshot_delete": _snapshot_delete,
    "restore": _restore,
    "network_attach": _network_attach,
    "network_detach": _network_detach,
    "save": _save,
    "save_discard": _save_discard,
    "storage_attach": _storage_attach,
    "storage_detach": _storage_detach,
}.items():
    handler_register(f"instance.{_action}", _handler)
