"""Backups in a folder of LibGo's own host, such as a mounted share."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from compute.backupstore.store import CHUNK_BYTES, Entry, ObjectNotFound, Store, StoreError
from compute.errors import BackendUnavailable, InvalidInput, PolicyDenied

# What is being written bears this ending; a reader never takes it for an object.
_UNFINISHED = ".part"


def folder_below(folder: str, roots: Iterable[str]) -> Path:
    """The folder with all links resolved. Raises ``InvalidInput`` for what is no absolute path,
    ``PolicyDenied`` unless it is one of ``roots`` or below one."""
    if not folder.startswith("/") or "\x00" in folder:
        raise InvalidInput.field("options.folder", "must be an absolute path, such as /srv/backups/libgo.")
    real = Path(os.path.realpath(folder))
    allowed = [Path(os.path.realpath(root)) for root in roots]
    if not any(real == root or root in real.parents for root in allowed):
        raise PolicyDenied(
            "This folder is not below one that the configuration opens for backups (backups.localRoots). "
            "Add its root there, or take another folder.",
            rule="backups.localRoots",
        )
    return real


class LocalStore(Store):
    """Objects as files of mode 0600 below ``root``, written beside their place and renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        path = self._path(key)
        with _problems():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_UNFINISHED}")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            size = _write(descriptor, chunks)
            with _problems():
                os.replace(beside, path)
                _fsync_folder(path.parent)
        finally:
            # Whatever went wrong; after the rename there is nothing of this name.
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        return size

    def get(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with _problems():
            try:
                file = path.open("rb")
            except FileNotFoundError as error:
                raise ObjectNotFound(f"The backup lacks “{key.rpartition('/')[2]}”.") from error
        with file:
            while True:
                with _problems():
                    piece = file.read(CHUNK_BYTES)
                if not piece:
                    return
                yield piece

    def list(self, prefix: str) -> Iterator[Entry]:
        folder = self._path(prefix.rstrip("/"))
        with _problems():
            found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        for path in found:
            if path.suffix != _UNFINISHED:
                yield Entry(path.relative_to(self._root).as_posix(), path.stat().st_size)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _problems():
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _fsync_folder(path.parent)

    def clear(self, prefix: str) -> int:
        """Object by object first, so that the one that makes a backup count goes whole; then the rest."""
        count = super().clear(prefix)
        folder = self._path(prefix.rstrip("/"))
        with _problems():
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
        return count

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not key or any(part in ("", ".", "..") for part in parts):
            raise StoreError("LibGo made a key for this backup that leads nowhere.")
        if not self._root.is_dir():
            raise BackendUnavailable(
                "The folder of this backup target is not there. Is its file system mounted?", reason="folder"
            )
        path = self._root.joinpath(*parts)
        if self._root not in Path(os.path.realpath(path.parent)).parents and path.parent != self._root:
            raise StoreError("A link in the folder of this backup target leads out of it.")
        return path


def _write(descriptor: int, chunks: Iterable[bytes]) -> int:
    size = 0
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            with _problems():
                file.write(chunk)
            size += len(chunk)
        with _problems():
            file.flush()
            os.fsync(file.fileno())
    return size


def _fsync_folder(folder: Path) -> None:
    """A rename lasts once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The folder of this backup target cannot be used: {error.strerror or 'unknown reason'}. Check "
            "its space and its rights."
        ) from error
