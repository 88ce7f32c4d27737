"""Where things are, and what the processes are told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
_LEAST_FREE_BYTES = 300 * 1024**2


class LaunchError(Exception):
    """A problem of this machine, in one clear sentence with what to do."""


def var() -> Path:
    """LibGo's state: ``LIBGO_VAR``, else var/ in the checkout."""
    return Path(os.environ.get("LIBGO_VAR") or ROOT / "var").resolve()


def host() -> str:
    return os.environ.get("LIBGO_HOST") or "127.0.0.1"


def port() -> int:
    given = os.environ.get("LIBGO_PORT") or "8000"
    if not given.isdigit() or not 0 < int(given) < 65536:
        raise LaunchError(f"LIBGO_PORT is “{given}”; it must be a number from 1 to 65535.")
    return int(given)


def url() -> str:
    """Where a browser on this machine finds the console."""
    name = host()
    if name in ("0.0.0.0", "::", ""):  # nosec B104 # compares, binds nothing
        name = "127.0.0.1"
    return f"http://{f'[{name}]' if ':' in name else name}:{port()}"


def python() -> str:
    return str(VENV / "bin" / "python")


def has_own_broker() -> bool:
    """Whether the private broker is used, which is so unless ``REDIS_URL`` names another."""
    return not os.environ.get("REDIS_URL")


def environment() -> dict[str, str]:
    """What every process of LibGo gets to see."""
    environ = dict(os.environ)
    environ["LIBGO_VAR"] = str(var())
    environ.setdefault("DJANGO_SETTINGS_MODULE", "libgo_site.settings.prod")
    environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environ.get('PATH', '')}"
    environ["PYTHONUNBUFFERED"] = "1"
    return environ


def folders_make() -> None:
    """var/ and what is in it, for our eyes only. Raises ``LaunchError`` on a full disk."""
    for folder in (var(), var() / "run", var() / "logs", var() / "cache"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise LaunchError(
                f"{folder} cannot be made: {error.strerror}. Set LIBGO_VAR elsewhere."
            ) from error
    disk_check()


def disk_check() -> None:
    """Raises ``LaunchError`` when too little is free for anything to go well."""
    place = next(path for path in (var(), *var().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < _LEAST_FREE_BYTES:
        raise LaunchError(
            f"The disk of {place} is full: {free // 1024**2} MB are free and LibGo needs "
            f"{_LEAST_FREE_BYTES // 1024**2}. Free some, or set LIBGO_VAR to another disk."
        )
