"""Files and folders in their public shape."""

from __future__ import annotations

import hashlib
import stat
from typing import Any

from compute.backends.types import FileEntry
from compute.selectors.page import time_text

# Bits of Go's os.FileMode.
_GO_TYPES = {"directory": 1 << 31, "symlink": 1 << 27, "device": 1 << 26, "fifo": 1 << 25, "socket": 1 << 24}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def entry_dict(entry: FileEntry) -> dict[str, Any]:
    """Names that are no UTF-8 come with marks in the place of what cannot be said."""
    return {
        "name": _text(entry.name),
        "type": entry.type,
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "modified_at": time_text(entry.modified_at),
        "link_target": _text(entry.link_target) or None,
        "target_type": entry.target_type or None,
    }


def entry_stat(entry: FileEntry) -> dict[str, Any]:
    """As Docker's own API tells it in a header of its archive calls."""
    mode = entry.mode & 0o777 | _GO_TYPES.get(entry.type, 0)
    mode |= sum(go for own, go in _GO_BITS.items() if entry.mode & own)
    return {
        "name": _text(entry.name),
        "size": entry.size,
        "mode": mode,
        "mtime": time_text(entry.modified_at),
        "linkTarget": _text(entry.link_target),
    }


def entry_tag(entry: FileEntry) -> str:
    """A weak ETag: another one after every write, and after a change of mode."""
    seen = f"{entry.type} {entry.size} {entry.mode:o} {time_text(entry.modified_at)}"
    return f'W/"{hashlib.sha1(seen.encode(), usedforsecurity=False).hexdigest()[:20]}"'


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
