"""What takes space on an engine's disk; shared by those who measure it and those who show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# In this order: what goes first may be what held the next.
KINDS = ("containers", "networks", "volumes", "images", "build_cache")


@dataclass(frozen=True)
class Piece:
    """One thing on the engine's disk. ``is_free``: nothing needs it; ``is_plain``: it is thrown away
    without a second thought (an image without a name)."""

    kind: str
    engine_id: str
    name: str
    size_bytes: int | None = None
    is_free: bool = False
    is_plain: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_bytes(self) -> int:
        """Without what others share."""
        return int(self.details.get("unique_bytes", self.size_bytes or 0))


def freed_by(pieces: Iterable[Piece]) -> int:
    """Bytes that go with these; layers that others share stay."""
    return sum(piece.own_bytes for piece in pieces)
