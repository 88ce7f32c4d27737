"""Which images nothing needs, and how much room they take that nothing else shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from docker import APIClient

from compute.backends.types import Reporter
from compute.errors import ImageNotFound
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.inspect import unix_time

_UNTAGGED = "<none>:<none>"


def prune_preview(client: EngineClient, report: Reporter, *, unused: bool) -> dict[str, Any]:
    """``{"items": [{id, tags, size_bytes, unique_bytes, created_at}], "reclaimed_bytes"}``.

    A layer counts when no image and no container that stays needs it; so the sum is what the disk
    gets back, where adding up the images' sizes would promise far too much.
    """
    rows = client.call(lambda api: api.images())
    used = {str(row.get("ImageID")) for row in client.call(lambda api: api.containers(all=True))}
    going = [row for row in rows if str(row["Id"]) not in used and (unused or not _tags(row))]
    gone_ids = {str(row["Id"]) for row in going}
    kept_layers: set[str] = set()
    layers: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows):
        report.progress(100 * number / len(rows), "Weighing layers")
        found = _layers(client, str(row["Id"]), sizes=str(row["Id"]) in gone_ids)
        layers[str(row["Id"])] = found
        if str(row["Id"]) not in gone_ids:
            kept_layers.update(found)
    freed: dict[str, int] = {}
    items = []
    for row in going:
        own = {key: size for key, size in layers[str(row["Id"])].items() if key not in kept_layers}
        freed.update(own)
        items.append(_item(row, sum(own.values())))
    return {"items": items, "reclaimed_bytes": sum(freed.values())}


def prune(client: EngineClient, *, unused: bool) -> dict[str, Any]:
    """``{"deleted": [ids], "untagged": [names], "reclaimed_bytes"}``."""

    def run(api: APIClient) -> Any:
        filters = {"dangling": ["false" if unused else "true"]}
        url = api._url("/images/prune")
        # Deleting many layers takes the engine longer than a usual call.
        params = {"filters": json.dumps(filters)}
        return api._result(api._post(url, params=params, timeout=max(600.0, api.timeout)), True)

    answer: Mapping[str, Any] = client.call(run) or {}
    rows = as_list(answer.get("ImagesDeleted"))
    return {
        "deleted": [str(row["Deleted"]) for row in rows if row.get("Deleted")],
        "untagged": [str(row["Untagged"]) for row in rows if row.get("Untagged")],
        "reclaimed_bytes": int(answer.get("SpaceReclaimed") or 0),
    }


def _tags(row: Mapping[str, Any]) -> list[str]:
    return sorted(str(tag) for tag in as_list(row.get("RepoTags")) if tag != _UNTAGGED)


def _item(row: Mapping[str, Any], unique_bytes: int) -> dict[str, Any]:
    created = unix_time(row.get("Created"))
    return {
        "engine_id": str(row["Id"]),
        "tags": _tags(row),
        "size_bytes": int(row.get("Size") or 0),
        "unique_bytes": unique_bytes,
        "created_at": created.isoformat().replace("+00:00", "Z") if created else None,
    }


def _layers(client: EngineClient, image: str, *, sizes: bool) -> dict[str, int]:
    """Its layers by digest, with their sizes when asked for. One that vanished meanwhile has none."""
    try:
        doc = client.call(lambda api: api.inspect_image(image))
        rows = client.call(lambda api: api.history(image)) if sizes else []
    except ImageNotFound:
        return {}
    digests = [str(digest) for digest in as_list((doc.get("RootFS") or {}).get("Layers"))]
    # The history has a line for each instruction; those that made no layer have no size.
    made = [int(row["Size"]) for row in reversed(rows) if row.get("Size")]
    if len(made) != len(digests):
        made += [0] * (len(digests) - len(made))
    # A layer is the same only on top of the same ones.
    chained, found = "", {}
    for digest, size in zip(digests, made, strict=False):
        chained = hashlib.sha256(f"{chained} {digest}".encode()).hexdigest()
        found[chained] = size
    return found
