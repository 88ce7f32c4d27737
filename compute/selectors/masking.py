"""Hide what looks like a secret in configurations and labels before anyone reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
_SECRET = re.compile(r"pass|secret|token|api_?key|private|credential|auth|dsn|database_url", re.IGNORECASE)


def mapping_masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys; values of secret-looking keys replaced."""
    return {key: MASK if value and _SECRET.search(key) else value for key, value in values.items()}


def config_masked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as everyone with ``read`` may see it: env by key, cloud-init only by name."""
    shown = dict(config)
    if isinstance(shown.get("env"), Mapping):
        shown["env"] = mapping_masked(shown["env"])
    if isinstance(shown.get("cloud_init"), Mapping):
        shown["cloud_init"] = {key: MASK if value else value for key, value in shown["cloud_init"].items()}
    return shown
