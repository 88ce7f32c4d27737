"""Private files that live as long as their process: credentials that a program takes only from a file, and
notes of what must be ended elsewhere when the process is no more.

Their names tell the process that made them, so what a killed process left is recognised by the next one.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path

_NAME = re.compile(r"(\d+)-(\d+)-[0-9a-f]{8}")
# A socket's path must be shorter than this (unix(7)), its own name included.
_SOCKET_PATH_MAX = 100


class RuntimeFolder:
    """A folder of mode 0700 under ``base`` (the system's temporary folder if empty); gone after
    ``close`` and at the end of the process."""

    def __init__(self, base: str) -> None:
        parent = Path(base) if base else _default()
        name = _owned(uuid.uuid4().hex[:8])
        if len(str(parent / name)) > _SOCKET_PATH_MAX - 10:
            parent = _default()
        _private(parent)
        runtime_sweep(str(parent))
        self.path = parent / name
        self.path.mkdir(mode=0o700)
        atexit.register(self.close)

    def write(self, name: str, text: str) -> Path:
        """A file of mode 0600."""
        path = self.path / name
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def close(self) -> None:
        atexit.unregister(self.close)
        shutil.rmtree(self.path, ignore_errors=True)


def note_leave(base: str, topic: str, text: str) -> Path:
    """A file of mode 0600 that says what is to be done when this process is no more; its writer removes it
    when that is done."""
    folder = _notes(base, topic)
    _private(folder)
    path = folder / _owned(uuid.uuid4().hex[:8])
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def notes_left(base: str, topic: str) -> list[Path]:
    """The notes of processes that are no more."""
    folder = _notes(base, topic)
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _is_orphan(path.name)]


def _notes(base: str, topic: str) -> Path:
    return (Path(base) if base else _default()) / topic


def runtime_sweep(base: str) -> int:
    """Remove what processes that are no more left under ``base``; how many folders that were."""
    parent, swept = Path(base), 0
    if not parent.is_dir():
        return 0
    for folder in parent.iterdir():
        if _is_orphan(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def _default() -> Path:
    return Path(tempfile.gettempdir()) / f"libgo-{os.getuid()}"


def _private(folder: Path) -> None:
    """Make it, and what is missing above it, for our eyes only (``parents=True`` would leave those open to
    others). Raises ``PermissionError`` when somebody else made it."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else")


def _owned(word: str) -> str:
    return f"{os.getpid()}-{process_started(os.getpid())}-{word}"


def _is_orphan(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and process_started(int(found[1])) != found[2]


def process_started(pid: int) -> str:
    """When a process began, in the kernel's ticks, so that another with its number is told from it; "" when
    there is none (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
