"""A libvirt host of the tests' own whose daemon dies, hangs or is away, and whose disk fills up or goes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from websockets.exceptions import ConnectionClosed

from tests.faults.cases import QUIET
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, ended_of
from tests.hosts import LibvirtHost
from tests.live import LiveConsole, strain, until
from tests.sockets import socket_open

_MIB = 1024**2
_BUSY_MS = 400


@pytest.fixture(scope="module")
def host(live: LiveConsole) -> Iterator[LibvirtHost]:
    """Its images lie on a file system of its own, which takes two states of memory; its node has its name."""
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    folder.chmod(0o755)
    made = LibvirtHost(folder / "h", f"libgo-t-{os.getpid()}-{os.urandom(2).hex()}", shared=False)
    images = made.folder / "lib" / "images"
    images.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m,mode=755", "tmpfs", str(images)], check=True)
    try:
        made.image_copy("libgo-demo")
        made.start()
        body = {"name": made.name, "backend": "kvm", "url": made.url}
        asked = live.api("POST", "/nodes", body)
        assert asked.status_code == 201, asked.text
        _emulated(live, made)
        _online(live, made)
        yield made
    finally:
        for row in _rows(live, made):
            live.api("DELETE", f"/compute/instances/{row['id']}?force=true&wait=60")
        live.api("DELETE", f"/nodes/{made.name}")
        made.stop()
        subprocess.run(["umount", "--lazy", str(images)], check=True)
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def guest(live: LiveConsole, host: LibvirtHost) -> str:
    """The name of one that runs all the time."""
    name = _name("g")
    made = live.api("POST", "/compute/instances?wait=60", _body(host, name))
    assert made.status_code == 201, made.text
    return name


@pytest.fixture
def idle(live: LiveConsole, guest: str) -> Iterator[str]:
    """The same, switched off while a test lasts."""
    off = live.api("PUT", f"/compute/instances/{guest}/stop?wait=60", {"force": True})
    assert off.status_code == 200, off.text
    yield guest
    on = live.api("PUT", f"/compute/instances/{guest}/start?wait=60", {})
    assert on.status_code == 200, on.text


def _emulated(live: LiveConsole, host: LibvirtHost) -> None:
    """Whether guests run on KVM is found out on one's own machine only, and this one's cannot be trusted."""
    with sqlite3.connect(live.var / "libgo.sqlite3", timeout=20) as database:
        changed = database.execute(
            "UPDATE compute_node SET options = json_set(options, '$.virt_type', 'qemu') WHERE name = ?",
            (host.name,),
        )
        assert changed.rowcount == 1


def _name(word: str) -> str:
    return f"libgo-t-{word}{os.getpid()}-{os.urandom(2).hex()}"


def _body(host: LibvirtHost, name: str, **more: Any) -> dict[str, Any]:
    config = {"image": "libgo-demo", "network": "none"}
    resources = {"memory": {"limit": 128 * _MIB}}
    return {
        "name": name, "backend": "kvm", "node": host.name, "config": config, "resources": resources, **more
    }  # fmt: skip


def _rows(live: LiveConsole, host: LibvirtHost) -> list[dict[str, Any]]:
    return list(live.get(f"/compute/instances?node={host.name}&page_size=500")["instances"])


def _online(live: LiveConsole, host: LibvirtHost) -> float:
    return until(lambda: live.get(f"/nodes/{host.name}")["status"] == "online", "the node is online", 20)


def _emulator(host: LibvirtHost, name: str) -> int:
    return int((host.folder / "run" / "qemu" / f"{name}.pid").read_text())


def _files(host: LibvirtHost) -> set[str]:
    return set(os.listdir(host.folder / "lib" / "images"))


def _converged(live: LiveConsole, host: LibvirtHost) -> None:
    """The mirror is the host's list, and no file lies there without an owner."""
    until(
        lambda: (
            sorted(row["name"] for row in _rows(live, host)) == host.domain_names()
            and not any(row["active_operation"] or row["stale"] for row in _rows(live, host))
        ),
        "the mirror is the host's list",
        30,
    )
    owners = [row["id"] for row in _rows(live, host)]
    until(lambda: not _ownerless(host, owners), "nothing lies about", 30)


def _ownerless(host: LibvirtHost, owners: list[str]) -> list[str]:
    ours = [file for file in _files(host) if file.startswith(("libgo-vm-", "libgo-upload-"))]
    return [file for file in ours if not any(owner in file for owner in owners)]


@fault(
    "F09",
    "libvirtd is killed (SIGKILL) and started again during",
    sees="the operation succeeds or fails with a reason; repeated, it works",
    keeps="the guests run on; one machine or none, no file left over",
)
@pytest.mark.parametrize("work", ["create", "start", "snapshot", "upload"])
def test_a_daemon_that_dies_in_the_middle(
    live: LiveConsole, host: LibvirtHost, guest: str, work: str, measured: Measured
) -> None:
    emulator, name = _emulator(host, guest), _name("w")
    asked = {"create": _ask_create, "start": _ask_start, "snapshot": _ask_snapshot, "upload": _ask_upload}
    if work == "start":
        off = live.api("POST", "/compute/instances?wait=60", _body(host, name, auto_start=False))
        assert off.status_code == 201, off.text
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(asked[work], live, host, guest, name)
        time.sleep(0.3)
        host.kill(guests=False)
        host.start()
        answer = begun.result(90)
    measured("online after", _online(live, host))
    first = ended_of(live, answer)
    assert first["state"] == "succeeded" or first["error"], first
    assert _emulator(host, guest) == emulator and Path(f"/proc/{emulator}").exists()
    _converged(live, host)
    until(lambda: live.get(f"/compute/instances/{guest}")["state"] == "running", "the guest runs on", 20)
    if first["state"] != "succeeded":
        again = ended_of(live, asked[work](live, host, guest, name))
        assert again["state"] == "succeeded", again
        _converged(live, host)
    _clean(live, guest, name)


def _ask_create(live: LiveConsole, host: LibvirtHost, guest: str, name: str) -> requests.Response:
    return live.api("POST", "/compute/instances", _body(host, name))


def _ask_start(live: LiveConsole, host: LibvirtHost, guest: str, name: str) -> requests.Response:
    return live.api("PUT", f"/compute/instances/{name}/start", {})


def _ask_snapshot(live: LiveConsole, host: LibvirtHost, guest: str, name: str) -> requests.Response:
    return live.api("POST", f"/compute/instances/{guest}/snapshots", {"name": name})


def _ask_upload(live: LiveConsole, host: LibvirtHost, guest: str, name: str) -> requests.Response:
    """A slow one: a MiB every 50 ms."""
    head = (host.folder / "lib" / "images" / "libgo-demo").read_bytes()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(head), _MIB):
            yield head[start : start + _MIB]
            time.sleep(0.05)

    sent = {"Authorization": f"Bearer {live.token()}", "Content-Type": "application/octet-stream"}
    url = f"{live.url}/api/v1/kvm/images?name={name}&node={host.name}&disk_format=qcow2&wait=60"
    return requests.post(url, data=pieces(), headers=sent, timeout=90)


def _clean(live: LiveConsole, guest: str, name: str) -> None:
    for path in (
        f"/compute/instances/{name}?force=true&wait=60",
        f"/compute/instances/{guest}/snapshots/{name}?wait=60",
        f"/kvm/images/{name}?wait=60",
    ):
        assert live.api("DELETE", path).status_code < 500


@fault(
    "F10",
    "libvirtd is away for 8 seconds, its guest runs",
    sees="the node is unreachable, its machines stale; Docker, lists and pages answer as fast as before",
    keeps="the guest; all is true again by itself",
)
def test_a_daemon_that_is_away_delays_nobody(
    live: LiveConsole, host: LibvirtHost, guest: str, measured: Measured
) -> None:
    emulator, before = _emulator(host, guest), _medians(live)
    host.stop()
    try:
        shown = until(
            lambda: live.get(f"/nodes/{host.name}")["status"] == "unreachable", "the node is marked", 10
        )
        measured("shown after", shown)
        row = live.get(f"/compute/instances/{guest}")
        assert row["stale"] and row["state"] == "running", row
        refused = live.api("PUT", f"/compute/instances/{guest}/restart?wait=10", {})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "BACKEND_UNAVAILABLE")
        during = _medians(live)
        name = _name("c")
        live.create(name, "docker", config=QUIET)
        assert live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60").status_code == 200
        measured("a list took", during.lists / 1000)
        # Who waited for the daemon would take seconds; a machine that has become busier takes as much more
        # for what has nothing to do with nodes.
        busier = max(1.0, during.other / before.other)
        assert during.lists < 3 * before.lists * busier + _BUSY_MS, f"{before}, then {during}"
    finally:
        host.start()
    measured("back after", _online(live, host))
    until(lambda: not live.get(f"/compute/instances/{guest}")["stale"], "true again", 10)
    assert _emulator(host, guest) == emulator and Path(f"/proc/{emulator}").exists()


class _Medians(NamedTuple):
    """How many ms the lists of instances and of nodes take, and another one that asks for neither."""

    lists: float
    other: float


def _medians(live: LiveConsole) -> _Medians:
    """In turns, so that what slows the machine down slows both."""
    lists, other = [], []
    for _ in range(15):
        lists.append(_took_ms(live, "/compute/instances") + _took_ms(live, "/nodes"))
        other.append(_took_ms(live, "/profile"))
    return _Medians(statistics.median(lists), statistics.median(other))


def _took_ms(live: LiveConsole, path: str) -> float:
    began = time.monotonic()
    assert live.get(path) is not None
    return (time.monotonic() - began) * 1000


@fault(
    "F11",
    "libvirtd hangs (SIGSTOP) while a console is open and 20 changes are asked for",
    sees="the node is unreachable; the console is closed with a reason; changes end with one",
    keeps="the guest; threads and files of every process are bounded, lists answer",
)
async def test_a_daemon_that_hangs_holds_nobody(
    live: LiveConsole, host: LibvirtHost, guest: str, measured: Measured
) -> None:
    assert host.process is not None
    row = await asyncio.to_thread(live.get, f"/compute/instances/{guest}")
    before = _threads(live)
    console = await socket_open(live, f"/instances/{row['id']}/console")
    host.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        answers = await asyncio.gather(
            *[
                asyncio.to_thread(live.api, "PUT", f"/compute/instances/{guest}/restart", {})
                for _ in range(20)
            ]
        )
        assert {answer.status_code for answer in answers} <= {202, 409, 503}, {a.text for a in answers}
        closed = await asyncio.wait_for(_closed(console), 30)
        measured("console closed after", time.monotonic() - began)
        assert closed.rcvd is not None and closed.rcvd.code == 4503 and closed.rcvd.reason, closed
        await asyncio.to_thread(
            until, lambda: live.get(f"/nodes/{host.name}")["status"] == "unreachable", "it is noticed", 15
        )
        measured("shown within", time.monotonic() - began)
        listed = time.monotonic()
        assert await asyncio.to_thread(live.get, "/compute/instances")
        assert time.monotonic() - listed < 2 * strain()
        for process, count in _threads(live).items():
            assert count <= before[process] + 20, f"{process}: {before[process]}, then {count} threads"
    finally:
        host.process.send_signal(signal.SIGCONT)
    measured("back after", await asyncio.to_thread(_online, live, host))
    for answer in answers:
        if answer.status_code == 202:
            ended = await asyncio.to_thread(ended_of, live, answer)
            assert ended["state"] == "succeeded" or ended["error"], ended
    await asyncio.to_thread(_converged, live, host)


async def _closed(socket: Any) -> ConnectionClosed:
    while True:
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            return closed


def _threads(live: LiveConsole) -> dict[str, int]:
    return {name: len(os.listdir(f"/proc/{live.pid(name)}/task")) for name in ("web", "worker", "watcher")}


@fault(
    "F32 F33",
    "the disk of a libvirt host's pool",
    sees="creates, uploads and restores fail with no_space or read_only and say what to do; then they work",
    keeps="what was there; nothing half-made is left",
)
@pytest.mark.parametrize("harm", ["full", "read-only"])
def test_a_pool_that_takes_nothing(
    live: LiveConsole, host: LibvirtHost, idle: str, harm: str, measured: Measured
) -> None:
    images, word = host.folder / "lib" / "images", {"full": "no_space", "read-only": "read_only"}[harm]
    # A read-only disk cannot be had while a guest writes to it: this one is off.
    backup = _backed_up(live, idle)
    before, filler, name = _files(host), images / "filler", _name("f")
    if harm == "full":
        filler.write_bytes(b"\1" * max(0, shutil.disk_usage(images).free - 64 * 1024))
    else:
        _inside(host, "mount", "-o", "remount,ro", "/var/lib/libvirt/images")
    try:
        for ask in (_ask_create, _ask_upload):
            answer = ask(live, host, idle, name)
            error = _error_of(live, answer)
            assert error["details"].get("state") == word, error
            assert str(host.folder) not in error["message"], error
        if harm == "full":
            error = _error_of(live, live.api("POST", f"/backups/{backup}/restore", {"name": f"{name}-again"}))
            assert error["details"].get("state") == "no_space", error
            assert "Nothing was made" in error["message"] and not _files(host) - before - {"filler"}
        assert _rows(live, host) and live.get("/nodes") is not None
    finally:
        if harm == "full":
            filler.unlink()
        else:
            _inside(host, "mount", "-o", "remount,rw", "/var/lib/libvirt/images")
    until(lambda: _files(host) == before, f"nothing is left of it: {_files(host) - before}", 30)
    began = time.monotonic()
    assert ended_of(live, _ask_create(live, host, idle, name))["state"] == "succeeded"
    measured("works after", time.monotonic() - began)
    _clean(live, idle, name)
    _converged(live, host)


def _backed_up(live: LiveConsole, guest: str) -> str:
    """The id of a backup of it."""
    folder = str(live.var / "backups" / _name("b"))
    target = {"name": _name("t"), "kind": "local", "options": {"folder": folder}}
    place = live.api("POST", "/backups/targets", target)
    assert place.status_code == 201, place.text
    path = f"/compute/instances/{guest}/backups"
    answer = live.api("POST", f"{path}?wait=60", {"target": place.json()["id"]})
    assert answer.status_code in (200, 201), answer.text
    return str(live.get(path)["items"][0]["id"])


def _error_of(live: LiveConsole, answer: requests.Response) -> dict[str, Any]:
    """Of a refusal, or of the operation that was begun."""
    ended = ended_of(live, answer)
    assert ended["state"] == "failed", ended
    return dict(ended["error"])


def _inside(host: LibvirtHost, *words: str) -> None:
    subprocess.run([*host.inside(), *words], check=True, capture_output=True)


@fault(
    "F13",
    "a storage pool is stopped, then its folder is removed",
    sees="a create refuses before anything is defined, and names the pool; the pool is shown as inactive",
    keeps="what was there: nothing is defined, nothing is left over",
)
def test_a_pool_that_is_gone_refuses_before_anything_is_defined(
    live: LiveConsole, host: LibvirtHost, guest: str, measured: Measured
) -> None:
    pool, name = _name("pool"), _name("f")
    folder = host.folder / "lib" / "images" / pool
    folder.mkdir()
    path = f"/var/lib/libvirt/images/{pool}"
    xml = f"<pool type='dir'><name>{pool}</name><target><path>{path}</path></target></pool>"
    conn = host.connect()
    made = conn.storagePoolDefineXML(xml, 0)
    try:
        made.create(0)
        until(lambda: _pool(live, host, pool).get("state") == "running", "the pool is shown", 15)
        before = host.domain_names()
        made.destroy()
        seen = until(lambda: _pool(live, host, pool).get("state") != "running", "it is shown as off", 15)
        measured("shown after", seen)
        body = _body(host, name)
        body["config"]["disk"] = {"pool": pool}
        refused = live.api("POST", "/compute/instances", body)
        assert refused.status_code == 409 and pool in refused.json()["error"]["message"], refused.text
        made.create(0)
        until(lambda: _pool(live, host, pool).get("state") == "running", "it is shown again", 15)
        folder.rmdir()
        error = _error_of(live, live.api("POST", "/compute/instances", body))
        assert pool in error["message"] and "images/" not in error["message"], error
        until(lambda: _pool(live, host, pool).get("state") != "running", "what is gone is shown", 15)
        assert host.domain_names() == before and live.shown(name) is None
    finally:
        if made.isActive():
            made.destroy()
        made.undefine()
        conn.close()
        shutil.rmtree(folder, ignore_errors=True)
    _converged(live, host)


def _pool(live: LiveConsole, host: LibvirtHost, name: str) -> dict[str, Any]:
    answer = live.api("GET", f"/storage/pools/{name}?node={host.name}")
    return dict(answer.json()) if answer.status_code == 200 else {}
