"""From the row of a target to the place itself, with its credentials opened for this one use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from compute.backupstore.archive import BackupReader, BackupWriter
from compute.backupstore.local import LocalStore, folder_below
from compute.backupstore.s3 import S3Place, S3Store
from compute.backupstore.store import Store
from compute.errors import NotFound
from compute.models import Backup, BackupTarget
from compute.sealing import backup_keys, unseal

LOCAL, S3 = "local", "s3"


def local_roots() -> list[str]:
    """The folders below which a local target may lie."""
    return settings.LIBGO["backups"]["local_roots"] or [str(Path(settings.VAR_DIR) / "backups")]


def store_of(target: BackupTarget) -> Store:
    """Raises ``PolicyDenied`` for a folder that the configuration no longer opens, and
    ``BackendUnavailable`` when its credentials do not open."""
    if target.kind == LOCAL:
        return LocalStore(folder_below(str(target.options.get("folder", "")), local_roots()))
    return S3Store(S3Place(**target.options, **(unseal(target.secrets) or {})))


def reader_of(backup_id: str, watch: Callable[[int], None]) -> BackupReader:
    """Raises ``NotFound`` when the backup is gone, here or in its target."""
    return BackupReader(store_of(backup_row(backup_id).target), backup_id, backup_keys(), watch)


def writer_of(backup: Backup, watch: Callable[[int], None]) -> BackupWriter:
    return BackupWriter(store_of(backup.target), str(backup.pk), backup_keys()[0], watch)


def backup_row(backup_id: Any) -> Backup:
    """Raises ``NotFound``."""
    row = Backup.objects.select_related("target", "project").filter(pk=backup_id).first()
    if row is None:
        raise NotFound("This backup is gone.")
    return row


class RestoreSource:
    """A backup as backends read it."""

    def __init__(self, reader: BackupReader) -> None:
        self._reader = reader

    @property
    def definition(self) -> Any:
        return self._reader.manifest.definition

    def size_bytes(self, name: str) -> int:
        return self._reader.size_bytes(name)

    def part(self, name: str) -> Any:
        return self._reader.part(name)
