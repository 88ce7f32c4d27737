"""What engines and kernels say when a disk takes nothing more."""

from __future__ import annotations

import errno

from compute.errors import BackendError, InvalidState

_FULL = ("no space left", "disk quota exceeded", "not enough space", "disk is full")
_READ_ONLY = ("read-only file system",)
_ERRNOS = {errno.ENOSPC: "no_space", errno.EDQUOT: "no_space", errno.EROFS: "read_only"}
_SENTENCES = {
    "no_space": "{place} is full. What had been written of it was removed; free some room and try again.",
    "read_only": "{place} is mounted read-only, often after an error of the disk. Nothing was changed.",
}


def room_error(text: str, place: str) -> BackendError | None:
    """The error for what an engine said, if a disk is the reason; ``place`` begins its sentence.
    ``details["state"]`` is ``no_space`` or ``read_only``."""
    lowered = text.lower()
    if any(words in lowered for words in _FULL):
        return _error("no_space", place)
    if any(words in lowered for words in _READ_ONLY):
        return _error("read_only", place)
    return None


def room_error_of(error: OSError, place: str) -> BackendError | None:
    """The same for what the kernel said to us."""
    word = _ERRNOS.get(error.errno or 0)
    return _error(word, place) if word else None


def room_check(place: str, free_bytes: int | None, needed_bytes: int) -> None:
    """Raises ``InvalidState`` when what is to be made does not fit; None: nobody knows what is free."""
    if free_bytes is not None and free_bytes < needed_bytes:
        raise InvalidState(
            f"{place} has {free_bytes // 1024**2} MiB free, and up to {-(-needed_bytes // 1024**2)} MiB are "
            "needed. Nothing was made; make room there first.",
            state="no_space",
        )


def _error(word: str, place: str) -> BackendError:
    return BackendError(_SENTENCES[word].format(place=place), state=word)
