"""What a guest is told at its first start: sealed until the worker writes it into the seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.sealing import seal


def cloud_init_sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its ``cloud_init`` (passwords, keys, scripts) sealed; ``fields`` says what
    is in it."""
    given = config.get("cloud_init")
    if not given or "sealed" in given:
        return dict(config)
    return {**config, "cloud_init": {"sealed": seal(given), "fields": sorted(given)}}
