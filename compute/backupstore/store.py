"""What a place for backups must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compute.errors import BackendError, NotFound

# How much of an object is held in memory at once.
CHUNK_BYTES = 1024 * 1024


class ObjectNotFound(NotFound):
    """There is no object of this key."""


class StoreError(BackendError):
    """The place refused, is full, or broke off."""


@dataclass(frozen=True)
class Entry:
    """One object: its key and its size in bytes."""

    key: str
    size_bytes: int


class Store(ABC):
    """Objects by key. A key is words between slashes, made by LibGo (never by a person). Methods raise
    ``StoreError``, ``BackendUnavailable`` when the place cannot be reached, and ``ObjectNotFound``."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Write an object whole or not at all: it is there, and lasting, once this returns its size.
        Whatever ``chunks`` raises goes through, and leaves nothing."""

    @abstractmethod
    def get(self, key: str) -> Iterator[bytes]:
        """Its bytes, in bounded pieces."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Entry]:
        """The objects whose key begins with ``prefix``, which ends with a slash."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Gone afterwards; absent is fine."""

    def clear(self, prefix: str) -> int:
        """Remove all that begins with ``prefix``, unfinished writes too; how many objects that were."""
        keys = [entry.key for entry in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)


def pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly ``size``, but for the last one, which is never empty unless
    there was nothing."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > size:
            yield bytes(held[:size])
            del held[:size]
    yield bytes(held)
