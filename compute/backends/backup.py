"""What a backend and a backup say to each other: named parts, one after another, as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class BackupSpec:
    """Whose backup it is; the ids are written on whatever is made on the way."""

    instance_id: str
    operation_id: str
    project_id: str


@dataclass(frozen=True)
class RestoreNames:
    """``name``: what the restored instance will be called. ``taken``: by kind of thing (``volume``) the
    names that its node has already. ``beside``: the instance it was taken of is there, so it shall have no
    fixed addresses and ports of its own host."""

    name: str
    beside: bool = False
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)


class BackupSink(Protocol):
    """Where parts go."""

    def part(self, name: str, chunks: Iterable[bytes]) -> object:
        """Store one part under a name of small letters, digits, dots and dashes."""


class BackupSource(Protocol):
    """Where parts come from. What comes is compared; a difference raises ``BackupDamaged`` at the latest
    behind the last byte, so use nothing before a part was read to its end."""

    @property
    def definition(self) -> Mapping[str, Any]:
        """What ``Backend.instance_backup`` returned."""

    def size_bytes(self, name: str) -> int:
        """Of one part."""

    def part(self, name: str) -> Iterator[bytes]:
        """Its content."""
