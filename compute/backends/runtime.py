"""Private files that live as long as their process: credentials that a program takes only from a file.

A folder is named after the process that made it, so what a killed process left is recognised and
removed by the next one.
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
        parent = Path(base) if base else Path(tempfile.gettempdir()) / f"libgo-{os.getuid()}"
        name = f"{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex[:8]}"
        if len(str(parent / name)) > _SOCKET_PATH_MAX - 10:
            parent = Path(tempfile.gettempdir()) / f"libgo-{os.getuid()}"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{parent} belongs to someone else")
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


def runtime_sweep(base: str) -> int:
    """Remove what processes that are no more left under ``base``; how many folders that were."""
    parent, swept = Path(base), 0
    if not parent.is_dir():
        return 0
    for folder in parent.iterdir():
        found = _NAME.fullmatch(folder.name)
        if found and _started(int(found[1])) != found[2]:
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" when there is none (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
