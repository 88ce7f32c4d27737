"""What the engine says of itself and of what containers can be made from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from docker import APIClient

from compute.backends.capabilities import Capability
from compute.backends.types import HostNetwork, ImageInfo, NodeInfo
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.errors import answer_errors

# What other engines that speak Docker's API answer with "not found" (measured on Podman 4.3).
# Backups: it answers with an error of its own when an image is asked for by an id that it does not have, and
# shows the limits of its configuration as each container's, which only administrators may ask for again.
_LACKING = {"podman": frozenset({Capability.RESIZE, Capability.RECONFIGURE, Capability.BACKUP})}
_INFO_MORE_S = 1.5
_WARNINGS_MAX, _WARNING_CHARS = 20, 300


def node_info(client: EngineClient, capabilities: frozenset[Capability]) -> NodeInfo:
    """Within the connection deadline and a little more: the engine's ``/info``."""
    info = engine_info(client)
    total, free = _disk(client, info)
    return NodeInfo(
        version=str(info.get("ServerVersion", "")),
        api_version=client.negotiated(),
        hostname=str(info.get("Name", "")),
        capabilities=capabilities - _LACKING.get(client.product, frozenset()),
        cpu_cores=float(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        storage_total_bytes=total,
        storage_used_bytes=None if total is None or free is None else total - free,
        details={
            "operating_system": info.get("OperatingSystem", ""),
            "kernel": info.get("KernelVersion", ""),
            "storage_driver": info.get("Driver", ""),
            "cgroup_version": info.get("CgroupVersion", ""),
            "images": info.get("Images", 0),
            "architecture": info.get("Architecture", ""),
            "engine": client.product,
            "live_restore": bool(info.get("LiveRestoreEnabled")),
            "warnings": warnings_of(info),
        },
    )


def engine_info(client: EngineClient) -> Mapping[str, Any]:
    """What ``/info`` says."""
    return engine_asked(client, "/info")


def engine_asked(client: EngineClient, path: str) -> Mapping[str, Any]:
    """What the engine says of itself; Podman takes a second or two for it."""
    timeout_s = client.node.connect_timeout_s + _INFO_MORE_S

    def ask(api: APIClient) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = api._result(api._get(api._url(path), timeout=timeout_s), True)
        return answer

    return client.call(ask, quick=True)


def disk_free(client: EngineClient) -> int | None:
    """The bytes that are free where the engine keeps everything; None when nobody tells."""
    return _disk(client, engine_info(client))[1]


def _disk(client: EngineClient, info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The bytes of the disk that the engine keeps everything on, and those that are free. Our own machine is
    asked itself. Docker's API has no question for it: of an engine elsewhere only its storage driver may
    tell, and that of ZFS alone does."""
    if client.is_local:
        try:
            usage = shutil.disk_usage(str(info.get("DockerRootDir") or ""))
        except OSError:
            return None, None
        return usage.total, usage.free
    rows = info.get("DriverStatus")
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
    told = {str(name): str(value) for name, value in pairs}
    used, free = (told.get(name, "") for name in ("Space Used By Parent", "Space Available"))
    if not (used.isdigit() and free.isdigit()):
        return None, None
    return int(used) + int(free), int(free)


def warnings_of(info: Mapping[str, Any]) -> list[str]:
    """What the engine warns of, bounded."""
    return [str(text)[:_WARNING_CHARS] for text in as_list(info.get("Warnings"))[:_WARNINGS_MAX]]


@answer_errors("an image")
def image_list(client: EngineClient) -> list[ImageInfo]:
    """One entry a tag; images without a tag cannot be asked for by name and are left out."""
    found = []
    for row in client.call(lambda api: api.images()):
        created = row.get("Created")
        at = datetime.fromtimestamp(int(created), timezone.utc) if created else None
        for tag in as_list(row.get("RepoTags")):
            if tag != "<none>:<none>":
                found.append(ImageInfo(str(tag), int(row.get("Size") or 0), at))
    return sorted(found, key=lambda image: image.name)


@answer_errors("a network")
def network_list(client: EngineClient) -> list[HostNetwork]:
    return sorted((_network(row) for row in client.call(lambda api: api.networks())), key=lambda n: n.name)


def _network(row: Mapping[str, Any]) -> HostNetwork:
    configs = as_list((row.get("IPAM") or {}).get("Config"))
    subnet = str(configs[0].get("Subnet", "")) if configs else ""
    return HostNetwork(str(row.get("Name", "")), str(row.get("Driver", "")), True, subnet)
