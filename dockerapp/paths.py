"""Paths inside containers and volumes, as callers may say them."""

from __future__ import annotations

from compute.errors import InvalidInput


def path_checked(path: str, *, field: str = "path") -> str:
    """Absolute, without detours. Raises ``InvalidInput`` for anything that is not plainly a path."""
    if not path.startswith("/"):
        raise InvalidInput.field(field, "must be an absolute path such as /etc/hosts.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidInput.field(field, "must not hold “..”.")
    if "\0" in path or len(path.encode("utf-8", "replace")) > 4095:
        raise InvalidInput.field(field, "is too long or holds a null character.")
    if any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise InvalidInput.field(field, "has a part of more than 255 bytes.")
    return "/" + "/".join(parts)
