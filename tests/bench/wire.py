"""Plain HTTP over one kept connection: the same client for LibGo and for the engine's socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

import requests

from tests.bench.run import Site
from tests.live import PASSWORD, LiveConsole

ENGINE_SOCKET = "/var/run/docker.sock"
# Servers close what was not used for a few seconds.
_KEPT_S = 2.0


class EngineLine(http.client.HTTPConnection):
    """To the Docker engine's own socket."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=120)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE_SOCKET)


class Wire:
    """``ask`` sends one request and reads its whole answer; an answer of 400 or more is an error."""

    def __init__(self, line: http.client.HTTPConnection, base: str, headers: dict[str, str]) -> None:
        self._line, self._base, self._headers = line, base, headers
        self._asked_at = 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        sent, data = {**self._headers, **headers}, body
        if body is not None and not isinstance(body, bytes):
            sent["Content-Type"], data = "application/json", json.dumps(body).encode()
        if time.monotonic() - self._asked_at > _KEPT_S:
            self._line.close()
        self._line.request(method, self._base + path, data, sent)
        answer = self._line.getresponse()
        found = answer.read()
        self._asked_at = time.monotonic()
        assert answer.status < 400, f"{method} {path}: {answer.status} {found[:300]!r}"
        return found

    def get(self, path: str) -> bytes:
        return self.ask("GET", path)

    def json(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.ask(method, path, body))

    def close(self) -> None:
        self._line.close()


def engine_wire() -> Wire:
    return Wire(EngineLine(), "/v1.41", {"Host": "docker"})


def api_wire(console: LiveConsole) -> Wire:
    line = http.client.HTTPConnection("127.0.0.1", console.port, timeout=120)
    return Wire(line, "/api/v1", {"Authorization": f"Bearer {console.log_in()}"})


def page_wire(console: LiveConsole) -> Wire:
    """As an administrator's browser, whose session cookie it bears."""
    session = logged_in(console)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
    session.close()
    line = http.client.HTTPConnection("127.0.0.1", console.port, timeout=120)
    return Wire(line, "", {"Cookie": cookies})


def logged_in(console: LiveConsole) -> requests.Session:
    http_session = requests.Session()
    http_session.trust_env = False
    http_session.get(f"{console.url}/login", timeout=20)
    token = http_session.cookies["csrftoken"]
    given = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = http_session.post(f"{console.url}/login", given, headers={"Referer": console.url}, timeout=20)
    assert answer.ok and "sessionid" in http_session.cookies, answer.text[:300]
    return http_session


def created(engine: Wire, name: str, **more: Any) -> str:
    """A container of the demo image that does not run; its id."""
    body = {
        "Image": "libgo/demo:latest",
        "Labels": {"libgo.test": "bench"},
        "StopSignal": "SIGKILL",
        "HostConfig": {"NetworkMode": "none"},
        **more,
    }
    return str(engine.json("POST", f"/containers/create?name={name}", body)["Id"])


def cpu_s(site: Site, process: str = "web") -> float:
    """Processor seconds that a process of the console has used."""
    return process_cpu_s(site.console, process)


def process_cpu_s(console: LiveConsole, process: str) -> float:
    with open(f"/proc/{console.pid(process)}/stat", encoding="ascii", errors="replace") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100
