"""From the body of a create or update request to typed values; every complaint names its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.backends.types import Resources
from compute.errors import InvalidInput

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_CPU_MAX = 1024.0
_MEMORY_MIN = 4 * 1024**2
_BYTES_MAX = 2**60
_LABELS_MAX = 64
_OWN_LABELS = ("libgo.instance", "libgo.operation", "libgo.project", "libgo.stack")


@dataclass(frozen=True)
class InstanceCreate:
    """The body of ``POST /compute/instances`` as given; nothing in it is trusted yet."""

    name: str
    backend: str | None = None
    node: str | None = None
    # Instead of a name: what its node must bear.
    node_labels: Mapping[str, Any] = field(default_factory=dict)
    project: str | None = None
    type: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    networks: Any = None
    storage: Any = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    auto_start: bool = True


def name_check(name: Any) -> str:
    """A name both engines accept, 1 to 63 characters. Raises ``InvalidInput``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput.field(
            "name",
            "must be 1 to 63 letters, digits, dots, dashes or underscores, and start with a letter or digit.",
        )
    return name


def resources_check(given: Any) -> Resources:
    """``{"cpu": {"cores"}, "memory": {"limit"}, "storage": {"total_space"}}``, all optional."""
    _mapping("resources", given, {"cpu", "memory", "storage"})
    cpu = _mapping("resources.cpu", given.get("cpu") or {}, {"cores"}).get("cores")
    memory = _mapping("resources.memory", given.get("memory") or {}, {"limit"}).get("limit")
    storage = _mapping("resources.storage", given.get("storage") or {}, {"total_space"}).get("total_space")
    return Resources(
        cpu_cores=_number("resources.cpu.cores", cpu, 0.01, _CPU_MAX),
        memory_bytes=_whole("resources.memory.limit", memory, _MEMORY_MIN),
        storage_bytes=_whole("resources.storage.total_space", storage, 1024**2),
    )


def labels_check(name: str, given: Any) -> dict[str, str]:
    """A flat mapping of text; LibGo's own prefix is refused."""
    if not isinstance(given, Mapping):
        raise InvalidInput.field(name, "must be an object of texts.")
    if len(given) > _LABELS_MAX:
        raise InvalidInput.field(name, f"has more than {_LABELS_MAX} entries.")
    for key, value in given.items():
        if not isinstance(key, str) or not 0 < len(key) <= 128 or not key.isprintable():
            raise InvalidInput.field(name, "keys must be printable text of 1 to 128 characters.")
        if not isinstance(value, str) or len(value) > 4096:
            raise InvalidInput.field(f"{name}.{key}", "must be text of at most 4096 characters.")
        if key in _OWN_LABELS or key.startswith("com.docker.compose."):
            raise InvalidInput.field(f"{name}.{key}", "is set by LibGo or Compose itself.")
    return dict(given)


def _mapping(name: str, given: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput.field(name, "must be an object.")
    unknown = sorted(str(key) for key in set(given) - known)
    if unknown:
        raise InvalidInput.field(f"{name}.{unknown[0]}", f"is not one of {', '.join(sorted(known))}.")
    return given


def _number(name: str, value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidInput.field(name, f"must be a number between {low:g} and {high:g}.")
    return float(value)


def _whole(name: str, value: Any, low: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= _BYTES_MAX:
        raise InvalidInput.field(name, f"must be a whole number of bytes, at least {low}.")
    return value
