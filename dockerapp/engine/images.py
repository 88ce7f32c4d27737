"""Images of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.types import ResourceInfo
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.inspect import unix_time

_UNTAGGED = "<none>:<none>"


class Images:
    """What one engine can do with images. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        """One entry an image, whatever its tags; intermediate layers are left out."""
        return [_info(row) for row in self._client.call(lambda api: api.images())]


def _info(row: Mapping[str, Any]) -> ResourceInfo:
    tags = sorted(str(tag) for tag in as_list(row.get("RepoTags")) if tag != _UNTAGGED)
    digests = sorted(str(word) for word in as_list(row.get("RepoDigests")) if "<none>" not in str(word))
    engine_id = str(row["Id"])
    fallback = f"{digests[0].partition('@')[0]}@…" if digests else "<untagged>"
    return ResourceInfo(
        kind="image",
        engine_id=engine_id,
        name=tags[0] if tags else fallback,
        size_bytes=int(row.get("Size") or 0),
        created_at=unix_time(row.get("Created")),
        data={"tags": tags, "digests": digests, "labels": dict(row.get("Labels") or {})},
    )
