"""A PostgreSQL server of a test's own, on a socket and a loopback port; it refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import psycopg

from tests.live import until

_USER = "postgres"
# What is written need not outlive the machine; all else is as delivered.
# The machine does not crash, but the server is stopped hard: what it said it committed must be there then.
_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """``start``, ``stop`` and ``close``; ``url`` is a DATABASE_URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._binaries = _binaries()
        self._identity = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
        folder.mkdir(parents=True, exist_ok=True)
        if self._identity is not None:
            os.chown(folder, self._identity.pw_uid, self._identity.pw_gid)
        words = ["--auth", "trust", "--username", _USER, "--encoding", "UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", *words, "--pgdata", str(folder / "data"))

    @property
    def url(self) -> str:
        return f"postgres://{_USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> PostgresServer:
        words = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        for name, value in _SETTINGS.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._binaries / "postgres"), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        until(self._answers, "PostgreSQL answers", 20)
        return self

    def stop(self) -> None:
        """Connections are cut, as by an immediate restart."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._binaries / command), *words], capture_output=True, text=True, **self._as_user()
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_user(self) -> dict[str, object]:
        """Arguments of a process that is not root's; the folder may be entered by nobody else."""
        if self._identity is None:
            return {"cwd": self.folder}
        return {
            "user": self._identity.pw_uid,
            "group": self._identity.pw_gid,
            "extra_groups": [],
            "cwd": self.folder,
        }


def _binaries() -> Path:
    """Debian keeps the server's programs of each version in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "These tests need PostgreSQL: install postgresql (./libgo test does)."
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
