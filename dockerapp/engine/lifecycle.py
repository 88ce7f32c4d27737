"""Make, change and remove containers; every step is idempotent or looked up, never repeated blindly."""

from __future__ import annotations

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
from compute.errors import BackendTimeout, InstanceNotFound, InvalidInput, NameConflict
from dockerapp.engine.claims import claims_check, claims_make
from dockerapp.engine.client import EngineClient
from dockerapp.engine.inspect import inspect_info, summary_info
from dockerapp.engine.pull import image_ensure
from dockerapp.engine.spec import create_body, resources_body

UNDO_CONTAINER = "container"
_NOT_MODIFIED = 304


def container_list(client: EngineClient) -> list[InstanceInfo]:
    """All containers, running or not, by one call."""
    return [summary_info(row) for row in client.call(lambda api: api.containers(all=True))]


def container_get(client: EngineClient, engine_id: str) -> InstanceInfo:
    return inspect_info(client.call(lambda api: api.inspect_container(engine_id)))


def container_create(client: EngineClient, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
    """Pull if asked and needed, create, start; the caller undoes on any error."""
    _storage_refuse(spec.resources)
    when, credentials = spec.config.get("pull", "missing"), spec.secrets.get("registry")
    image_ensure(client, spec.config["image"], when, report, (5, 75), credentials)
    report.progress(78, "Creating the container")
    if _by_name(client, spec.name) is not None:
        raise NameConflict(f"There is already a container “{spec.name}” on this node.", name=spec.name)
    claims_make(client, spec, report)
    report.undo(UndoStep(UNDO_CONTAINER, {"name": spec.name, "operation_id": spec.operation_id}))
    engine_id = _create(client, spec)
    claims_check(client, spec)
    if spec.auto_start:
        report.progress(88, "Starting the container")
        container_start(client, engine_id)
    report.progress(96, "Reading it back")
    return container_get(client, engine_id)


def container_undo(client: EngineClient, step: UndoStep) -> None:
    """Remove what an operation made: only with that operation's label."""
    rows = client.call(
        lambda api: api.containers(
            all=True, filters={"label": [f"{LABEL_OPERATION}={step.ref['operation_id']}"]}
        )
    )
    for row in rows:
        container_remove(client, row["Id"], volumes=True)


def container_remove(client: EngineClient, engine_id: str, *, volumes: bool) -> None:
    """Gone afterwards, with its anonymous volumes if ``volumes``; absent is fine."""
    try:
        client.call(lambda api: api.remove_container(engine_id, v=volumes, force=True))
    except InstanceNotFound:
        return
    except BackendTimeout:
        _look_again(client, engine_id, lambda info: info is None)


def container_start(client: EngineClient, engine_id: str) -> None:
    try:
        client.call(lambda api: api.start(engine_id))
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
    """Paused or running afterwards; a no-op when it already is."""
    if (container_get(client, engine_id).state == "paused") == paused:
        return
    client.call(lambda api: api.pause(engine_id) if paused else api.unpause(engine_id))


def container_update(client: EngineClient, engine_id: str, resources: Resources) -> InstanceInfo:
    """New limits, applied live."""
    _storage_refuse(resources)
    body = resources_body(resources)

    def update(api: APIClient) -> Any:
        response = api._post_json(api._url("/containers/{0}/update", engine_id), data=body)
        return api._result(response, True)

    client.call(update)
    return container_get(client, engine_id)


def _storage_refuse(resources: Resources) -> None:
    if resources.storage_bytes is not None:
        raise InvalidInput.field(
            "resources.storage.total_space", "cannot be limited on Docker; leave it out or use a volume."
        )


def _create(client: EngineClient, spec: InstanceSpec) -> str:
    body = create_body(spec)

    def create(api: APIClient) -> str:
        response = api._post_json(api._url("/containers/create"), data=body, params={"name": spec.name})
        return str(api._result(response, True)["Id"])

    try:
        return client.call(create)
    except BackendTimeout:
        # It may have been made: the label tells.
        rows = client.call(
            lambda api: api.containers(
                all=True, filters={"label": [f"{LABEL_OPERATION}={spec.operation_id}"]}
            )
        )
        if not rows:
            raise
        return str(rows[0]["Id"])


def _by_name(client: EngineClient, name: str) -> InstanceInfo | None:
    try:
        found = container_get(client, name)
    except InstanceNotFound:
        return None
    # The engine also finds by the beginning of an id.
    return found if found.name == name else None


def _look_again(client: EngineClient, engine_id: str, as_wanted: Any) -> None:
    """After a time-out: what is true now decides. Raises ``BackendTimeout`` if it is not so yet."""
    try:
        info: InstanceInfo | None = container_get(client, engine_id)
    except InstanceNotFound:
        info = None
    if not as_wanted(info):
        raise BackendTimeout("Docker did not finish in time, and the container is not as wanted yet.")
