"""Fields of requests about images, checked; every complaint names its field."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from compute.errors import InvalidInput
from dockerapp.dockerfile import SIZE_MAX

_ARGUMENT = re.compile(r"[^=\x00\s]{1,256}")
_ARGUMENTS_MAX, _VALUE_MAX = 100, 32768
_CHANGE = re.compile(
    r"(?:CMD|ENTRYPOINT|ENV|EXPOSE|LABEL|ONBUILD|STOPSIGNAL|USER|VOLUME|WORKDIR|HEALTHCHECK) ", re.IGNORECASE
)


def platform_check(platform: str) -> str:
    """``os/architecture[/variant]``, or empty. Raises ``InvalidInput``."""
    parts = platform.split("/")
    if platform and not (2 <= len(parts) <= 3 and all(part.isalnum() and part.isascii() for part in parts)):
        raise InvalidInput.field("platform", "must be like “linux/arm64”.")
    return platform


def text_check(name: str, text: str) -> str:
    """A Dockerfile as it was typed."""
    if not text.strip() or len(text.encode()) > SIZE_MAX or "\x00" in text:
        raise InvalidInput.field(name, f"must be the text of a Dockerfile, {SIZE_MAX // 1024} KiB at most.")
    return text


def context_path_check(path: str) -> str:
    """A path inside a build context."""
    plain = posixpath.normpath(path) if path else "Dockerfile"
    if plain.startswith(("/", "..")) or "\x00" in path or len(path) > 1000 or plain == ".":
        raise InvalidInput.field(
            "dockerfile", "must be a path inside the context, such as “docker/Dockerfile”."
        )
    return plain


def arguments_check(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Build arguments or labels: texts by name."""
    if not isinstance(given, Mapping) or len(given) > _ARGUMENTS_MAX:
        raise InvalidInput.field(name, f"must be an object of at most {_ARGUMENTS_MAX} texts.")
    for key, value in given.items():
        if not _ARGUMENT.fullmatch(key):
            raise InvalidInput.field(name, "names must have no spaces and no “=”.")
        if not isinstance(value, str) or len(value) > _VALUE_MAX or "\x00" in value:
            raise InvalidInput.field(f"{name}.{key[:50]}", "must be text.")
    return dict(given)


def changes_check(changes: Sequence[str]) -> list[str]:
    """Instructions of a Dockerfile that only describe the image."""
    for change in changes:
        if not _CHANGE.match(change) or not change.isprintable() or len(change) > 1000:
            raise InvalidInput.field(
                "changes", f"“{change[:80]}” is not an instruction such as “CMD /start”."
            )
    return list(changes)[:50]
