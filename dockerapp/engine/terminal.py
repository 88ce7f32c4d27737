"""An interactive session in a container."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

import aiodocker
import aiohttp

from compute.backends.types import ByteStream
from compute.errors import BackendTimeout, BackendUnavailable
from dockerapp.engine.client import EngineClient
from dockerapp.engine.logs import stream_error

# Whatever the session started carries this word in its environment, so it can be found and ended:
# the engine leaves processes running when the client of an exec goes away.
MARK = "LIBGO_EXEC"
END_ALL = (
    'for p in /proc/[0-9]*; do if grep -q "$1" "$p/environ" 2>/dev/null; then '
    'kill -HUP "${p#/proc/}" 2>/dev/null; kill -KILL "${p#/proc/}" 2>/dev/null; fi; done'
)


class ExecStream(ByteStream):
    """The two-way stream of one ``exec`` with a terminal."""

    def __init__(self, docker: aiodocker.Docker, engine_id: str, mark: str) -> None:
        self._docker, self._engine_id, self._mark = docker, engine_id, mark
        self._closed = False

    async def start(self, command: Sequence[str], rows: int, cols: int) -> None:
        container = self._docker.containers.container(self._engine_id)
        self._exec = await container.exec(
            list(command), stdin=True, tty=True, environment={"TERM": "xterm-256color", MARK: self._mark}
        )
        self._stream = self._exec.start(detach=False)
        await self._stream._init()
        await self.resize(rows, cols)

    async def read(self) -> bytes:
        try:
            message = await self._stream.read_out()
        except (aiohttp.ClientError, OSError):
            return b""
        return bytes(message.data) if message is not None else b""

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write_in(data)
        except (aiohttp.ClientError, OSError, AssertionError) as error:
            raise BackendUnavailable("The session has ended.") from error

    async def resize(self, rows: int, cols: int) -> None:
        # The engine refuses a resize when the process has just ended: nothing is lost then.
        with contextlib.suppress(aiodocker.DockerError):
            await self._exec.resize(h=rows, w=cols)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(aiodocker.DockerError, aiohttp.ClientError, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._end(), 5)
        await self._docker.close()

    async def _end(self) -> None:
        await self._stream.close()
        container = self._docker.containers.container(self._engine_id)
        word = f"{MARK}={self._mark}"
        killer = await container.exec(["/bin/sh", "-c", END_ALL, "sh", word], stdout=True, stderr=True)
        await killer.start(detach=True)


async def exec_open(
    client: EngineClient, engine_id: str, command: Sequence[str], *, rows: int, cols: int
) -> ExecStream:
    """Start ``command`` with a terminal. Raises ``ComputeError`` when the container does not run."""
    # The first contact asks for the version and may take its time: not in the event loop.
    await asyncio.to_thread(client.negotiated)
    docker = client.stream_client()
    stream = ExecStream(docker, engine_id, uuid.uuid4().hex)
    try:
        await asyncio.wait_for(stream.start(command, rows, cols), client.node.request_timeout_s)
    except asyncio.TimeoutError as error:
        await docker.close()
        raise BackendTimeout(f"Docker on {client.node.name} did not open a session in time.") from error
    except aiodocker.DockerError as error:
        await docker.close()
        raise stream_error(client.node.name, error) from error
    except (aiohttp.ClientError, OSError) as error:
        await docker.close()
        raise BackendUnavailable(f"Docker on {client.node.name} cannot be reached.") from error
    return stream
