"""Two projects with an operator each and a viewer, over one live console; their things go afterwards."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.live import PASSWORD, LiveConsole, until

DEMO = "libgo/demo:latest"
MACHINE_DEMO = "libgo-demo"
_MIB = 1024**2
# Where what a test named is deleted; instances go first, they hold the rest.
_PATHS = {
    "container": "/compute/instances/{}?force=true&wait=60",
    "machine": "/compute/instances/{}?force=true&wait=60",
    "network": "/docker/networks/{}",
    "volume": "/docker/volumes/{}",
    "kvm_network": "/networks/{}?force=true",
    "pool": "/storage/pools/{}?force=true",
    "kvm_image": "/kvm/images/{}",
}


@dataclass
class Caller:
    """Somebody who is logged in; ``call`` asks the API below ``/api/v1``."""

    live: LiveConsole
    username: str
    project: str = ""

    @property
    def token(self) -> str:
        return self.live.token(self.username)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        return requests.request(method, f"{self.live.url}/api/v1{path}", json=body, headers=sent, timeout=90)

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        answer = self.call(method, path, body, **headers)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    def refused(self, status: int, code: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.call(method, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        error = dict(answer.json()["error"])
        assert error["code"] == code, error
        return error

    def container(self, name: str, **config: Any) -> requests.Response:
        return self._instance(name, "docker", {"image": DEMO, **config})

    def machine(self, name: str, *, auto_start: bool = True, **config: Any) -> requests.Response:
        """A small VM of the demo image, without a NIC unless ``config`` says otherwise."""
        wanted = {"image": MACHINE_DEMO, "network": "none", **config}
        if "networks" in config:
            del wanted["network"]
        more = {"auto_start": auto_start, "resources": {"memory": {"limit": 192 * _MIB}}}
        return self._instance(name, "kvm", wanted, **more)

    def _instance(self, name: str, backend: str, config: dict[str, Any], **more: Any) -> requests.Response:
        labels = {"libgo.test": "live"}
        body = {"name": name, "backend": backend, "config": config, "labels": labels, **more}
        if self.project:
            body["project"] = self.project
        return self.call("POST", "/compute/instances?wait=60", body)


@dataclass
class World:
    """``a`` and ``b`` operate a project each, ``viewer`` reads in the first, ``admin`` is the site's."""

    admin: Caller
    a: Caller
    b: Caller
    viewer: Caller
    made: list[tuple[str, str]] = field(default_factory=list)

    def name(self, kind: str) -> str:
        """A name for one of ``_PATHS``, gone when the test ends."""
        wanted = f"libgo-t-{uuid.uuid4().hex[:8]}"
        self.made.append((kind, wanted))
        return wanted

    def last_audit_row(self) -> int:
        """Its id: what is told of an attack has a greater one."""
        return int(self.admin.ok("GET", "/audit?page_size=1")["items"][0]["id"])

    def clean(self) -> None:
        for kind, name in sorted(self.made, key=lambda pair: list(_PATHS).index(pair[0])):
            self._gone(_PATHS[kind].format(name))
        self.made.clear()

    def _gone(self, path: str) -> None:
        """The watcher may still be told of the last change when a test ends."""
        until(lambda: self.admin.call("DELETE", path).status_code in (200, 404), f"{path} is gone", 20)


def people_make(live: LiveConsole) -> World:
    admin = Caller(live, "admin")
    callers = {}
    for word, role in (("a", "operator"), ("b", "operator"), ("v", "viewer")):
        username, project = f"p-{word}-{uuid.uuid4().hex[:6]}", f"p-{word[0]}-{uuid.uuid4().hex[:6]}"
        if word == "v":
            project = callers["a"].project
        else:
            admin.ok("POST", "/projects", {"name": project})
        callers[word] = member_make(admin, username, project, role)
    return World(admin, callers["a"], callers["b"], callers["v"])


def member_make(admin: Caller, username: str, project: str, role: str) -> Caller:
    """A new person who belongs to this project alone."""
    admin.ok("POST", "/users", {"username": username, "password": PASSWORD})
    for member in admin.ok("GET", "/projects?page_size=500")["items"]:
        if member["is_default"]:
            admin.call("DELETE", f"/projects/{member['id']}/members/{username}")
    admin.ok("POST", f"/projects/{project}/members", {"user": username, "role": role})
    return Caller(admin.live, username, project)
