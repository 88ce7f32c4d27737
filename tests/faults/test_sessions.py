"""Sessions inside real containers and VMs, over real sockets: the audit tells once how each of them ended."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import PASSWORD, LiveConsole, until
from tests.sockets import socket_open

# A minute without a word of its process, the next look of the sweeper, and the start of a process.
_TOLD_WITHIN_S = 110


def _told(live: LiveConsole, name: str) -> list[dict[str, Any]]:
    """The audit's rows of sessions in this instance, oldest first."""
    rows = live.get(f"/audit?q={name}&page_size=200")["items"]
    words = ("instance.exec_session", "instance.attach", "instance.console", "instance.vnc")
    return [row for row in reversed(rows) if row["action"].removesuffix(".end") in words]


def _ends(live: LiveConsole, name: str) -> dict[str, str]:
    return {
        row["action"].removesuffix(".end"): row["code"]
        for row in _told(live, name)
        if row["action"].endswith(".end")
    }


@pytest.fixture
async def machine(live: LiveConsole) -> AsyncIterator[str]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(live.create, name, "kvm")
    yield name
    await asyncio.to_thread(live.api, "DELETE", f"/compute/instances/{name}?force=true&wait=60")


async def _closed(socket: ClientConnection) -> int:
    """Read to its end; the code it was closed with."""
    try:
        async with asyncio.timeout(60):
            async for _ in socket:
                continue
    except ConnectionClosed:
        pass
    return int(socket.close_code or 0)


async def _open_all(live: LiveConsole, container: str, machine: str) -> list[ClientConnection]:
    paths = (
        f"/instances/{container}/exec",
        f"/instances/{container}/attach",
        f"/instances/{machine}/console",
        f"/instances/{machine}/vnc",
    )
    return [await socket_open(live, path) for path in paths]


async def test_who_was_inside_from_where_and_how_long(live: LiveConsole, name: str, machine: str) -> None:
    await asyncio.to_thread(live.create, name, "docker", node="local-docker")
    sockets = await _open_all(live, name, machine)
    await sockets[0].send(b"exit 3\n")
    assert await _closed(sockets[0]) == 1000
    await sockets[1].close()
    # As when the cable is pulled: no word of farewell.
    sockets[2].transport.abort()
    await asyncio.sleep(1.2)
    await sockets[3].close()
    await asyncio.to_thread(
        until, lambda: len(_told(live, name) + _told(live, machine)) == 8, "all is told", 15
    )
    rows = _told(live, name) + _told(live, machine)
    assert _ends(live, name) == {"instance.exec_session": "exit 3", "instance.attach": "closed"}
    assert _ends(live, machine) == {"instance.console": "lost", "instance.vnc": "closed"}
    for row in rows:
        assert (row["user"], row["remote_address"], row["method"]) == ("admin", "127.0.0.1", "jwt"), row
    long = next(row for row in rows if row["action"] == "instance.vnc.end")
    assert 1.0 < long["details"]["duration_s"] < 30 and long["details"]["began_at"]
    assert live.get("/audit/verify")["holds"]


async def test_what_is_revoked_is_told_as_revoked(live: LiveConsole, name: str, machine: str) -> None:
    await asyncio.to_thread(live.create, name, "docker", node="local-docker")
    username = f"inside-{uuid.uuid4().hex[:6]}"
    made = live.api("POST", "/users", {"username": username, "password": PASSWORD, "role": "operator"})
    assert made.status_code == 201, made.text
    headers = {"Authorization": f"Bearer {live.log_in(username, PASSWORD)}"}
    body = {"name": "inside", "scopes": ["operate"]}
    url = f"{live.url}/api/v1/profile/tokens"
    token = requests.post(url, json=body, headers=headers, timeout=20).json()
    sockets = await _open_all(live, name, machine)
    theirs = await _open_by_token(live, name, machine, token["token"])
    assert requests.delete(f"{url}/{token['id']}", headers=headers, timeout=20).status_code == 204
    assert [await _closed(socket) for socket in theirs] == [4401] * 2
    ends = [row for row in _told(live, name) + _told(live, machine) if row["action"].endswith(".end")]
    assert {(row["user"], row["code"], row["method"]) for row in ends} == {(username, "revoked", "token")}
    assert len(ends) == 2
    for socket in sockets:
        await socket.close()


async def _open_by_token(live: LiveConsole, name: str, machine: str, token: str) -> list[ClientConnection]:
    words: Any = ["libgo.v1", f"token.{token}"]
    base = f"ws://127.0.0.1:{live.port}/ws/v1/instances"
    paths = (f"{base}/{name}/exec", f"{base}/{machine}/console")
    return [await connect(path, subprotocols=words, proxy=None) for path in paths]


@fault(
    "F26 (part)",
    "the web process is killed (SIGKILL) while people are inside a container and a VM",
    sees="the sockets break off; they can be opened again at once",
    keeps="the end of each session stands in the audit, once",
)
async def test_the_end_of_a_session_is_told_though_its_process_was_killed(
    live: LiveConsole, name: str, machine: str, measured: Measured
) -> None:
    await asyncio.to_thread(live.create, name, "docker", node="local-docker")
    sockets = await _open_all(live, name, machine)
    await asyncio.sleep(1)
    live.kill("web")
    codes = [await _closed(socket) for socket in sockets]
    assert 1000 not in codes

    def all_told() -> bool:
        return len(_ends(live, name)) + len(_ends(live, machine)) == 4

    measured("told after", await asyncio.to_thread(until, all_told, "the ends are told", _TOLD_WITHIN_S))
    assert set(_ends(live, name).values()) | set(_ends(live, machine).values()) == {"interrupted"}
    rows = [row for row in _told(live, name) + _told(live, machine) if row["action"].endswith(".end")]
    assert len(rows) == 4 and all(0 <= row["details"]["duration_s"] < 60 for row in rows)
    again = await socket_open(live, f"/instances/{name}/exec")
    await again.close()
    assert live.get("/audit/verify")["holds"]


@fault(
    "F26 (part)",
    "the web process is killed (SIGKILL) while a command runs in a container for somebody",
    sees="the request breaks off; the same again works at once",
    keeps="the command stands in the audit, once: by whom, from where, which program, interrupted",
)
async def test_a_command_is_told_of_though_its_process_was_killed(
    live: LiveConsole, name: str, measured: Measured
) -> None:
    await asyncio.to_thread(live.create, name, "docker", node="local-docker")
    path, wanted = f"/compute/instances/{name}/exec", {"command": ["sleep", "31"], "timeout": 60}
    running = asyncio.create_task(asyncio.to_thread(live.api, "POST", path, wanted))
    await asyncio.to_thread(until, lambda: _sleeps(name), "it runs", 15)
    live.kill("web")
    with pytest.raises(requests.RequestException):
        await running

    def rows() -> list[dict[str, Any]]:
        found = live.get(f"/audit?q={name}&action=instance.exec&page_size=200")["items"]
        return [row for row in found if row["details"]["program"] == "sleep"]

    measured("told after", await asyncio.to_thread(until, rows, "it is told", _TOLD_WITHIN_S))
    (row,) = rows()
    assert (row["user"], row["remote_address"], row["method"]) == ("admin", "127.0.0.1", "jwt"), row
    assert row["code"] == "interrupted" and 0 <= row["details"]["duration_s"] < 31, row
    assert row["details"]["arguments"] == 1 and row["details"]["began_at"]
    again = await asyncio.to_thread(live.api, "POST", path, {"command": ["true"]})
    assert again.status_code == 200 and again.json()["exit_code"] == 0, again.text
    assert not _sleeps(name), "what it ran was ended"


def _sleeps(name: str) -> bool:
    """``docker top`` fails when a process ends while it looks at them: then once more."""
    words = ["docker", "top", name, "-o", "pid,args"]
    for _ in range(4):
        looked = subprocess.run(words, capture_output=True, text=True)
        if looked.returncode == 0:
            return "sleep 31" in looked.stdout
    raise AssertionError(looked.stderr)
