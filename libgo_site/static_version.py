"""Which edition of the static files this is: it stands in their address, so that a browser keeps them for
good and an upgrade's pages never meet the scripts of the time before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LENGTH = 12


def static_version(folder: Path, pinned: Iterable[Path], packages: Iterable[str]) -> str:
    """Twelve hexadecimal digits that change with any file below ``folder``, with the ``pinned`` files (a lock
    file stands for all that it names), and with the versions of Python ``packages`` that bring files of their
    own. The same on every host that has the same, so several web processes agree."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in pinned:
        digest.update(path.read_bytes() if path.exists() else b"")
    for name in packages:
        digest.update(f"{name} {_installed(name)}\n".encode())
    return digest.hexdigest()[:_LENGTH]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
