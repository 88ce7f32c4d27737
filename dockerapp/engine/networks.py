"""Networks of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.types import LABEL_PROJECT, ResourceInfo
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.inspect import time_parse


class Networks:
    """What one engine can do with networks. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        return [_info(row) for row in self._client.call(lambda api: api.networks())]


def _info(row: Mapping[str, Any]) -> ResourceInfo:
    labels = {str(key): str(value) for key, value in (row.get("Labels") or {}).items()}
    pools = [
        {
            "subnet": str(item.get("Subnet", "")),
            "gateway": str(item.get("Gateway", "")),
            "ip_range": str(item.get("IPRange", "")),
        }
        for item in as_list((row.get("IPAM") or {}).get("Config"))
    ]
    return ResourceInfo(
        kind="network",
        engine_id=str(row["Id"]),
        name=str(row.get("Name", "")),
        project_id=labels.get(LABEL_PROJECT, ""),
        created_at=time_parse(str(row.get("Created", ""))),
        data={
            "driver": str(row.get("Driver", "")),
            "scope": str(row.get("Scope", "")),
            "internal": bool(row.get("Internal")),
            "attachable": bool(row.get("Attachable")),
            "ipv6": bool(row.get("EnableIPv6")),
            "ipam": pools,
            "options": dict(row.get("Options") or {}),
            "labels": labels,
        },
    )
