"""The engine as a whole: what it is, what its disk is used for, and what could be given back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.types import LABEL_OPERATION, LABEL_PROJECT
from compute.errors import InvalidState, RateLimited
from dockerapp.engine.advice import engine_advice
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.host import engine_asked, engine_info, warnings_of
from dockerapp.pieces import Piece

_MEASURE_WITHIN_S, _TURN_WITHIN_S = 20.0, 2.0
_UNTAGGED = "<none>:<none>"
_STAYS = ("running", "paused", "restarting", "removing")
_USER_INFO = re.compile(r"//[^/@]*@")
_LIST_MAX = 50
_OWN_NETWORKS = {"bridge", "host", "none", "podman"}


class System:
    """What one engine tells of itself. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._turn = threading.Lock()
        self._measured: tuple[float, list[Piece]] = (-1.0, [])

    def info(self) -> dict[str, Any]:
        """A typed part of ``/info``; what tells of the host's inside is under ``private``."""
        raw, client = engine_info(self._client), self._client
        version, restores = _text(raw.get("ServerVersion")), bool(raw.get("LiveRestoreEnabled"))
        security = [_text(item) for item in as_list(raw.get("SecurityOptions"))[:_LIST_MAX]]
        return {
            "engine": client.product,
            "id": _text(raw.get("ID")),
            "name": _text(raw.get("Name")),
            "version": version,
            "api_version": client.negotiated(),
            "operating_system": _text(raw.get("OperatingSystem")),
            "os_type": _text(raw.get("OSType")),
            "architecture": _text(raw.get("Architecture")),
            "kernel": _text(raw.get("KernelVersion")),
            "cpu_cores": _number(raw.get("NCPU")),
            "memory_bytes": _number(raw.get("MemTotal")),
            "storage_driver": _text(raw.get("Driver")),
            "cgroup_driver": _text(raw.get("CgroupDriver")),
            "cgroup_version": _text(raw.get("CgroupVersion")),
            "logging_driver": _text(raw.get("LoggingDriver")),
            "default_runtime": _text(raw.get("DefaultRuntime")).rpartition("/")[2],
            "runtimes": sorted(_text(name) for name in list(raw.get("Runtimes") or {})[:_LIST_MAX]),
            "security_options": security,
            "rootless": bool(raw.get("Rootless")) or any("rootless" in word for word in security),
            "live_restore": restores,
            "swarm": _text((raw.get("Swarm") or {}).get("LocalNodeState")),
            "plugins": {
                kind.lower(): [_text(name) for name in as_list(names)[:_LIST_MAX]]
                for kind, names in (raw.get("Plugins") or {}).items()
                if kind in ("Volume", "Network", "Log", "Authorization")
            },
            "containers": {
                "total": _number(raw.get("Containers")),
                "running": _number(raw.get("ContainersRunning")),
                "paused": _number(raw.get("ContainersPaused")),
                "stopped": _number(raw.get("ContainersStopped")),
            },
            "images": _number(raw.get("Images")),
            "warnings": warnings_of(raw),
            "advice": engine_advice(version, live_restore=restores, engine=client.product),
            "private": _private(raw),
        }

    def version(self) -> dict[str, Any]:
        raw = engine_asked(self._client, "/version")
        return {
            "engine": self._client.product,
            "version": _text(raw.get("Version")),
            "api_version": _text(raw.get("ApiVersion")),
            "min_api_version": _text(raw.get("MinAPIVersion")),
            "negotiated_api_version": self._client.negotiated(),
            "git_commit": _text(raw.get("GitCommit")),
            "go_version": _text(raw.get("GoVersion")),
            "os": _text(raw.get("Os")),
            "architecture": _text(raw.get("Arch")),
            "kernel": _text(raw.get("KernelVersion")),
            "build_time": _text(raw.get("BuildTime")),
            "components": [
                {
                    # Some name the place of a program in brackets.
                    "name": _text(part.get("Name")).partition(" (/")[0],
                    "version": _text(part.get("Version")).partition("\n")[0],
                }
                for part in as_list(raw.get("Components"))[:_LIST_MAX]
            ],
        }

    def disk(self) -> list[Piece]:
        """Everything that takes space, measured now. The engine may need long for it, so those who ask
        meanwhile get the same answer; raises ``RateLimited`` when it is not their turn soon."""
        asked_at = time.monotonic()
        if not self._turn.acquire(timeout=_TURN_WITHIN_S):
            raise RateLimited("The engine is still measuring for someone else; ask again.", retry_after=5)
        try:
            began_at, pieces = self._measured
            if began_at < asked_at:
                began_at = time.monotonic()
                pieces = _pieces(self._client.call(_usage_of))
                self._measured = (began_at, pieces)
            return pieces
        finally:
            self._turn.release()

    def idle(self, kinds: Iterable[str], *, every_image: bool = False) -> list[Piece]:
        """What nothing needs, of these ``KINDS``: images without a name, with ``every_image`` also those
        that no container uses."""
        wanted = set(kinds)
        found = [piece for piece in self.disk() if piece.kind in wanted and piece.is_free]
        found = [piece for piece in found if piece.kind != "images" or piece.is_plain or every_image]
        return found + (self._networks() if "networks" in wanted else [])

    def remove(self, piece: Piece) -> None:
        """Without force: what is needed by now stays, which raises ``InvalidState``; absent is fine."""
        ways: dict[str, Callable[[APIClient], Any]] = {
            "containers": lambda api: api.remove_container(piece.engine_id, v=False, force=False),
            "networks": lambda api: api.remove_network(piece.engine_id),
            "volumes": lambda api: api.remove_volume(piece.engine_id, force=False),
            "images": lambda api: api.remove_image(piece.engine_id, force=False, noprune=False),
        }

        def remove(api: APIClient) -> None:
            try:
                ways[piece.kind](api)
            except APIError as error:
                if error.status_code in (403, 409):
                    raise InvalidState("It is in use by now.", state="in_use") from error
                if error.status_code != 404:
                    raise

        self._client.call(remove)

    def build_cache_remove(self) -> int:
        """All of it that no build uses; the bytes that were freed."""
        answer = self._client.call(lambda api: api.prune_builds())
        return _number(answer.get("SpaceReclaimed"))

    def _networks(self) -> list[Piece]:
        """Without containers, stopped ones included: those could not start again without it."""
        rows = self._client.call(lambda api: api.networks(filters={"dangling": True}))
        users = self._client.call(lambda api: api.containers(all=True))
        used = {name for user in users for name in (user.get("NetworkSettings") or {}).get("Networks") or {}}
        return [
            Piece("networks", str(row["Id"]), _text(row.get("Name")), 0, True, details=_labelled(row))
            for row in rows
            if row.get("Name") not in _OWN_NETWORKS | used
        ]


def _usage_of(api: APIClient) -> Any:
    timeout_s = min(float(api.timeout), _MEASURE_WITHIN_S)
    return api._result(api._get(api._url("/system/df"), timeout=timeout_s), True)


def _pieces(raw: Mapping[str, Any]) -> list[Piece]:
    return [
        *(_container(row) for row in as_list(raw.get("Containers"))),
        *(_image(row) for row in as_list(raw.get("Images"))),
        *(_volume(row) for row in as_list(raw.get("Volumes"))),
        *(_cached(row) for row in as_list(raw.get("BuildCache"))),
    ]


def _container(row: Mapping[str, Any]) -> Piece:
    names = [str(name).lstrip("/") for name in as_list(row.get("Names"))]
    state = str(row.get("State", "")).lower()
    return Piece(
        "containers",
        str(row.get("Id", "")),
        _text(names[0] if names else ""),
        _number(row.get("SizeRw")),
        state not in _STAYS,
        details={"state": state[:20], **_labelled(row)},
    )


def _image(row: Mapping[str, Any]) -> Piece:
    tags = [str(tag) for tag in as_list(row.get("RepoTags")) if tag != _UNTAGGED]
    size, shared = _number(row.get("Size")), max(0, _number(row.get("SharedSize")))
    return Piece(
        "images",
        str(row.get("Id", "")),
        _text(tags[0]) if tags else "<untagged>",
        size,
        _number(row.get("Containers")) == 0,
        not tags,
        {"tags": [_text(tag) for tag in tags[:_LIST_MAX]], "unique_bytes": max(0, size - shared)},
    )


def _volume(row: Mapping[str, Any]) -> Piece:
    usage = row.get("UsageData") or {}
    size, users = int(usage.get("Size", -1)), int(usage.get("RefCount", -1))
    name = str(row.get("Name", ""))
    # Unknown use counts as use.
    return Piece(
        "volumes", name, _text(name), size if size >= 0 else None, users == 0, details=_labelled(row)
    )


def _cached(row: Mapping[str, Any]) -> Piece:
    name = _text(row.get("Description")) or _text(row.get("Type"))
    size = 0 if row.get("Shared") else _number(row.get("Size"))
    return Piece("build_cache", str(row.get("ID", "")), name, size, not row.get("InUse"))


def _labelled(row: Mapping[str, Any]) -> dict[str, Any]:
    labels = row.get("Labels") or {}
    return {
        "project_id": str(labels.get(LABEL_PROJECT, ""))[:64],
        "operation_id": str(labels.get(LABEL_OPERATION, ""))[:64],
    }


def _private(raw: Mapping[str, Any]) -> dict[str, Any]:
    registries = raw.get("RegistryConfig") or {}
    own = (registries.get("IndexConfigs") or {}).values()
    return {
        "root_dir": _text(raw.get("DockerRootDir")),
        "http_proxy": _USER_INFO.sub("//•••@", _text(raw.get("HttpProxy"))),
        "https_proxy": _USER_INFO.sub("//•••@", _text(raw.get("HttpsProxy"))),
        "no_proxy": _text(raw.get("NoProxy")),
        "insecure_registries": [
            *(_text(item) for item in as_list(registries.get("InsecureRegistryCIDRs"))[:_LIST_MAX]),
            *(_text(item.get("Name")) for item in list(own)[:_LIST_MAX] if not item.get("Secure", True)),
        ],
        "mirrors": [
            _USER_INFO.sub("//•••@", _text(item)) for item in as_list(registries.get("Mirrors"))[:_LIST_MAX]
        ],
        "labels": [_text(item) for item in as_list(raw.get("Labels"))[:_LIST_MAX]],
    }


def _text(value: Any) -> str:
    return str(value or "")[:300]


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
