"""What every engine that speaks Docker's API does beyond the contract of all backends: streams and lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from compute.backends.types import ByteStream, LogQuery, SessionSpec
from tests.contract.conftest import Subject, subject_make
from tests.live import until


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, run_id: str, engines: None) -> Iterator[Subject]:
    made = subject_make(request, run_id)
    yield made
    made.clean()


async def test_the_log_is_read_and_followed(engine: Subject) -> None:
    engine_id = (await asyncio.to_thread(engine.create)).engine_id
    # The container says it when it comes to it.
    await asyncio.to_thread(
        until, lambda: engine.backend.logs_read(engine_id, LogQuery()), "the first line", 10
    )
    lines = await asyncio.to_thread(engine.backend.logs_read, engine_id, LogQuery())
    assert [line.text.startswith("LIBGO CONTAINER UP") for line in lines] == [True]
    assert lines[0].stream == "stdout" and lines[0].timestamp is not None
    followed = engine.backend.logs_follow(engine_id, LogQuery())
    first = await asyncio.wait_for(anext(followed), 10)
    assert [line.text for line in first] == [lines[0].text]
    await followed.aclose()  # type: ignore[attr-defined]


async def test_a_session_answers_and_ends(engine: Subject) -> None:
    engine_id = (await asyncio.to_thread(engine.create)).engine_id
    stream = await engine.backend.exec_open(engine_id, SessionSpec(("/bin/sh",), rows=30, cols=100))
    try:
        await stream.write(b"echo $((6*7)) $(stty size)\n")
        assert b"42 30 100" in await asyncio.wait_for(_until(stream, b"42 30 100"), 10)
    finally:
        await stream.close()


async def _until(stream: ByteStream, words: bytes) -> bytes:
    said = b""
    while words not in said:
        piece = await stream.read()
        assert piece, f"the session ended after {said!r}"
        said += piece
    return said


def test_what_is_no_instance_is_listed(engine: Subject) -> None:
    images = engine.backend.resource_list("image")
    assert any("libgo/demo" in tag for image in images for tag in image.data["tags"])
    assert engine.backend.resource_list("network"), "every engine has a network"
    assert isinstance(engine.backend.resource_list("volume"), list)
