"""What was found in a file from outside; known to the engine, which looks, and to the services, which ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImportDisk:
    """A part of the file: an image in ``format``, ``size`` bytes from ``offset``."""

    format: str
    virtual_bytes: int
    offset: int
    size: int


@dataclass(frozen=True)
class ImportLook:
    """What a file says of the machine in it; a bare disk says only its size. ``nics`` is None then."""

    format: str
    disks: tuple[ImportDisk, ...]
    name: str = ""
    cpus: int | None = None
    memory_bytes: int | None = None
    firmware: str = ""
    bus: str = ""
    description: str = ""
    nics: int | None = None
    notes: tuple[str, ...] = ()
