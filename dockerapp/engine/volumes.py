"""Volumes of one engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.types import LABEL_OPERATION, LABEL_PROJECT, Grants, ResourceInfo
from compute.errors import BackendTimeout, InvalidInput, NameConflict, VolumeInUse, VolumeNotFound
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.inspect import time_parse
from dockerapp.engine.secrets import secrets_masked

# Newer engines mark those they named themselves; older ones are told by the shape of the name.
_ANONYMOUS_LABEL = "com.docker.volume.anonymous"
_ANONYMOUS_NAME = re.compile(r"[0-9a-f]{64}")
# Since this version the engine measures volumes without measuring everything else too.
_DF_BY_TYPE = (1, 42)


@dataclass(frozen=True)
class VolumeWanted:
    """A volume as asked for, already checked."""

    name: str
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Volumes:
    """What one engine can do with volumes. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        answer = self._client.call(lambda api: api.volumes())
        return [volume_info(row) for row in as_list(answer.get("Volumes"))]

    def get(self, name: str, *, quick: bool = False) -> ResourceInfo:
        """As the engine shows it now. Raises ``VolumeNotFound``."""
        return volume_info(self._client.call(lambda api: api.inspect_volume(name), quick=quick))

    def mark(self, name: str) -> tuple[str, str] | None:
        """The project and the operation that are written on it, each empty without; None when there is
        no such volume."""
        try:
            labels = self._client.call(lambda api: api.inspect_volume(name)).get("Labels") or {}
        except VolumeNotFound:
            return None
        return str(labels.get(LABEL_PROJECT, "")), str(labels.get(LABEL_OPERATION, ""))

    def create(self, wanted: VolumeWanted, *, project_id: str, operation_id: str) -> ResourceInfo:
        """A new one, marked from birth. Raises ``NameConflict`` when there is one, whose ever it is:
        the engine would hand it out as if it had been made now."""
        if self.mark(wanted.name) is not None:
            raise name_taken(wanted.name)
        labels = {**wanted.labels, LABEL_PROJECT: project_id, LABEL_OPERATION: operation_id}
        try:
            self._client.call(_create_call(wanted, labels))
        except BackendTimeout:
            # It may have been made: the mark tells.
            if self.mark(wanted.name) != (project_id, operation_id):
                raise
        if self.mark(wanted.name) != (project_id, operation_id):
            raise name_taken(wanted.name)
        return self.get(wanted.name)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Gone afterwards, with its content; absent is fine. Raises ``VolumeInUse``."""

        def remove(api: APIClient) -> None:
            try:
                api.remove_volume(name, force=force)
            except APIError as error:
                if error.status_code == 409 and "in use" in str(error.explanation):
                    raise VolumeInUse("Containers still use this volume. Remove them first.") from error
                raise

        try:
            self._client.call(remove)
        except VolumeNotFound:
            return

    def undo(self, name: str, operation_id: str) -> None:
        """Remove what an operation made: only with that operation's label, and while nobody uses it."""
        mark = self.mark(name)
        if mark is None or mark[1] != operation_id:
            return
        try:
            self.remove(name)
        except VolumeInUse:
            return

    def allowed(self, name: str, grants: Grants, project_id: str) -> None:
        """Raises ``VolumeNotFound`` unless a project may use the volume of this name, as the engine
        has it now; alike for one that is not there and one of somebody else."""
        mark = self.mark(name)
        if mark is None or not grants.allows("volume", name, mark[0], project_id):
            raise volume_absent(name)

    def sizes(self, *, quick: bool = True) -> dict[str, int]:
        """Bytes by name, of those whose driver can tell; the engine measures them now, which takes
        long where there is much."""

        def usage(api: APIClient) -> Any:
            major, _, minor = self._client.negotiated().partition(".")
            by_type = (int(major), int(minor)) >= _DF_BY_TYPE
            params = {"type": "volume"} if by_type else {}
            return api._result(api._get(api._url("/system/df"), params=params), True)

        rows = as_list(self._client.call(usage, quick=quick).get("Volumes"))
        found = {str(row.get("Name")): (row.get("UsageData") or {}).get("Size", -1) for row in rows}
        return {name: int(size) for name, size in found.items() if isinstance(size, int) and size >= 0}


def volume_absent(name: str) -> VolumeNotFound:
    return VolumeNotFound(f"There is no volume “{name[:100]}”.", name=name[:100])


def name_taken(name: str) -> NameConflict:
    return NameConflict(f"There is already a volume “{name}” on this node. Take another name.", name=name)


def volume_info(row: Mapping[str, Any]) -> ResourceInfo:
    """One entry of the list, or one inspected volume."""
    labels = {str(key): str(value) for key, value in (row.get("Labels") or {}).items()}
    name = str(row["Name"])
    return ResourceInfo(
        kind="volume",
        engine_id=name,
        name=name,
        project_id=labels.get(LABEL_PROJECT, ""),
        created_at=time_parse(str(row.get("CreatedAt", ""))),
        data={
            "driver": str(row.get("Driver", "")),
            "scope": str(row.get("Scope", "")),
            "anonymous": _ANONYMOUS_LABEL in labels or bool(_ANONYMOUS_NAME.fullmatch(name)),
            "options": secrets_masked(row.get("Options") or {}),
            "labels": secrets_masked(labels),
        },
    )


def _create_call(wanted: VolumeWanted, labels: Mapping[str, str]) -> Callable[[APIClient], Any]:
    body = {
        "Name": wanted.name,
        "Driver": wanted.driver,
        "DriverOpts": dict(wanted.options),
        "Labels": dict(labels),
    }

    def create(api: APIClient) -> None:
        try:
            api._raise_for_status(api._post_json(api._url("/volumes/create"), data=body))
        except APIError as error:
            if "plugin" in str(error.explanation).lower():
                raise InvalidInput.field("driver", "is not on this engine, or does not answer.") from error
            raise

    return create
