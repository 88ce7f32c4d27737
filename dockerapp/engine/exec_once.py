"""One command inside a container, from start to end, with bounds on its time and its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from compute.backends.types import ExecResult, ExecSpec
from compute.errors import BackendUnavailable
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import reason
from dockerapp.engine.logs import stream_error
from dockerapp.engine.session_marks import SessionMark

_STDERR = 2
# How long ending what was started may take.
_ENDING_S = 5.0
# What a shell says for “cannot be run” and “is not there”.
_NOT_STARTED = (126, 127)
_RUNTIME_SAYS = "OCI runtime exec failed"


class _Output:
    """The first bytes of one output; what comes after is read away."""

    def __init__(self, max_bytes: int) -> None:
        self._left, self._parts = max_bytes, bytearray()
        self._max_bytes = max_bytes
        self.truncated = False

    def feed(self, data: bytes) -> None:
        self._parts += data[: self._left]
        self.truncated = self.truncated or len(data) > self._left
        self._left -= min(self._left, len(data))

    def text(self) -> str:
        said = bytes(self._parts).decode("utf-8", "replace")
        return f"{said}\n[LibGo: cut off after {self._max_bytes} bytes]\n" if self.truncated else said


async def exec_run(client: EngineClient, engine_id: str, wanted: ExecSpec) -> ExecResult:
    """Raises ``ComputeError`` when the container does not run or the engine does not answer."""
    await asyncio.to_thread(client.negotiated)
    docker, mark = client.stream_client(), SessionMark(client.node, engine_id)
    try:
        return await _run(docker, client.is_local, engine_id, wanted, mark)
    except aiodocker.DockerError as error:
        raise stream_error(client.node.name, error) from error
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        raise BackendUnavailable(f"Docker on {client.node.name} ended the session.") from error
    finally:
        mark.forget()
        await docker.close()


async def _run(
    docker: aiodocker.Docker, is_local: bool, engine_id: str, wanted: ExecSpec, mark: SessionMark
) -> ExecResult:
    container = docker.containers.container(engine_id)
    began = time.monotonic()
    process = await container.exec(
        list(wanted.command),
        stdout=True,
        stderr=True,
        environment={**wanted.env, **mark.environment},
        user=wanted.user,
        workdir=wanted.work_dir or None,
    )
    outputs = {1: _Output(wanted.max_bytes), _STDERR: _Output(wanted.max_bytes)}
    stream = process.start(detach=False)
    timed_out = False
    try:
        await asyncio.wait_for(_read(stream, outputs), wanted.timeout_s)
    except asyncio.TimeoutError:
        timed_out = True
    finally:
        # The engine lets a command run on when nobody listens any more: also of a caller who left.
        if timed_out or not await _ended(process):
            await asyncio.shield(_end(docker, engine_id, mark, is_local))
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await stream.close()
    seen = await process.inspect()
    code = None if timed_out else int(seen.get("ExitCode") or 0)
    return _result(code, outputs, timed_out, began)


async def _read(stream: Any, outputs: dict[int, _Output]) -> None:
    while (message := await stream.read_out()) is not None:
        outputs[_STDERR if message.stream == _STDERR else 1].feed(message.data)


async def _ended(process: Any) -> bool:
    with contextlib.suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
        return not (await process.inspect()).get("Running")
    return True


def _result(code: int | None, outputs: dict[int, _Output], timed_out: bool, began: float) -> ExecResult:
    stdout, stderr = outputs[1].text(), outputs[_STDERR].text()
    if code in _NOT_STARTED and stdout.startswith(_RUNTIME_SAYS):
        stdout, stderr = "", f"{reason(stdout)}\n{stderr}"
    return ExecResult(
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        timed_out=timed_out,
        truncated=any(output.truncated for output in outputs.values()),
        duration_ms=int(1000 * (time.monotonic() - began)),
    )


async def _end(docker: aiodocker.Docker, engine_id: str, mark: SessionMark, is_local: bool) -> None:
    """End all that carries our word: from inside, and on our own host also where there is no shell."""
    container = docker.containers.container(engine_id)
    with contextlib.suppress(aiodocker.DockerError, aiohttp.ClientError, OSError, asyncio.TimeoutError):
        killer = await container.exec(mark.ending, stdout=True, stderr=True, user="0")
        await asyncio.wait_for(_drain(killer.start(detach=False)), _ENDING_S)
    if is_local:
        await asyncio.to_thread(_end_here, mark.word.encode())


async def _drain(stream: Any) -> None:
    async with stream:
        while await stream.read_out() is not None:
            continue


def _end_here(word: bytes) -> None:
    """The processes of containers are processes of our host; only those with our word are ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone, or another user's, whom we may not end anyway.
        with contextlib.suppress(OSError):
            if word in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
