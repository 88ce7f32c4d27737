"""Put a container of other settings in the place of one: its name, volumes, networks and labels stay.

The old one is kept, stopped and under another name, until the new one is seen to work. Removing it is
the point of no return; until then every failure ends with the old one as it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.backends.types import (
    LABEL_INSTANCE,
    LABEL_OPERATION,
    LABEL_PROJECT,
    Grants,
    InstanceInfo,
    InstanceSpec,
    Reporter,
    Resources,
    UndoStep,
)
from compute.errors import BackendError, ImageNotFound, InstanceNotFound, InvalidState
from compute.states import InstanceType
from dockerapp.credentials import Credentials
from dockerapp.engine import lifecycle
from dockerapp.engine.claims import claims_check, claims_make
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.observed import observed_config
from dockerapp.engine.pull import image_ensure
from dockerapp.engine.spec import config_body, endpoint_body

UNDO_REPLACE = "replace"
_MARKS = (LABEL_INSTANCE, LABEL_OPERATION, LABEL_PROJECT)
# One without a health check has started when it is still there after this.
_SETTLE_S = 1.5
_LOOK_EVERY_S = 0.25
_LISTS = ("Env", "Cmd", "Entrypoint")
_TEXTS = ("WorkingDir", "User", "StopSignal")
_OBJECTS = ("ExposedPorts", "Volumes", "Healthcheck")
_OWN = (
    "Domainname Tty OpenStdin StdinOnce AttachStdin AttachStdout AttachStderr StopTimeout MacAddress".split()
)


@dataclass(frozen=True)
class Replacement:
    """``config`` and ``resources`` hold only what changes; ``labels`` are added to those it has."""

    engine_id: str
    instance_id: str
    operation_id: str
    project_id: str
    config: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    labels: Mapping[str, str] = field(default_factory=dict)
    grants: Grants = field(default_factory=Grants)
    credentials: Credentials | None = None
    stop_timeout_s: float = 10.0
    health_timeout_s: float = 60.0


def container_replace(client: EngineClient, wanted: Replacement, report: Reporter) -> InstanceInfo:
    """The new container, running if the old one did. Raises ``BackendError`` when it does not start or
    does not become healthy in time; the caller takes the recorded step back then."""
    doc = client.call(lambda api: api.inspect_container(wanted.engine_id))
    if (doc.get("HostConfig") or {}).get("AutoRemove"):
        raise InvalidState("The engine removes this container when it stops, so it cannot be replaced.")
    name = str(doc["Name"]).lstrip("/")
    state = doc.get("State") or {}
    was_running = bool(state.get("Running"))
    body, further = replacement_body(client, doc, wanted, report)
    mark = wanted.operation_id[:8]
    claim = _claim(wanted, name)
    claims_make(client, claim, report)
    step = {"engine_id": wanted.engine_id, "name": name, "operation_id": wanted.operation_id}
    report.undo(UndoStep(UNDO_REPLACE, {**step, "running": was_running, "paused": bool(state.get("Paused"))}))
    report.progress(50, "Making the new container")
    new_id = lifecycle.container_make(client, f"{name}.libgo-new-{mark}", body, wanted.operation_id)
    lifecycle.networks_join(client, new_id, further)
    claims_check(client, claim)
    if was_running:
        report.progress(60, "Stopping the old container")
        lifecycle.container_stop(client, wanted.engine_id, wanted.stop_timeout_s, False)
    report.progress(70, "Giving its name to the new one")
    lifecycle.container_rename(client, wanted.engine_id, f"{name}.libgo-old-{mark}")
    lifecycle.container_rename(client, new_id, name)
    if was_running:
        report.progress(75, "Starting the new container")
        lifecycle.container_start(client, new_id)
        _working_await(client, new_id, wanted.health_timeout_s, report)
    report.progress(95, "Removing the old container")
    lifecycle.container_remove(client, wanted.engine_id, volumes=False)
    return lifecycle.container_get(client, new_id)


def replace_undo(client: EngineClient, step: UndoStep) -> None:
    """The old container back under its name, running as it was; nothing when it is gone already."""
    old_id, name = str(step.ref["engine_id"]), str(step.ref["name"])
    try:
        lifecycle.container_get(client, old_id)
    except InstanceNotFound:
        return
    for engine_id in lifecycle.ids_of_operation(client, str(step.ref["operation_id"])):
        if engine_id != old_id:
            lifecycle.container_remove(client, engine_id, volumes=True)
    if lifecycle.container_get(client, old_id).name != name:
        lifecycle.container_rename(client, old_id, name)
    if step.ref["running"]:
        lifecycle.container_start(client, old_id)
    if step.ref["paused"]:
        lifecycle.container_pause(client, old_id, paused=True)


def replacement_body(
    client: EngineClient, doc: Mapping[str, Any], wanted: Replacement, report: Reporter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The body to make the new one from, and the networks to join after that."""
    image = _image(client, doc, wanted, report)
    old = doc.get("Config") or {}
    inherited = _image_config(client, str(doc.get("Image", "")))
    changed = config_body(wanted.config, wanted.resources)
    host = {**_host_config(doc, wanted.config), **changed.pop("HostConfig")}
    networks = _networks(doc, wanted.config)
    if networks:
        main = networks[0]
        host["NetworkMode"] = main["network"]
        changed["NetworkingConfig"] = {"EndpointsConfig": {main["network"]: endpoint_body(main)}}
    kept = own_config(str(doc["Id"]), old, inherited)
    labels = {**kept.pop("Labels"), **wanted.labels, **_marks(wanted)}
    body = {**kept, **changed, "Image": image, "Labels": labels, "HostConfig": host}
    return body, networks[1:]


def own_config(engine_id: str, config: Mapping[str, Any], inherited: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for when it was made, without what its image gave it: another image brings its own."""
    own: dict[str, Any] = {key: config[key] for key in _OWN if config.get(key) not in (None, "", False)}
    for key in (*_LISTS, *_TEXTS, *_OBJECTS):
        value, from_image = config.get(key), inherited.get(key)
        if not value or value == from_image:
            continue
        if key == "Env":
            value = [item for item in value if item not in as_list(from_image)]
        elif key in ("ExposedPorts", "Volumes"):
            value = {name: item for name, item in value.items() if name not in (from_image or {})}
        own[key] = value
    if "Entrypoint" in own and "Cmd" not in own and config.get("Cmd"):
        # An entrypoint of one's own makes the engine forget the image's command.
        own["Cmd"] = config["Cmd"]
    if config.get("Hostname") and config["Hostname"] != engine_id[:12]:
        own["Hostname"] = config["Hostname"]
    given = inherited.get("Labels") or {}
    labels = {k: v for k, v in (config.get("Labels") or {}).items() if given.get(k) != v and k not in _MARKS}
    return {**own, "Labels": labels}


def _claim(wanted: Replacement, name: str) -> InstanceSpec:
    """What it will use besides that the old one did not have already."""
    return InstanceSpec(
        name=name,
        type=InstanceType.CONTAINER,
        instance_id=wanted.instance_id,
        operation_id=wanted.operation_id,
        project_id=wanted.project_id,
        config=wanted.config,
        resources=wanted.resources,
        grants=wanted.grants,
    )


def _marks(wanted: Replacement) -> dict[str, str]:
    return {
        LABEL_INSTANCE: wanted.instance_id,
        LABEL_OPERATION: wanted.operation_id,
        LABEL_PROJECT: wanted.project_id,
    }


def _image(client: EngineClient, doc: Mapping[str, Any], wanted: Replacement, report: Reporter) -> str:
    """The image by the name asked for. Unasked it stays the very same one, also when its name has since
    gone to another."""
    name = str((doc.get("Config") or {}).get("Image", ""))
    if "image" in wanted.config or wanted.config.get("pull") == "always":
        asked = str(wanted.config.get("image", name))
        when = str(wanted.config.get("pull", "missing"))
        image_ensure(client, asked, when, report, (5, 45), wanted.credentials)
        return asked
    same = str(doc.get("Image", ""))
    try:
        found = client.call(lambda api: api.inspect_image(name))
    except ImageNotFound:
        return same
    return name if found.get("Id") == same else same


def _image_config(client: EngineClient, image_id: str) -> dict[str, Any]:
    try:
        return dict(client.call(lambda api: api.inspect_image(image_id)).get("Config") or {})
    except ImageNotFound:
        return {}


def _host_config(doc: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As it is, with anonymous volumes named so that they come along."""
    host = dict(doc.get("HostConfig") or {})
    if "volumes" in changes:
        kept = [m for m in as_list(host.get("Mounts")) if m.get("Type") not in ("volume", "bind")]
        host["Mounts"], host["Binds"] = kept, []
    # Those without a source are anonymous: what the engine made for them is carried over by name.
    host["Mounts"] = [m for m in as_list(host.get("Mounts")) if m.get("Source") or m.get("Type") != "volume"]
    binds = [*as_list(host.get("Binds")), *changes.get("volumes", [])]
    taken = {str(item).split(":")[1] for item in binds if ":" in str(item)}
    taken |= {str(mount.get("Target", "")) for mount in host["Mounts"]}
    carried = [
        {"Type": "volume", "Source": m["Name"], "Target": m["Destination"], "ReadOnly": not m.get("RW", True)}
        for m in as_list(doc.get("Mounts"))
        if m.get("Type") == "volume"
        and lifecycle.is_anonymous(str(m.get("Name", "")))
        and m.get("Destination") not in taken
    ]
    host["Mounts"] += carried
    return host


def _networks(doc: Mapping[str, Any], changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "networks" in changes or "network_mode" in changes:
        return list(changes.get("networks") or [])
    return list(observed_config(doc).get("networks") or [])


def _working_await(client: EngineClient, engine_id: str, timeout_s: float, report: Reporter) -> None:
    began, first = time.monotonic(), True
    while True:
        state = client.call(lambda api: api.inspect_container(engine_id)).get("State") or {}
        health = str((state.get("Health") or {}).get("Status") or "none")
        waited = time.monotonic() - began
        if not state.get("Running") or state.get("Restarting"):
            if state.get("ExitCode") == 0 and not state.get("Error") and not state.get("Restarting"):
                return
            raise BackendError(
                f"The new container ended at once with code {state.get('ExitCode')}, so the old one was put "
                "back. Look at its command and its settings.",
                exit_code=state.get("ExitCode"),
            )
        if health == "healthy" or (health == "none" and waited >= _SETTLE_S):
            return
        if health == "unhealthy" or waited > timeout_s:
            raise BackendError(
                f"The new container did not become healthy within {timeout_s:g} s ({health}), so the old one "
                "was put back.",
                health=health,
            )
        if first and health != "none":
            report.progress(85, f"Waiting for its health check, for up to {timeout_s:g} s")
            first = False
        report.checkpoint()
        time.sleep(_LOOK_EVERY_S)
