"""One backup in a store: its parts, and a manifest that is written last.

Below ``backups/<id>/`` lie ``parts/<number>-<name>`` and ``manifest.json``, all of them sealed. Without a
manifest there is no backup, however many parts there are; so one that was broken off is none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from compute.backupstore.crypt import opened, sealed
from compute.backupstore.store import ObjectNotFound, Store
from compute.errors import BackupDamaged, NotFound

VERSION = 1
_MANIFEST = "manifest.json"
_MANIFEST_MAX_BYTES = 16 * 1024**2
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")

# Called with the bytes of each chunk that went through; raises to stop.
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """``size_bytes`` and ``sha256`` (hexadecimal) are those of the content before it was sealed."""

    name: str
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """``definition`` is what the backend needs to make it anew, ``instance`` what it was."""

    backup_id: str
    created_at: str
    backend: str
    instance: Mapping[str, Any]
    definition: Mapping[str, Any]
    parts: tuple[Part, ...] = ()
    version: int = VERSION
    libgo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


def prefix_of(backup_id: str) -> str:
    return f"backups/{backup_id}/"


class BackupWriter:
    """Puts parts, one after another, and the manifest at the end."""

    def __init__(self, store: Store, backup_id: str, key: bytes, watch: Watch = lambda count: None) -> None:
        self._store, self._key, self._watch = store, key, watch
        self._prefix = prefix_of(backup_id)
        self.parts: list[Part] = []

    def part(self, name: str, chunks: Iterable[bytes]) -> Part:
        """``name`` is a word for people and for the backend; unique in a backup."""
        if not _NAME.fullmatch(name) or any(part.name == name for part in self.parts):
            raise ValueError(f"no name for a part: {name}")
        key = f"{self._prefix}parts/{len(self.parts) + 1:04d}-{name}"
        digest, size = hashlib.sha256(), 0

        def measured() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                self._watch(len(chunk))
                yield chunk

        self._store.put(key, sealed(measured(), self._key, key))
        made = Part(name, key, size, digest.hexdigest())
        self.parts.append(made)
        return made

    def finish(self, manifest: Manifest) -> Manifest:
        """From now on it is a backup."""
        whole = Manifest(**{**_shallow(manifest), "parts": tuple(self.parts)})
        data = json.dumps(asdict(whole), ensure_ascii=False, sort_keys=True).encode()
        key = self._prefix + _MANIFEST
        self._store.put(key, sealed([data], self._key, key))
        return whole


class BackupReader:
    """Reads one backup, and believes nothing that it has not compared."""

    def __init__(
        self, store: Store, backup_id: str, keys: Sequence[bytes], watch: Watch = lambda count: None
    ) -> None:
        self._store, self._keys, self._watch = store, keys, watch
        self._id = backup_id
        self.manifest = self._manifest()

    def names(self) -> list[str]:
        return [part.name for part in self.manifest.parts]

    def size_bytes(self, name: str) -> int:
        return self._named(name).size_bytes

    def part(self, name: str) -> Iterator[bytes]:
        """Its content. Raises ``BackupDamaged``, at the latest behind its last byte, when it is not what
        was written, ``ObjectNotFound`` when it is gone."""
        wanted = self._named(name)
        digest, size = hashlib.sha256(), 0
        for chunk in opened(self._store.get(wanted.key), self._keys, wanted.key):
            digest.update(chunk)
            size += len(chunk)
            self._watch(len(chunk))
            yield chunk
        if size != wanted.size_bytes or digest.hexdigest() != wanted.sha256:
            raise BackupDamaged(f"The part “{name}” is not what was backed up: its check sum differs.")

    def verify(self) -> int:
        """Read everything; the bytes that were compared. Raises as ``part`` does."""
        for part in self.manifest.parts:
            for _ in self.part(part.name):
                continue
        return self.manifest.size_bytes

    def _named(self, name: str) -> Part:
        found = next((part for part in self.manifest.parts if part.name == name), None)
        if found is None:
            raise BackupDamaged(f"This backup has no part “{name[:80]}”.")
        return found

    def _manifest(self) -> Manifest:
        key, data = prefix_of(self._id) + _MANIFEST, b""
        try:
            for chunk in opened(self._store.get(key), self._keys, key):
                data += chunk
                if len(data) > _MANIFEST_MAX_BYTES:
                    raise BackupDamaged("The manifest of this backup is larger than any that LibGo writes.")
        except ObjectNotFound as error:
            raise NotFound(
                "The target holds no such backup: its manifest is not there. It was removed there, or never "
                "finished."
            ) from error
        return _manifest_read(data, self._id)


def backup_remove(store: Store, backup_id: str) -> None:
    """Gone afterwards, whole or unfinished. The manifest goes first: what is left then is no backup."""
    store.delete(prefix_of(backup_id) + _MANIFEST)
    store.clear(prefix_of(backup_id))


def _manifest_read(data: bytes, backup_id: str) -> Manifest:
    try:
        given = json.loads(data)
        parts = tuple(Part(**part) for part in given.pop("parts"))
        found = Manifest(**given, parts=parts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupDamaged("The manifest of this backup cannot be read.") from error
    if found.version != VERSION:
        raise BackupDamaged(
            f"This backup was written by another LibGo (layout {found.version}, ours is {VERSION})."
        )
    if found.backup_id != backup_id:
        raise BackupDamaged("The manifest is that of another backup.")
    return found


def _shallow(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}
