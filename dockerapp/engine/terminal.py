"""Interactive sessions in a container, and its own input and output."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import aiodocker
import aiohttp
from aiodocker.stream import Stream
from yarl import URL

from compute.backends.types import ByteStream, NodeConfig, SessionSpec
from compute.errors import BackendTimeout, BackendUnavailable, ComputeError
from dockerapp.engine.client import EngineClient
from dockerapp.engine.logs import stream_error
from dockerapp.engine.session_marks import SessionMark

# Keys that nobody types by chance: the engine's own (ctrl-p ctrl-q) swallow a ctrl-p.
_DETACH_KEYS = "ctrl-^,ctrl-_,ctrl-^,ctrl-_"
_CLOSE_WITHIN_S = 5.0
# The engine learns of the end of a process a little after the end of its output.
_EXIT_TRIES, _EXIT_PAUSE_S = 20, 0.05


class _EngineStream(ByteStream):
    """A connection that the engine has handed over."""

    _stream: Stream

    def __init__(self, docker: aiodocker.Docker, engine_id: str) -> None:
        self._docker = docker
        self._container = docker.containers.container(engine_id)
        self._engine_id = engine_id
        self._closed = False

    async def read(self) -> bytes:
        return (await self.read_from())[1]

    async def read_from(self) -> tuple[int, bytes]:
        try:
            message = await self._stream.read_out()
        except (aiohttp.ClientError, OSError):
            return 1, b""
        # An empty piece is not the end.
        while message is not None and not message.data:
            message = await self._stream.read_out()
        return (1, b"") if message is None else (message.stream or 1, bytes(message.data))

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write_in(data)
        except (aiohttp.ClientError, OSError, AssertionError, RuntimeError) as error:
            raise BackendUnavailable("The session has ended.") from error

    async def write_end(self) -> None:
        response = self._stream._resp
        transport = response.connection.transport if response and response.connection else None
        if transport is not None and transport.can_write_eof():
            transport.write_eof()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(aiodocker.DockerError, aiohttp.ClientError, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._end(), _CLOSE_WITHIN_S)
        await self._docker.close()

    async def _end(self) -> None:
        await self._stream.close()

    async def _resize(self, path: str, rows: int, cols: int) -> None:
        # The engine refuses a resize when the process has just ended: nothing is lost then.
        with contextlib.suppress(aiodocker.DockerError, aiohttp.ClientError):
            async with self._docker._query(URL(path).with_query(h=rows, w=cols), method="POST"):
                pass


class ExecStream(_EngineStream):
    """The two-way stream of one ``exec``."""

    def __init__(self, docker: aiodocker.Docker, engine_id: str, node: NodeConfig) -> None:
        super().__init__(docker, engine_id)
        self.mark = SessionMark(node, engine_id)

    async def start(self, wanted: SessionSpec) -> None:
        self.tty = wanted.tty
        environment = {**self.mark.environment, **({"TERM": "xterm-256color"} if wanted.tty else {})}
        self._exec = await self._container.exec(
            list(wanted.command),
            stdin=True,
            tty=wanted.tty,
            user=wanted.user,
            workdir=wanted.work_dir or None,
            environment=environment,
            detach_keys=_DETACH_KEYS if wanted.tty else None,
        )
        self._stream = self._exec.start(detach=False)
        await self._stream._init()
        await self.resize(wanted.rows, wanted.cols)

    async def resize(self, rows: int, cols: int) -> None:
        if self.tty:
            await self._resize(f"exec/{self._exec.id}/resize", rows, cols)

    async def exit_code(self) -> int | None:
        for _ in range(_EXIT_TRIES):
            try:
                told = await self._exec.inspect()
            except (aiodocker.DockerError, aiohttp.ClientError, OSError):
                return None
            if not told.get("Running"):
                code = told.get("ExitCode")
                return code if isinstance(code, int) else None
            await asyncio.sleep(_EXIT_PAUSE_S)
        return None

    async def _end(self) -> None:
        await self._stream.close()
        killer = await self._container.exec(self.mark.ending, stdout=True, stderr=True, user="0")
        await killer.start(detach=True)
        self.mark.forget()


class AttachStream(_EngineStream):
    """What the first process of a container reads and writes."""

    async def start(self) -> None:
        config = (await self._container.show()).get("Config") or {}
        self.tty, self.takes_input = bool(config.get("Tty")), bool(config.get("OpenStdin"))
        self._stream = self._container.attach(
            stdin=self.takes_input,
            stdout=True,
            stderr=True,
            detach_keys=_DETACH_KEYS if self.tty else None,
        )
        await self._stream._init()

    async def resize(self, rows: int, cols: int) -> None:
        if self.tty:
            await self._resize(f"containers/{self._engine_id}/resize", rows, cols)


async def exec_open(client: EngineClient, engine_id: str, wanted: SessionSpec) -> ExecStream:
    """Start the command. Raises ``ComputeError`` when the container does not run."""
    stream = ExecStream(await _docker(client), engine_id, client.node)
    try:
        await _begun(client, stream, stream.start(wanted))
    except ComputeError:
        stream.mark.forget()
        raise
    return stream


async def attach_open(client: EngineClient, engine_id: str) -> AttachStream:
    """Raises ``ComputeError`` when the container does not run."""
    stream = AttachStream(await _docker(client), engine_id)
    await _begun(client, stream, stream.start())
    return stream


async def _docker(client: EngineClient) -> aiodocker.Docker:
    # The first contact asks for the version and may take its time: not in the event loop.
    await asyncio.to_thread(client.negotiated)
    return client.stream_client()


async def _begun(client: EngineClient, stream: _EngineStream, start: Awaitable[None]) -> None:
    try:
        await asyncio.wait_for(start, client.node.request_timeout_s)
    except asyncio.TimeoutError as error:
        await stream._docker.close()
        raise BackendTimeout(f"Docker on {client.node.name} did not open a session in time.") from error
    except aiodocker.DockerError as error:
        await stream._docker.close()
        raise stream_error(client.node.name, error) from error
    except (aiohttp.ClientError, OSError) as error:
        await stream._docker.close()
        raise BackendUnavailable(f"Docker on {client.node.name} cannot be reached.") from error
