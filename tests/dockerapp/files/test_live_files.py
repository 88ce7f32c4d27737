"""Files through a whole console: rights, clients that leave, and memory that stays flat."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import sqlite3
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.dockerapp.files.tars import entry, packed
from tests.live import PASSWORD, LiveConsole, strain, until

MIB = 1024**2


class Box:
    """One container of a console, spoken to over HTTP as one account."""

    def __init__(self, live: LiveConsole, name: str) -> None:
        self.live, self.name = live, name
        self.tokens = {"admin": live.log_in()}

    def ask(
        self, method: str, what: str, query: dict[str, str], as_: str = "admin", **more: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[as_]}", **more.pop("headers", {})}
        address = f"{self.live.url}/api/v1/docker/containers/{self.name}/{what}"
        return requests.request(method, address, params=query, headers=headers, timeout=120, **more)

    def join(self, username: str, role: str) -> str:
        body = {"username": username, "password": PASSWORD, "role": role}
        assert self.live.api("POST", "/users", body).status_code in (201, 409)
        self.tokens[role] = self.live.log_in(username)
        return role

    def inside(self, script: str) -> str:
        command = ["docker", "exec", self.name, "sh", "-c", script]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.live.pid('web')}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def sockets(self) -> int:
        """Open sockets of the web process: what it did not give back would show here."""
        count = 0
        for handle in Path(f"/proc/{self.live.pid('web')}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += str(handle.readlink()).startswith("socket:")
        return count


@pytest.fixture(scope="module")
def box(live: LiveConsole) -> Iterator[Box]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    live.create(name, "docker")
    until(lambda: "files" in live.get("/nodes/local-docker")["capabilities"], "the node is known", 20)
    yield Box(live, name)
    live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


def _blocks(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield hashlib.sha256(str(number).encode()).digest() * (MIB // 32)


class _Announced:
    """A body whose length the client tells before."""

    def __init__(self, count: int) -> None:
        self._blocks, self._length = _blocks(count), count * MIB

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        return next(self._blocks, b"")


def test_files_by_the_rows_of_the_contract(box: Box) -> None:
    made = box.ask("PUT", "files", {"path": "/root/f", "mode": "600", "uid": "3"}, data=b"hello")
    assert made.status_code == 201 and made.json()["file"]["mode"] == "0600"
    assert box.inside("stat -c '%u %a' /root/f").split() == ["3", "600"]
    got = box.ask("GET", "files", {"path": "/root/f"})
    assert got.content == b"hello" and got.headers["ETag"] == made.json()["etag"]
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Disposition"].startswith("attachment")
    part = box.ask("GET", "files", {"path": "/root/f"}, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"el", "bytes 1-2/5")
    head = box.ask("HEAD", "files", {"path": "/root/f"})
    assert head.headers["Content-Length"] == "5" and not head.content
    stale = box.ask("PUT", "files", {"path": "/root/f"}, data=b"x", headers={"If-Match": 'W/"no"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")
    right = {"If-Match": made.json()["etag"]}
    assert box.ask("PUT", "files", {"path": "/root/f"}, data=b"you", headers=right).status_code == 200
    listed = box.ask("GET", "files/list", {"path": "/root"}).json()
    assert [(e["name"], e["size"], e["uid"]) for e in listed["entries"]] == [("f", 3, 3)]
    assert box.ask("POST", "files/folders", {"path": "/root/d"}).status_code == 201
    moved = box.ask("POST", "files/rename", {"path": "/root/f", "to": "/root/d/g"})
    assert moved.json() == {"path": "/root/d/g"}
    assert box.ask("DELETE", "files", {"path": "/root/d"}).status_code == 409
    assert box.ask("DELETE", "files", {"path": "/root/d", "recursive": "true"}).status_code == 200
    with sqlite3.connect(box.live.var / "libgo.sqlite3") as database:
        rows = [row[0] for row in database.execute("select action from compute_auditevent").fetchall()]
    assert {"container.file.write", "container.folder.create", "container.file.delete"} <= set(rows)


def test_trees_by_the_rows_of_the_contract(box: Box) -> None:
    raw = packed(entry("t/a", b"1" * 2000), entry("t/b", b"2"))
    sent = box.ask("PUT", "archive", {"path": "/tmp"}, data=raw)
    assert sent.json() == {"path": "/tmp", "entries": 2, "content_bytes": 2001}
    got = box.ask("GET", "archive", {"path": "/tmp/t"})
    assert got.headers["Content-Type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(got.content)) as tar:
        assert {"t/a", "t/b"} <= set(tar.getnames())
    head = box.ask("HEAD", "archive", {"path": "/tmp/t"})
    assert head.headers["X-Docker-Container-Path-Stat"] and not head.content


@pytest.mark.parametrize(
    ("method", "what", "query", "status"),
    [
        ("GET", "files", {}, 400),
        ("GET", "files", {"path": "etc/passwd"}, 400),
        ("GET", "files", {"path": "/../etc/passwd"}, 400),
        ("GET", "files", {"path": "/%2e%2e/etc/passwd"}, 404),
        ("GET", "files", {"path": "/a\0b"}, 400),
        ("GET", "files", {"path": "/" + "x" * 5000}, 400),
        ("GET", "files", {"path": "/etc"}, 409),
        ("GET", "files", {"path": "/none"}, 404),
        ("GET", "files", {"path": "/proc/self/environ"}, 409),
        ("GET", "archive", {"path": "/none"}, 404),
        ("HEAD", "archive", {"path": "/none"}, 404),
        ("GET", "files/list", {"path": "/etc/passwd"}, 409),
        ("GET", "files/list", {"path": "/", "limit": "0"}, 400),
        ("GET", "files/list", {"path": "/", "surprise": "1"}, 400),
        ("PUT", "files", {"path": "/"}, 400),
        ("PUT", "files", {"path": "/root/f", "mode": "99"}, 400),
        ("PUT", "files", {"path": "/root/f", "uid": "-1"}, 400),
        ("PUT", "archive", {"path": "/none"}, 404),
        ("DELETE", "files", {"path": "/"}, 400),
        ("POST", "files/rename", {"path": "/etc", "to": "/etc/x"}, 400),
    ],
)
def test_what_cannot_be_is_an_error_in_words(
    box: Box, method: str, what: str, query: dict[str, str], status: int
) -> None:
    answer = box.ask(method, what, query, data=packed(entry("x", b"1")) if method == "PUT" else None)
    assert answer.status_code == status, answer.text
    assert method == "HEAD" or answer.json()["error"]["message"]
    assert "Content-Disposition" not in answer.headers and answer.headers["X-Request-ID"]


def test_who_may_what(box: Box) -> None:
    operator, viewer = box.join("olga", "operator"), box.join("vito", "viewer")
    path = {"path": "/root/rights"}
    assert box.ask("PUT", "files", path, operator, data=b"x").status_code == 201
    assert box.ask("GET", "files", path, operator).content == b"x"
    setuid = {**path, "mode": "4755"}
    assert box.ask("PUT", "files", setuid, operator, data=b"x").status_code == 400
    assert box.ask("PUT", "files", setuid, "admin", data=b"x").status_code == 200
    device = packed(entry("sda", type=tarfile.BLKTYPE, devmajor=8))
    refused = box.ask("PUT", "archive", {"path": "/root"}, operator, data=device)
    assert (refused.status_code, refused.json()["error"]["details"]["rule"]) == (403, "archive_device")
    for method, what in [
        ("GET", "files"),
        ("GET", "files/list"),
        ("GET", "archive"),
        ("PUT", "files"),
        ("PUT", "archive"),
        ("DELETE", "files"),
    ]:
        assert box.ask(method, what, path, viewer, data=b"x").status_code == 403, (method, what)
    box.tokens["nobody"] = "no.such.token"
    assert box.ask("PUT", "files", path, "nobody", data=b"x" * 3 * MIB).status_code == 401


def test_memory_stays_flat_for_a_large_file_both_ways(box: Box) -> None:
    """A few hundred MB; the figures are printed."""
    size, query = 300, {"path": "/root/large"}
    box.ask("PUT", "files", query, data=b"warm")
    before, most = box.rss_mib(), [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            most[0] = max(most[0], box.rss_mib())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        began = time.monotonic()
        sent = box.ask("PUT", "files", query, data=_Announced(size))
        assert sent.status_code == 200 and sent.json()["file"]["size"] == size * MIB, sent.text
        up, began = time.monotonic() - began, time.monotonic()
        digest = hashlib.sha256()
        with box.ask("GET", "files", query, stream=True) as answer:
            assert answer.headers["Content-Length"] == str(size * MIB)
            for chunk in answer.iter_content(MIB):
                digest.update(chunk)
        down = time.monotonic() - began
    finally:
        over.set()
        watching.join()
        box.inside("rm -f /root/large")
    print(f"{size} MiB up {up:.1f} s, down {down:.1f} s, RSS {before:.0f} MiB, at most {most[0]:.0f} MiB")
    wanted = hashlib.sha256()
    for block in _blocks(size):
        wanted.update(block)
    assert digest.digest() == wanted.digest()
    assert most[0] - before < 40, f"{before:.0f} MiB before, {most[0]:.0f} MiB while it streamed"


def _raw(box: Box, method: str, what: str, headers: str) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", box.live.port), 10)
    line.sendall(
        f"{method} /api/v1/docker/containers/{box.name}/{what} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {box.tokens['admin']}\r\n{headers}\r\n".encode()
    )
    return line


def test_a_client_that_leaves_a_download_frees_the_engine(box: Box) -> None:
    box.inside("head -c 100000000 /dev/zero > /root/zeros")
    for line in _standing_downloads(box):
        line.close()
    # What the first ones opened may stay, in pools that keep connections for the next ones.
    time.sleep(1)
    before = box.sockets()
    lines = _standing_downloads(box)
    assert box.sockets() >= before + 5
    began = time.monotonic()
    box.inside("true")
    assert time.monotonic() - began < 5 * strain(), "a client that stands still must not lock the container"
    for line in lines:
        line.close()
    until(lambda: box.sockets() <= before + 2, "all connections are given back", 10)
    box.inside("rm /root/zeros")


def _standing_downloads(box: Box) -> list[socket.socket]:
    """Five at once that have begun, and of which nobody reads the rest."""
    lines = [_raw(box, "GET", "files?path=/root/zeros", "") for _ in range(5)]
    for line in lines:
        assert (told := line.recv(1000)).startswith(b"HTTP/1.1 200"), told + line.recv(1000)
    return lines


def test_a_client_that_leaves_an_upload_leaves_the_old_file(box: Box) -> None:
    box.ask("PUT", "files", {"path": "/root/kept"}, data=b"old")
    before = box.sockets()
    line = _raw(box, "PUT", "files?path=/root/kept", "Content-Length: 1000000\r\n")
    line.sendall(b"x" * 500_000)
    time.sleep(0.3)
    line.close()
    until(lambda: box.sockets() <= before + 2, "all connections are given back", 10)
    assert box.inside("cat /root/kept") == "old"
    assert list((box.live.var / "spool").iterdir()) == []


@attack("S53", "many slow uploads at once", refused="others are served as before")
def test_slow_uploads_hold_no_thread(box: Box) -> None:
    """More of them than there are threads, and everything else goes on."""
    lines = [_raw(box, "PUT", f"files?path=/root/slow{n}", "Content-Length: 1000\r\n") for n in range(40)]
    small = [_raw(box, "POST", "unknown", "Content-Length: 1000\r\n") for _ in range(40)]
    try:
        for line in (*lines, *small):
            line.sendall(b"x")
        began = time.monotonic()
        assert box.live.api("GET", "/compute/instances").status_code == 200
        assert time.monotonic() - began < 3 * strain()
        lines[0].sendall(b"x" * 999)
        assert lines[0].recv(1000).startswith(b"HTTP/1.1 201")
    finally:
        for line in (*lines, *small):
            line.close()
        box.inside("rm -f /root/slow*")


def test_a_refused_upload_is_answered_before_it_is_sent(box: Box) -> None:
    line = _raw(box, "PUT", "files?path=relative", "Content-Length: 1000000000\r\nExpect: 100-continue\r\n")
    answer = line.recv(4000)
    line.close()
    assert answer.startswith(b"HTTP/1.1 400") and b"connection: close" in answer
