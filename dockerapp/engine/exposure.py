"""What of a container, as it is, reaches past its walls to the host: named rule by rule.

Read from the engine's own description, because a container may have been made outside, by an
administrator, or by a newer LibGo than this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockerapp.engine.client import as_list

# Options that take rights away; every other one may give some.
_HARMLESS_OPTIONS = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
_RUNTIMES = ("", "runc", "io.containerd.runc.v2")
_MODES = {
    "NetworkMode": "network",
    "PidMode": "pid",
    "IpcMode": "ipc",
    "UTSMode": "uts",
    "UsernsMode": "user",
}
_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "libvirt-sock")


@dataclass(frozen=True)
class Exposure:
    """``rules`` are broken outright. ``shares_with`` are engine ids of containers whose name spaces or
    volumes it uses; ``volumes`` the names of those it mounts; ``host_paths`` what of the host it sees."""

    rules: tuple[str, ...] = ()
    shares_with: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()


def exposure_of(doc: Mapping[str, Any]) -> Exposure:
    """From the answer to ``GET /containers/{id}/json``."""
    host = doc.get("HostConfig") or {}
    mounts = as_list(doc.get("Mounts"))
    paths = tuple(str(m.get("Source", "")) for m in mounts if m.get("Type") in ("bind", "npipe"))
    broken = {
        "privileged": bool(host.get("Privileged")),
        **{f"host_{word}": str(host.get(key) or "") == "host" for key, word in _MODES.items()},
        "engine_socket": any(path.endswith(_SOCKETS) for path in paths),
        "added_capabilities": bool(as_list(host.get("CapAdd"))),
        "devices": any(host.get(key) for key in ("Devices", "DeviceRequests", "DeviceCgroupRules")),
        "security_options": _weakened(host),
        "runtime": str(host.get("Runtime") or "") not in _RUNTIMES,
        "cgroup_parent": bool(host.get("CgroupParent")),
    }
    return Exposure(
        rules=tuple(rule for rule, is_so in broken.items() if is_so),
        shares_with=_shared(host),
        volumes=tuple(str(m.get("Name", "")) for m in mounts if m.get("Type") == "volume"),
        host_paths=paths,
    )


def _weakened(host: Mapping[str, Any]) -> bool:
    options = [str(word) for word in as_list(host.get("SecurityOpt"))]
    # With “systempaths=unconfined” the list of hidden paths is there and empty.
    return host.get("MaskedPaths") == [] or any(word not in _HARMLESS_OPTIONS for word in options)


def _shared(host: Mapping[str, Any]) -> tuple[str, ...]:
    modes = [str(host.get(key) or "") for key in _MODES]
    named = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
    return tuple([*named, *(str(item).partition(":")[0] for item in as_list(host.get("VolumesFrom")))])
