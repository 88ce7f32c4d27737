"""Check a configuration against an allow-list: what every backend does first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compute.errors import InvalidInput

# Takes the field's name and its value; gives the typed value or raises ``InvalidInput``.
Check = Callable[[str, Any], Any]


def config_checked(config: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Every key known and well formed; null is as good as absent. Raises ``InvalidInput`` keyed
    ``config.<key>``."""
    if not isinstance(config, Mapping):
        raise InvalidInput.field("config", "must be an object.")
    checked: dict[str, Any] = {}
    for key, value in config.items():
        check = checks.get(str(key))
        if check is None:
            raise InvalidInput.field(f"config.{key}", f"is not one of {', '.join(sorted(checks))}.")
        if value is not None:
            checked[key] = check(f"config.{key}", value)
    return checked
