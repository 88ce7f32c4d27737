"""Volumes of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.types import LABEL_PROJECT, ResourceInfo
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.inspect import time_parse


class Volumes:
    """What one engine can do with volumes. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        answer = self._client.call(lambda api: api.volumes())
        return [_info(row) for row in as_list(answer.get("Volumes"))]


def _info(row: Mapping[str, Any]) -> ResourceInfo:
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
            "options": dict(row.get("Options") or {}),
            "labels": labels,
        },
    )
