"""Make, change and remove containers; every step is idempotent or looked up, never repeated blindly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.types import (
    LABEL_OPERATION,
    InstanceInfo,
    InstanceSpec,
    Reporter,
    Resources,
    UndoStep,
)
from compute.errors import BackendTimeout, InstanceNotFound, InvalidInput
from compute.states import InstanceState
from dockerapp.engine.claims import claims_check, claims_make
from dockerapp.engine.client import EngineClient, as_list, rows_of
from dockerapp.engine.errors import answer_errors
from dockerapp.engine.helpers import HELPER_NAME, is_helper
from dockerapp.engine.inspect import inspect_info, summary_info
from dockerapp.engine.pull import image_ensure
from dockerapp.engine.spec import changeable_body, create_body, endpoint_body, resources_body

UNDO_CONTAINER = "container"
_NOT_MODIFIED = 304
_LIST_WITHIN_S = 10.0
# The names that engines give to volumes nobody named.
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@answer_errors("a container")
def container_list(client: EngineClient) -> list[InstanceInfo]:
    """All containers, running or not, by one call."""
    asked_at = datetime.now(timezone.utc)
    rows = client.call(_listed)
    return [replace(summary_info(row), observed_at=asked_at) for row in rows if not _is_ours(row)]


def _listed(api: APIClient) -> list[Mapping[str, Any]]:
    # The engine answers from its memory, so it is slow only when it is lost.
    deadline_s = min(float(api.timeout), _LIST_WITHIN_S)
    answer = api._get(api._url("/containers/json"), params={"all": 1}, timeout=deadline_s)
    return rows_of(api._result(answer, True))


def _is_ours(row: Mapping[str, Any]) -> bool:
    """A helper that LibGo made for a moment is no instance of anybody."""
    return is_helper(str((row.get("Names") or [""])[0]), row.get("Labels") or {})


@answer_errors("a container")
def container_get(client: EngineClient, engine_id: str) -> InstanceInfo:
    asked_at = datetime.now(timezone.utc)
    doc = client.call(lambda api: api.inspect_container(engine_id))
    if is_helper(str(doc.get("Name", "")), (doc.get("Config") or {}).get("Labels") or {}):
        raise InstanceNotFound("The engine has no such container.")
    return replace(inspect_info(doc), observed_at=asked_at)


def container_create(client: EngineClient, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
    """Pull if asked and needed, create, start; the caller undoes on any error. That a name is taken the
    engine says itself."""
    _storage_refuse(spec.resources)
    if spec.name.startswith(HELPER_NAME):
        raise InvalidInput.field("name", f"must not begin with “{HELPER_NAME}”.")
    when, credentials = spec.config.get("pull", "missing"), spec.secrets.get("registry")
    image_ensure(client, spec.config["image"], when, report, (5, 75), credentials)
    report.progress(78, "Creating the container")
    claims_make(client, spec, report)
    report.undo(UndoStep(UNDO_CONTAINER, {"name": spec.name, "operation_id": spec.operation_id}))
    engine_id = _create(client, spec)
    report.checkpoint()
    claims_check(client, spec)
    if spec.auto_start:
        report.progress(88, "Starting the container")
        container_start(client, engine_id)
    return container_get(client, engine_id)


def container_undo(client: EngineClient, step: UndoStep) -> None:
    """Remove what an operation made: only with that operation's label."""
    for engine_id in ids_of_operation(client, step.ref["operation_id"]):
        container_remove(client, engine_id, volumes=True)


def container_remove(client: EngineClient, engine_id: str, *, volumes: bool, force: bool = True) -> None:
    """Gone afterwards, with its anonymous volumes if ``volumes``; absent is fine. Without ``force`` a
    running one is refused by the engine itself."""
    carried = _anonymous_volumes(client, engine_id) if volumes else []
    try:
        client.call(lambda api: api.remove_container(engine_id, v=volumes, force=force))
    except InstanceNotFound:
        return
    except BackendTimeout:
        _look_again(client, engine_id, lambda info: info is None)
    for name in carried:
        _volume_drop(client, name)


def _anonymous_volumes(client: EngineClient, engine_id: str) -> list[str]:
    """A container that took over another's volumes has them by name, so the engine would keep them."""
    try:
        doc = client.call(lambda api: api.inspect_container(engine_id))
    except InstanceNotFound:
        return []
    names = [str(mount.get("Name", "")) for mount in as_list(doc.get("Mounts"))]
    return [name for name in names if is_anonymous(name)]


def is_anonymous(volume: str) -> bool:
    """Whether the engine itself made up this name of a volume."""
    return _ANONYMOUS.fullmatch(volume) is not None


def _volume_drop(client: EngineClient, name: str) -> None:
    def drop(api: APIClient) -> None:
        try:
            api.remove_volume(name)
        except APIError as error:
            # Gone with its container already, or still used by another one.
            if error.status_code not in (404, 409):
                raise

    client.call(drop)


def container_start(client: EngineClient, engine_id: str) -> None:
    """Running afterwards, also if it was paused, which engines refuse in words of their own."""

    def start(api: APIClient) -> None:
        try:
            api.start(engine_id)
        except APIError:
            if container_get(client, engine_id).state != InstanceState.PAUSED:
                raise
            api.unpause(engine_id)

    try:
        client.call(start)
    except BackendTimeout:
        _look_again(client, engine_id, lambda info: info is not None and info.state == "running")


def container_stop(client: EngineClient, engine_id: str, timeout_s: float, force: bool) -> None:
    """TERM, then KILL after ``timeout_s``; the engine counts, we wait a little longer."""
    if force:
        container_kill(client, engine_id, "SIGKILL", missing_ok=True)
        return

    def stop(api: APIClient) -> None:
        url = api._url("/containers/{0}/stop", engine_id)
        response = api.post(url, params={"t": int(timeout_s)}, timeout=timeout_s + api.timeout)
        if response.status_code != _NOT_MODIFIED:
            api._raise_for_status(response)

    try:
        client.call(stop)
    except BackendTimeout:
        _look_again(client, engine_id, lambda info: info is None or info.state != "running")


def container_restart(client: EngineClient, engine_id: str, timeout_s: float) -> None:
    def restart(api: APIClient) -> None:
        url = api._url("/containers/{0}/restart", engine_id)
        response = api.post(url, params={"t": int(timeout_s)}, timeout=timeout_s + api.timeout)
        api._raise_for_status(response)

    client.call(restart)


def container_kill(client: EngineClient, engine_id: str, signal: str, *, missing_ok: bool = False) -> None:
    def kill(api: APIClient) -> None:
        try:
            api.kill(engine_id, signal)
        except APIError as error:
            if not (missing_ok and _runs_not(error)):
                raise

    client.call(kill)
    if signal == "SIGKILL":
        client.call(lambda api: api.wait(engine_id, timeout=10))


def _runs_not(error: APIError) -> bool:
    """Docker's conflict; Podman calls it an error of its own and explains it."""
    return error.status_code == 409 or "container state improper" in str(error.explanation)


def container_pause(client: EngineClient, engine_id: str, *, paused: bool) -> None:
    """Paused or running afterwards; fine when it already is. Engines refuse that in words of their own, so
    one that refuses is looked at."""

    def act(api: APIClient) -> None:
        try:
            api.pause(engine_id) if paused else api.unpause(engine_id)
        except APIError:
            if (container_get(client, engine_id).state == "paused") != paused:
                raise

    client.call(act)


def container_update(
    client: EngineClient, engine_id: str, resources: Resources, changes: Mapping[str, Any] | None = None
) -> InstanceInfo:
    """New limits, and changes of ``CHANGEABLE`` keys, applied live."""
    _storage_refuse(resources)
    body = {**resources_body(resources), **changeable_body(changes or {})}

    def update(api: APIClient) -> Any:
        response = api._post_json(api._url("/containers/{0}/update", engine_id), data=body)
        return api._result(response, True)

    client.call(update)
    return container_get(client, engine_id)


def container_rename(client: EngineClient, engine_id: str, name: str) -> None:
    """Called ``name`` afterwards, also if it was before. Raises ``NameConflict``."""
    if container_get(client, engine_id).name == name:
        return
    client.call(lambda api: api.rename(engine_id, name))


def _storage_refuse(resources: Resources) -> None:
    if resources.storage_bytes is not None:
        raise InvalidInput.field(
            "resources.storage.total_space", "cannot be limited on Docker; leave it out or use a volume."
        )


def _create(client: EngineClient, spec: InstanceSpec) -> str:
    engine_id = container_make(client, spec.name, create_body(spec), spec.operation_id)
    networks_join(client, engine_id, (spec.config.get("networks") or [])[1:])
    return engine_id


def container_make(client: EngineClient, name: str, body: Mapping[str, Any], operation_id: str) -> str:
    """The engine's id of what was made from a body that carries this operation's label."""

    def create(api: APIClient) -> str:
        response = api._post_json(api._url("/containers/create"), data=dict(body), params={"name": name})
        return str(api._result(response, True)["Id"])

    try:
        return client.call(create)
    except BackendTimeout:
        # It may have been made: the label tells.
        found = ids_of_operation(client, operation_id)
        if not found:
            raise
        return found[0]


def ids_of_operation(client: EngineClient, operation_id: str) -> list[str]:
    """The containers that an operation made."""
    wanted = {"label": [f"{LABEL_OPERATION}={operation_id}"]}
    rows = client.call(lambda api: api.containers(all=True, filters=wanted))
    return [str(row["Id"]) for row in rows]


def networks_join(client: EngineClient, engine_id: str, endpoints: Iterable[Mapping[str, Any]]) -> None:
    """Connect to further networks, with fixed addresses and names."""
    for endpoint in endpoints:
        body = {"Container": engine_id, "EndpointConfig": endpoint_body(endpoint)}
        client.call(_connect(endpoint["network"], body))


def _connect(network: str, body: Mapping[str, Any]) -> Callable[[APIClient], None]:
    def connect(api: APIClient) -> None:
        api._raise_for_status(api._post_json(api._url("/networks/{0}/connect", network), data=dict(body)))

    return connect


def _look_again(client: EngineClient, engine_id: str, as_wanted: Any) -> None:
    """After a time-out: what is true now decides. Raises ``BackendTimeout`` if it is not so yet."""
    try:
        info: InstanceInfo | None = container_get(client, engine_id)
    except InstanceNotFound:
        info = None
    if not as_wanted(info):
        raise BackendTimeout("Docker did not finish in time, and the container is not as wanted yet.")
