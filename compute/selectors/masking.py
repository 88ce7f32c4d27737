"""Hide what looks like a secret in configurations and labels before anyone reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
# Of a configuration: those whose values may be secrets, by name.
SECRET_MAPPINGS = ("env", "log_options")
_SECRET = re.compile(
    r"pass|secret|token|(?:api|access)_?key|[_-]key$|[_-]pwd$|private|credential|auth|dsn|database_url",
    re.IGNORECASE,
)
# As in ``postgres://app:password@db/app``.
_WITHIN_ADDRESS = re.compile(r"://[^/\s@:]{0,200}:[^/\s@]{1,200}@")


def mapping_masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys; values of secret-looking keys replaced."""
    return {key: MASK if value and _SECRET.search(key) else value for key, value in values.items()}


def is_secret(key: str, value: Any) -> bool:
    """Whether a variable is one by its name, or by a password in the address that it holds."""
    return bool(value) and bool(_SECRET.search(key) or _WITHIN_ADDRESS.search(str(value)))


def variables_masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Variables as everyone with ``read`` may see them; those that lie sealed are secrets."""
    return {
        key: MASK if isinstance(value, Mapping) or is_secret(key, value) else value
        for key, value in values.items()
    }


def config_masked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as everyone with ``read`` may see it: env by key, cloud-init only by name."""
    shown = dict(config)
    for name in SECRET_MAPPINGS:
        if isinstance(shown.get(name), Mapping):
            shown[name] = variables_masked(shown[name])
    if isinstance(shown.get("cloud_init"), Mapping):
        shown["cloud_init"] = {key: MASK if value else value for key, value in shown["cloud_init"].items()}
    return shown
