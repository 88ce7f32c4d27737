"""A whole private console: all its processes under the supervisor, over the real engines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.migrated import database_put

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a password for tests 1"
# Access tokens hold for 15 minutes.
_TOKEN_S = 600.0
# A wait that is this many times too long is a fault of what is waited for.
_STRAIN_MAX = 4.0
# States of an operation that is over.
ENDED = ("succeeded", "failed", "cancelled", "interrupted")


class LiveConsole:
    """``api`` speaks to it as its administrator; ``kill`` ends one of its processes hard."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.var = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **os.environ,
            "LIBGO_VAR": str(folder),
            "LIBGO_PORT": str(self.port),
            # The one that runs already is not looked for.
            "LIBGO_PYTHON": sys.executable,
            "LIBGO_ADMIN_PASSWORD": PASSWORD,
            "LIBGO_VIRT_TYPE": "qemu",
            "DJANGO_SETTINGS_MODULE": "libgo_site.settings.prod",
            **environ,
        }
        self.environ.pop("LIBGO_SECRET_KEY", None)
        self._tokens: dict[str, tuple[float, str]] = {}
        self._http = requests.Session()
        self._http.trust_env = False
        # A connection that rests is closed after a while, perhaps just when the next request is on its way.
        self._http.headers["Connection"] = "close"

    def start(self) -> LiveConsole:
        if not self.environ.get("DATABASE_URL"):
            database_put(self.var / "libgo.sqlite3")
        self.launch("up", "-d", "--no-install")
        until(
            lambda: all(node["status"] == "online" for node in self.get("/nodes")["items"]),
            "nodes online",
            20,
        )
        return self

    def launch(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``./libgo`` for this console; fails the test when it fails."""
        done = self.try_launch(*words)
        assert done.returncode == 0, f"libgo {' '.join(words)}: {done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def try_launch(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "libgo"), *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def stop(self) -> None:
        self.try_launch("down")

    def pid(self, name: str) -> int:
        known = json.loads((self.var / "run" / "processes.json").read_text())
        return int(next(row["pid"] for row in known["processes"] if row["name"] == name) or 0)

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def logs(self) -> str:
        files = sorted((self.var / "logs").glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-1500:]}" for file in files)

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token()}", **headers}
        return self._http.request(method, f"{self.url}/api/v1{path}", json=body, headers=sent, timeout=90)

    def get(self, path: str) -> Any:
        answer = self.api("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token(self, username: str = "admin") -> str:
        """An access token that holds for a while yet: a run takes longer than one of them does."""
        made_at, token = self._tokens.get(username, (0.0, ""))
        if not token or time.monotonic() - made_at > _TOKEN_S:
            token = self.log_in(username)
            self._tokens[username] = (time.monotonic(), token)
        return token

    def tokens_forget(self) -> None:
        """Sign in anew for what is asked next."""
        self._tokens.clear()

    def log_in(self, username: str = "admin", password: str = PASSWORD) -> str:
        body = {"username": username, "password": password}
        answer = self._http.post(f"{self.url}/api/v1/auth/login", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access"])

    def create(self, name: str, backend: str, wait: int = 60, **changes: Any) -> dict[str, Any]:
        """Make an instance of the demo image and wait for its end."""
        images = {"docker": "libgo/demo:latest", "kvm": "libgo-demo"}
        body: dict[str, Any] = {
            "name": name,
            "backend": backend,
            "config": {"image": images[backend]},
            "labels": {"libgo.test": "live"},
            **changes,
        }
        if backend == "kvm":
            body["resources"] = {"memory": {"limit": 192 * 1024**2}}
        answer = self.api("POST", f"/compute/instances?wait={wait}", body)
        assert answer.status_code in (201, 202), answer.text
        return dict(answer.json()["instance"])

    def names(self) -> set[str]:
        return {row["name"] for row in self.get("/compute/instances?page_size=500")["instances"]}

    def shown(self, name: str) -> dict[str, Any] | None:
        found = [r for r in self.get("/compute/instances?page_size=500")["instances"] if r["name"] == name]
        return found[0] if found else None


def until(true: Callable[[], Any], what: str, within_s: float) -> float:
    """Wait for it; the seconds it took. The failure says what did not come true. ``within_s`` is for a
    machine that has a core for whoever wants one; one that has not may take as much longer."""
    began, most = time.monotonic(), within_s
    while True:
        try:
            if true():
                return time.monotonic() - began
        except (requests.RequestException, AssertionError):
            if time.monotonic() - began > most:
                raise
        most = max(most, within_s * strain())
        assert time.monotonic() - began < most, f"not within {most:.0f} s: {what}"
        time.sleep(0.05)


def strain() -> float:
    """How many want each core of this machine now, as its last minute tells: 1 to ``_STRAIN_MAX``."""
    return min(_STRAIN_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
