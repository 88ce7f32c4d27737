"""Snapshots of containers: images under a repository that only LibGo writes, one for each instance.

They hold what the container wrote into its own layer. Volumes are not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.types import (
    LABEL_INSTANCE,
    LABEL_OPERATION,
    LABEL_PROJECT,
    InstanceInfo,
    Reporter,
    SnapshotInfo,
    SnapshotSpec,
    UndoStep,
)
from compute.errors import ImageInUse, NameConflict, SnapshotNotFound
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.containers import Commit, Containers
from dockerapp.engine.inspect import unix_time
from dockerapp.engine.replace import Replacement, container_replace
from dockerapp.references import SNAPSHOTS

UNDO_SNAPSHOT = "snapshot"
LABEL_SNAPSHOT = "libgo.snapshot"
# In hexadecimal digits, which no instruction of a Dockerfile can misread.
_LABEL_DESCRIPTION = "libgo.snapshot.description"


def snapshot_list(client: EngineClient, instance_id: str) -> list[SnapshotInfo]:
    wanted = {"label": [f"{LABEL_SNAPSHOT}={instance_id}"]}
    rows = client.call(lambda api: api.images(filters=wanted), quick=True)
    found = [item for row in rows for item in _infos(row, instance_id)]
    return sorted(found, key=lambda item: (item.created_at is not None, item.created_at, item.name))


def snapshot_create(
    client: EngineClient, containers: Containers, engine_id: str, wanted: SnapshotSpec, report: Reporter
) -> SnapshotInfo:
    if any(item.name == wanted.name for item in snapshot_list(client, wanted.instance_id)):
        raise NameConflict(f"There is already a snapshot “{wanted.name}”.", name=wanted.name)
    reference = _reference(wanted.instance_id, wanted.name)
    report.undo(UndoStep(UNDO_SNAPSHOT, {"reference": reference, "operation_id": wanted.operation_id}))
    labels = {
        LABEL_SNAPSHOT: wanted.instance_id,
        _LABEL_DESCRIPTION: wanted.description.encode().hex(),
        LABEL_PROJECT: wanted.project_id,
        LABEL_OPERATION: wanted.operation_id,
        LABEL_INSTANCE: '""',
    }
    changes = [f"LABEL {key}={value or chr(34) * 2}" for key, value in labels.items()]
    repository, _, tag = reference.rpartition(":")
    containers.commit(engine_id, Commit(repository, tag, message="LibGo snapshot", changes=changes))
    made = [item for item in snapshot_list(client, wanted.instance_id) if item.name == wanted.name]
    if not made:
        raise SnapshotNotFound(f"The engine does not show the snapshot “{wanted.name}” that it made.")
    return made[0]


def snapshot_delete(client: EngineClient, instance_id: str, name: str) -> None:
    """Gone afterwards. Raises ``ImageInUse`` while a container, perhaps this one, runs from it."""
    reference = _reference(instance_id, name)

    def remove(api: APIClient) -> None:
        try:
            api.remove_image(reference)
        except APIError as error:
            if error.status_code == 409:
                raise ImageInUse(
                    f"The snapshot “{name}” is what a container was made from; it goes with that container.",
                    snapshot=name,
                ) from error
            if error.status_code != 404:
                raise

    client.call(remove)


def snapshot_restore(
    client: EngineClient, engine_id: str, wanted: SnapshotSpec, report: Reporter
) -> InstanceInfo:
    """A container of the same settings from the snapshot in the place of the one there is."""
    if not any(item.name == wanted.name for item in snapshot_list(client, wanted.instance_id)):
        raise SnapshotNotFound(f"There is no snapshot “{wanted.name}”.", snapshot=wanted.name)
    replacement = Replacement(
        engine_id=engine_id,
        instance_id=wanted.instance_id,
        operation_id=wanted.operation_id,
        project_id=wanted.project_id,
        config={"image": _reference(wanted.instance_id, wanted.name), "pull": "never"},
    )
    return container_replace(client, replacement, report)


def snapshot_undo(client: EngineClient, step: UndoStep) -> None:
    """Only what this operation made."""
    reference, operation_id = str(step.ref["reference"]), str(step.ref["operation_id"])
    wanted = {"label": [f"{LABEL_OPERATION}={operation_id}"], "reference": [reference]}
    for _ in client.call(lambda api: api.images(filters=wanted)):
        instance_id, _, name = reference.removeprefix(f"{SNAPSHOTS}/").rpartition(":")
        snapshot_delete(client, instance_id, name)


def _reference(instance_id: str, name: str) -> str:
    return f"{SNAPSHOTS}/{instance_id}:{name}"


def _infos(row: Mapping[str, Any], instance_id: str) -> list[SnapshotInfo]:
    labels = row.get("Labels") or {}
    own = f"{SNAPSHOTS}/{instance_id}:"
    return [
        SnapshotInfo(
            name=str(tag).removeprefix(own),
            created_at=unix_time(row.get("Created")),
            size_bytes=int(row.get("Size") or 0),
            description=_description(str(labels.get(_LABEL_DESCRIPTION, ""))),
        )
        for tag in as_list(row.get("RepoTags"))
        if str(tag).startswith(own)
    ]


def _description(digits: str) -> str:
    try:
        return bytes.fromhex(digits).decode("utf-8", "replace")[:1000]
    except ValueError:
        return ""
