"""Helper containers: how the engine reaches what is in a volume.

A helper mounts one volume and nothing else, has no network and hardly any rights. It is made for one
piece of work and removed after it, and started only for what the engine itself cannot do. Who made it
stands on it, so the helpers of processes that died are found and removed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import socket
import tarfile
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from docker import APIClient

from compute.backends.runtime import process_started
from compute.backends.types import LABEL_PROJECT
from compute.errors import ComputeError, InstanceNotFound, InvalidState
from dockerapp.engine.client import EngineClient
from dockerapp.engine.demo import busybox_archive

LABEL_HELPER, LABEL_OWNER = "libgo.helper", "libgo.helper.owner"
MARKS = (LABEL_HELPER, LABEL_OWNER)
HELPER_NAME = "libgo-helper-"
# Where the volume is inside: a word that no error of the engine holds by chance.
HELPER_ROOT = "/libgo-volume"
_IMAGE = ("libgo/helper", "latest")
_ID = re.compile(r"[0-9a-f]{16}")
# Of other machines nothing is known but the time.
_FOREIGN_MAX_S = 6 * 3600
_EMPTY = bytes(2 * tarfile.BLOCKSIZE)


def is_helper(name: str, labels: Mapping[str, Any]) -> bool:
    """By name and label together: an image can bring a label along, but not the name."""
    mark = str(labels.get(LABEL_HELPER, ""))
    return bool(_ID.fullmatch(mark)) and name.lstrip("/") == HELPER_NAME + mark


class Helpers:
    """Helper containers of one engine. Every method raises only ``ComputeError``."""

    root = HELPER_ROOT

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def make(self, volume: str, *, project_id: str, writable: bool, whole: bool = False) -> str:
        """The engine id of a helper, not started, with the volume at ``HELPER_ROOT``. ``whole``: an archive
        may be put at its root, so that one can name the volume's own folder, whose owner no other archive
        sets. Raises ``VolumeNotFound``."""
        self.sweep()
        # A mount of a name that is not there would make a volume of that name.
        self._client.call(lambda api: api.inspect_volume(volume), quick=True)
        mark, image = secrets.token_hex(8), self._image()
        body = _body(image, volume, writable=writable)
        body["HostConfig"]["ReadonlyRootfs"] = not whole
        body["Labels"] = {LABEL_HELPER: mark, LABEL_OWNER: _owner(), LABEL_PROJECT: project_id}

        def make(api: APIClient) -> str:
            response = api._post_json(
                api._url("/containers/create"), data=body, params={"name": HELPER_NAME + mark}
            )
            return str(api._result(response, True)["Id"])

        return self._client.call(make)

    def carrier(self, image: str, command: list[str]) -> str:
        """The engine id of a helper made from an image, never started: to make another image of it. What
        its marks leave on that one must be emptied (``MARKS``)."""
        mark = secrets.token_hex(8)
        body: dict[str, Any] = {
            "Image": image,
            "Labels": {LABEL_HELPER: mark, LABEL_OWNER: _owner()},
            "NetworkDisabled": True,
            "HostConfig": {"NetworkMode": "none"},
            **({"Cmd": command} if command else {}),
        }

        def make(api: APIClient) -> str:
            url = api._url("/containers/create")
            return str(
                api._result(api._post_json(url, data=body, params={"name": HELPER_NAME + mark}), True)["Id"]
            )

        return self._client.call(make)

    def start(self, engine_id: str) -> None:
        self._client.call(lambda api: api.start(engine_id))

    def remove(self, engine_id: str) -> None:
        """Gone afterwards, or just going: another process may sweep at this moment. Absent is fine."""
        try:
            self._client.call(lambda api: api.remove_container(engine_id, v=True, force=True))
        except InstanceNotFound:
            return
        except InvalidState as error:
            if "already in progress" not in error.message:
                raise

    def sweep(self) -> int:
        """Remove the helpers of those who cannot do it any more; how many."""
        found = self._client.call(lambda api: api.containers(all=True, filters={"label": [LABEL_HELPER]}))
        count = 0
        for row in found:
            labels = row.get("Labels") or {}
            name = str((row.get("Names") or [""])[0])
            if is_helper(name, labels) and _is_orphan(str(labels.get(LABEL_OWNER, "")), row.get("Created")):
                self.remove(str(row["Id"]))
                count += 1
        return count

    def _image(self) -> str:
        """The id of the helper's image, made when it is missing or was replaced by another."""
        archive = self._archive()
        layer = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        name = ":".join(_IMAGE)
        try:
            doc = self._client.call(lambda api: api.inspect_image(name))
            if (doc.get("RootFS") or {}).get("Layers") == [layer]:
                return str(doc["Id"])
        except ComputeError as error:
            if error.code != "IMAGE_NOT_FOUND":
                raise
        self._client.call(
            lambda api: api.import_image_from_data(
                archive, repository=_IMAGE[0], tag=_IMAGE[1], changes=[f"LABEL {LABEL_HELPER}=image"]
            )
        )
        return str(self._client.call(lambda api: api.inspect_image(name))["Id"])

    def _archive(self) -> bytes:
        """With a shell where this machine's busybox runs on the engine's."""
        host = self._client.call(lambda api: api.version()).get("Arch", "")
        own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        return _tools() if host == own else _EMPTY


@lru_cache(maxsize=1)
def _tools() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        return _EMPTY
    try:
        return busybox_archive(Path(busybox))
    except ComputeError:
        return _EMPTY


def _body(image: str, volume: str, *, writable: bool) -> dict[str, Any]:
    return {
        "Image": image,
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "sleep 3600"],
        "User": "0:0",
        "WorkingDir": "/",
        "Env": ["PATH=/bin"],
        "NetworkDisabled": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": 128 * 1024**2,
            "PidsLimit": 64,
            "LogConfig": {"Type": "none"},
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": volume,
                    "Target": HELPER_ROOT,
                    "ReadOnly": not writable,
                    "VolumeOptions": {"NoCopy": True},
                }
            ],
        },
    }


@lru_cache(maxsize=8)
def _owner_of(pid: int) -> str:
    return f"{socket.gethostname()}/{pid}/{process_started(pid)}"


def _owner() -> str:
    return _owner_of(os.getpid())


def _is_orphan(owner: str, created: Any) -> bool:
    host, _, rest = owner.rpartition("/")[0].partition("/")
    born = owner.rpartition("/")[2]
    if host == socket.gethostname() and rest.isdigit():
        return process_started(int(rest)) != born
    return isinstance(created, (int, float)) and time.time() - created > _FOREIGN_MAX_S
