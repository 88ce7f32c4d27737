"""``/ws/vms/:name`` and its console, as clients from before Docker speak to them; one booted machine."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live import until
from tests.people import Caller, World

pytestmark = pytest.mark.asyncio


async def older(caller: Caller, path: str) -> ClientConnection:
    url = f"ws://127.0.0.1:{caller.live.port}/ws/vms/{path}"
    words: Any = ["libgo.v1", f"bearer.{caller.token}"]
    return await connect(url, subprotocols=words, proxy=None)


async def tell(socket: ClientConnection, kind: str, **data: Any) -> None:
    await socket.send(orjson.dumps({"type": kind, "data": data}).decode())


async def hear(socket: ClientConnection, kind: str, within_s: float = 60, **wanted: Any) -> dict[str, Any]:
    """The data of the next message of this kind that has these values."""
    return await asyncio.wait_for(_heard(socket, kind, wanted), within_s)


async def _heard(socket: ClientConnection, kind: str, wanted: dict[str, Any]) -> dict[str, Any]:
    async for raw in socket:
        message = orjson.loads(raw)
        assert set(message) == {"type", "timestamp", "data"}, message
        data = dict(message["data"])
        if message["type"] == kind and all(data.get(key) == value for key, value in wanted.items()):
            return data
    raise AssertionError(f"the socket ended before {kind} {wanted} came")


class _Forged(Caller):
    token = "forged"


async def closed_with(caller: Caller, path: str) -> int:
    socket = await older(caller, path)
    with pytest.raises(ConnectionClosed) as over:
        while True:
            await asyncio.wait_for(socket.recv(), 15)
    return int(over.value.rcvd.code if over.value.rcvd else 0)


async def typed(socket: ClientConnection, words: str, answer: str, within_s: float = 60) -> None:
    """Type until the guest answers: keys typed while it boots are lost."""
    seen = ""

    async def keys() -> None:
        while True:
            await tell(socket, "console_input", content=words)
            await asyncio.sleep(2)

    task = asyncio.create_task(keys())
    deadline = time.monotonic() + within_s
    try:
        while answer not in seen:
            assert time.monotonic() < deadline, f"the guest did not say {answer}: {seen[-500:]}"
            seen += (await hear(socket, "console", within_s))["content"]
    finally:
        task.cancel()


async def test_status_commands_and_console(world: World) -> None:
    name = world.name("machine")
    made = await asyncio.to_thread(world.a.machine, name, auto_start=False)
    assert made.status_code == 201, made.text
    monitor = await older(world.a, name)
    hello = await hear(monitor, "connection")
    assert hello["status"] == "connected" and hello["vmName"] == name
    status = await hear(monitor, "status")
    assert set(status) == {"status", "lastStateChange", "uptime"} and status["status"] == "stopped"
    assert await closed_with(world.a, f"{name}/console") == 4409, "a console needs a machine that runs"

    await tell(monitor, "heartbeat")
    assert "timestamp" in await hear(monitor, "heartbeat")
    await tell(monitor, "command", action="start", requestId="r-1")
    # Both come, in whichever order; the status by itself, well before its next turn is due.
    await hear(monitor, "status", status="running")
    path = f"/compute/instances/{name}"
    await asyncio.to_thread(
        until, lambda: world.a.ok("GET", path)["active_operation"] is None, "the first start is over", 30
    )
    await tell(monitor, "command", action="start", requestId="r-2")
    answer = await hear(monitor, "response", requestId="r-2")
    assert answer["success"] is True and set(answer) == {"requestId", "success", "message"}

    console, second = await older(world.a, f"{name}/console"), await older(world.admin, f"{name}/console")
    await typed(console, "echo on-$((40+2))\n", "on-42")
    await hear(second, "console", eof=False)
    await tell(second, "console_input", content="x")
    refused = await hear(second, "error", code="INVALID_STATE")
    assert "writes here" in refused["message"], "one writes at a time"
    await tell(second, "command", action="take_over", requestId="t")
    assert (await hear(second, "response", requestId="t"))["success"] is True
    await typed(second, "echo by-$((50+5))\n", "by-55")

    metrics = await hear(monitor, "metrics", 30)
    assert set(metrics) == {"cpu", "memory", "network", "disk"}
    assert set(metrics["memory"]) == {"used", "total"} and metrics["memory"]["total"] > 0
    await tell(monitor, "command", action="stop", requestId="r-3", force=True)
    assert (await hear(console, "console", eof=True))["content"] is not None
    assert (await hear(monitor, "response", requestId="r-3"))["success"] is True
    await monitor.close()


async def test_what_is_not_understood_or_not_allowed(world: World) -> None:
    name = world.name("machine")
    made = await asyncio.to_thread(world.a.machine, name, auto_start=False)
    assert made.status_code == 201, made.text
    viewer = await older(world.viewer, name)
    await tell(viewer, "command", action="start", requestId="no")
    answer = await hear(viewer, "response", requestId="no")
    assert answer["success"] is False and "permission" in answer["message"]
    for sent, code in (
        ("{", "INVALID_MESSAGE"),
        ('{"type": "command", "data": 7}', "INVALID_MESSAGE"),
        ('{"type": "dance", "data": {}}', "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": "command", "data": {"action": "explode"}}', "INVALID_COMMAND"),
        ('{"type": "console_input", "data": {"content": "x"}}', "INVALID_MESSAGE_TYPE"),
    ):
        await viewer.send(sent)
        await hear(viewer, "error", code=code)
    await viewer.close()
    assert await closed_with(world.viewer, f"{name}/console") == 4403
    assert await closed_with(world.b, name) == 4404
    assert await closed_with(world.b, f"{name}/console") == 4404
    assert await closed_with(_Forged(world.a.live, "a"), name) == 4401
