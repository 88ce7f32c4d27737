"""Transfers that are under way when the right to them is taken away: on a real console and real engines they
are cut off, whatever it was that ended, and nothing half is left.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.live import PASSWORD, LiveConsole, strain, until
from tests.people import World

_CUT_WITHIN_S = 10.0
_BIG_MIB = 256
_PIECE = 64 * 1024
_USAGE = "usage"


@dataclass
class Person:
    """An operator of the first project with a personal token."""

    live: LiveConsole
    world: World
    username: str
    user_id: str
    token: str
    token_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    def member(self, method: str, body: Any = None) -> None:
        path = f"/projects/{self.world.a.project}/members"
        answer = self.world.admin.call(method, path if body else f"{path}/{self.username}", body)
        assert answer.status_code in (200, 201, 204), answer.text

    def lowered(self) -> None:
        self.member("POST", {"user": self.username, "role": "viewer"})

    def removed(self) -> None:
        self.member("DELETE")

    def switched_off(self) -> None:
        answer = self.world.admin.call("PUT", f"/users/{self.user_id}", {"is_active": False})
        assert answer.status_code == 200, answer.text

    def token_revoked(self) -> None:
        own = {"Authorization": f"Bearer {self.live.log_in(self.username)}"}
        url = f"{self.live.url}/api/v1/profile/tokens/{self.token_id}"
        assert requests.delete(url, headers=own, timeout=20).status_code == 204


class Download:
    """Read slowly, in the background; ``over`` is set when the body ends, ``whole`` if as it should."""

    def __init__(self, person: Person, path: str) -> None:
        self.over, self.whole, self.bytes, self.at = threading.Event(), False, 0, 0.0
        url = f"{person.live.url}/api/v1{path}"
        self._answer = requests.get(url, headers=person.headers, stream=True, timeout=60)
        assert self._answer.status_code == 200, self._answer.text
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for piece in self._answer.iter_content(_PIECE):
                self.bytes += len(piece)
                time.sleep(0.02)
            self.whole = True
        except requests.RequestException:
            pass
        finally:
            self.at = time.monotonic()
            self.over.set()

    def begun(self) -> bool:
        return self.bytes > 0


class Upload:
    """Sent slowly and without an end, until the server says something; ``status`` is what it said."""

    def __init__(self, person: Person, method: str, path: str, kind: str, first: bytes = b"") -> None:
        self.over, self.status, self._sent, self.at = threading.Event(), 0, 0, 0.0
        self._socket = socket.create_connection(("127.0.0.1", person.live.port), 20)
        head = [
            f"{method} /api/v1{path} HTTP/1.1",
            f"Host: 127.0.0.1:{person.live.port}",
            f"Authorization: {person.headers['Authorization']}",
            f"Content-Type: {kind}",
            f"Content-Length: {512 * 1024**2}",
            "Connection: close",
        ]
        self._socket.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + first)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        self._socket.settimeout(0.05)
        try:
            while True:
                try:
                    answer = self._socket.recv(4096)
                except TimeoutError:
                    self._socket.settimeout(5)
                    self._socket.sendall(bytes(4096))
                    self._sent += 1
                    self._socket.settimeout(0.05)
                    continue
                self.status = int(answer.split()[1]) if answer else 0
                return
        except OSError:
            return
        finally:
            self.at = time.monotonic()
            self.over.set()
            self._socket.close()

    def begun(self) -> bool:
        return self._sent > 5


@pytest.fixture(scope="module")
def person_new(live: LiveConsole, people: World) -> Callable[[], Person]:
    def make() -> Person:
        username = f"p-cut-{uuid.uuid4().hex[:6]}"
        made = people.admin.ok("POST", "/users", {"username": username, "password": PASSWORD})
        own = {"Authorization": f"Bearer {live.log_in(username)}"}
        body = {"name": "cut", "scopes": ["operate"]}
        token = requests.post(f"{live.url}/api/v1/profile/tokens", json=body, headers=own, timeout=20).json()
        person = Person(live, people, username, made["id"], token["token"], token["id"])
        person.member("POST", {"user": username, "role": "operator"})
        return person

    return make


@pytest.fixture(scope="module")
def container(people: World) -> Iterator[str]:
    """One that says something all the time and has a big file."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    script = f"dd if=/dev/urandom of=/big bs=1M count={_BIG_MIB}; while :; do echo alive; sleep 0.1; done"
    assert people.a.container(name, command=["sh", "-c", script]).status_code == 201
    path = f"/compute/instances/{name}"
    until(lambda: "alive" in people.a.ok("GET", f"{path}/logs")["text"], "the file is there", 60)
    yield name
    people.admin.call("DELETE", f"{path}?force=true&wait=60")


@attack(
    "S14",
    "going on with downloads and uploads after the role was lowered, the member removed, the account "
    "switched off or the token revoked",
    refused="each is cut off within seconds; nothing half is left",
)
@pytest.mark.parametrize("how", ["lowered", "removed", "switched_off", "token_revoked"])
def test_what_is_under_way_is_cut_off(
    person_new: Callable[[], Person], world: World, container: str, how: str
) -> None:
    person, image = person_new(), f"libgo-t-{uuid.uuid4().hex[:8]}"
    project = world.a.project
    placed = urlencode({"name": image, "disk_format": "raw", "project": project})
    running: dict[str, Download | Upload] = {
        "log": Download(person, f"/compute/instances/{container}/logs?follow=true"),
        "file": Download(person, f"/docker/containers/{container}/files?path=/big"),
        "folder": Download(person, f"/docker/containers/{container}/archive?path=/"),
        _USAGE: Download(person, f"/docker/containers/{container}/stats?stream=true"),
        "into a container": Upload(
            person, "PUT", f"/docker/containers/{container}/files?path=/half", "application/octet-stream"
        ),
        "disk image": Upload(person, "POST", f"/kvm/images?{placed}", "application/octet-stream"),
    }
    for what, each in running.items():
        until(each.begun, f"{what} is under way", 20)
    assert not [what for what, each in running.items() if each.over.is_set()], "they all go on"
    getattr(person, how)()
    began = time.monotonic()
    for what, each in running.items():
        if how == "lowered" and what == _USAGE:
            assert not each.over.is_set(), "a viewer may look at it"
            continue
        left = max(0.1, began + _CUT_WITHIN_S * strain() - time.monotonic())
        assert each.over.wait(left), f"{what} went on for {_CUT_WITHIN_S} s after it was {how}"
        if isinstance(each, Download):
            assert not each.whole, f"{what} was given to its end"
        else:
            assert each.status in (0, 401, 403, 404), (what, each.status)
    print(how, {what: round(each.at - began, 1) for what, each in running.items() if each.over.is_set()})
    until(lambda: "half" not in _files(world, container), "what came is gone again", 10)
    until(lambda: not _operations_open(world), "the upload's operation ended", 20)
    assert image not in world.admin.call("GET", f"/kvm/images?q={image}").text


def _files(world: World, container: str) -> set[str]:
    listed = world.admin.ok("GET", f"/docker/containers/{container}/files/list?path=/")
    return {entry["name"] for entry in listed["entries"]}


def _operations_open(world: World) -> list[Any]:
    states = ("queued", "running")
    return [row for state in states for row in world.admin.ok("GET", f"/operations?state={state}")["items"]]
