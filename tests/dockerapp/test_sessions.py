"""Sessions and attachments on a real engine."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.types import ByteStream, NodeConfig, SessionSpec
from dockerapp.backend import DockerBackend
from tests.reporter import MemoryReporter

URL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture(scope="module")
def backend() -> Iterator[DockerBackend]:
    made = DockerBackend(NodeConfig("t-sessions", "sessions", "docker", URL))
    made.demo_image_make(MemoryReporter())
    yield made
    made.close()


@pytest.fixture
async def make(backend: DockerBackend, run_id: str) -> AsyncIterator[Any]:
    api, made = backend._client.api, []

    def _make(script: str, **body: Any) -> str:
        wanted = {
            "Image": "libgo/demo:latest",
            "Cmd": ["/bin/sh", "-c", script],
            "Labels": {"libgo.test": run_id},
            "HostConfig": {"NetworkMode": "none"},
            **body,
        }
        name = {"name": f"libgo-t-{uuid.uuid4().hex[:8]}"}
        engine_id = api._post_json(api._url("/containers/create"), data=wanted, params=name).json()["Id"]
        made.append(engine_id)
        api.start(engine_id)
        return str(engine_id)

    yield lambda *words, **body: asyncio.to_thread(_make, *words, **body)
    for engine_id in made:
        await asyncio.to_thread(api.remove_container, engine_id, force=True)


async def until(stream: ByteStream, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        data = await asyncio.wait_for(stream.read(), 10)
        assert data, f"it ended after {seen!r}"
        seen += data
    return seen


async def test_without_a_terminal_outputs_are_apart_input_ends_and_the_code_is_told(
    backend: DockerBackend, make: Any
) -> None:
    engine_id = await make("sleep 60")
    script = "echo out; echo err >&2; cat; echo $USER_ID; pwd; id -u; exit 3"
    wanted = SessionSpec(("/bin/sh", "-c", script), user="1000", work_dir="/tmp", tty=False)
    stream = await backend.exec_open(engine_id, wanted)
    await stream.write(b"typed\n")
    await stream.write_end()
    seen = {1: b"", 2: b""}
    while True:
        channel, data = await asyncio.wait_for(stream.read_from(), 10)
        if not data:
            break
        seen[channel] += data
    assert seen == {1: b"out\ntyped\n\n/tmp\n1000\n", 2: b"err\n"}
    assert await stream.exit_code() == 3
    await stream.close()


async def test_a_program_that_is_not_there_is_told_and_has_a_code(backend: DockerBackend, make: Any) -> None:
    engine_id = await make("sleep 60")
    stream = await backend.exec_open(engine_id, SessionSpec(("/nope",)))
    assert b"/nope" in await until(stream, b"nope")
    assert await stream.exit_code() in (126, 127)
    await stream.close()


async def test_a_ctrl_p_arrives_at_once(backend: DockerBackend, make: Any) -> None:
    """The engine's own keys to detach would hold it back."""
    engine_id = await make("sleep 60")
    stream = await backend.exec_open(engine_id, SessionSpec(("/bin/sh", "-c", "stty raw; head -c 1 | od -c")))
    await asyncio.sleep(0.3)
    await stream.write(b"\x10")
    assert b"020" in await until(stream, b"020")
    await stream.close()


async def test_letting_go_of_a_container_does_not_end_it(backend: DockerBackend, make: Any) -> None:
    engine_id = await make("cat", Tty=True, OpenStdin=True)
    stream = await backend.attach_open(engine_id)
    assert (stream.tty, stream.takes_input) == (True, True)
    await stream.resize(40, 100)
    await stream.write(b"hello\n")
    await until(stream, b"hello\r\nhello")
    await stream.close()
    again = await backend.attach_open(engine_id)
    await again.write(b"still here\n")
    await until(again, b"still here\r\nstill here")
    await again.close()


async def test_what_is_attached_to_says_which_output_and_ends_with_it(
    backend: DockerBackend, make: Any
) -> None:
    engine_id = await make("sleep 1; echo out; echo err >&2; sleep 1")
    stream = await backend.attach_open(engine_id)
    assert (stream.tty, stream.takes_input) == (False, False)
    seen = []
    while (piece := await asyncio.wait_for(stream.read_from(), 10))[1]:
        seen.append(piece)
    assert sorted(seen) == [(1, b"out\n"), (2, b"err\n")]
    await stream.close()


async def test_one_who_does_not_read_holds_its_own_process_back(backend: DockerBackend, make: Any) -> None:
    """Not our memory: what is not taken stays with the engine, which lets the process wait."""
    engine_id = await make("sleep 60")
    stream = await backend.exec_open(engine_id, SessionSpec(("/bin/sh", "-c", "yes 0123456789")))
    await asyncio.sleep(0.3)
    before = _memory_bytes()
    await asyncio.sleep(1.0)
    assert _memory_bytes() - before < 4 * 1024**2
    await stream.close()


def _memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_statistics_of_many_are_asked_for_at_once_and_those_of_none_are_left_out(
    backend: DockerBackend, make: Any
) -> None:
    """As for an engine elsewhere, whose kernel cannot be read."""
    running = [await make("sleep 60") for _ in range(5)]
    asked = [*running, "0" * 64]
    samples = await backend._usage._asked(asked)
    assert [sample is not None for sample in samples] == [True] * 5 + [False]
    assert all(sample.usage.memory_bytes for sample in samples if sample is not None)
