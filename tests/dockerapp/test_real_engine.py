"""What only Docker does, on a real engine; what every backend does is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from compute.backends.types import (
    InstanceInfo,
    InstanceSpec,
    LogQuery,
    NodeConfig,
    Resources,
    SessionSpec,
    UndoStep,
)
from compute.errors import BackendUnavailable, InvalidInput, InvalidState, NetworkNotFound
from compute.states import InstanceState, InstanceType
from dockerapp.backend import DockerBackend
from tests.attacks.catalogue import attack
from tests.live import strain, until
from tests.reporter import MemoryReporter

URL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
DEMO = "libgo/demo:latest"


@dataclass
class Containers:
    """A backend, and all that was made by it."""

    backend: DockerBackend
    run_id: str
    report: MemoryReporter = field(default_factory=MemoryReporter)

    def spec(self, **changes: Any) -> InstanceSpec:
        config = {"image": DEMO, "network_mode": "none", **changes.pop("config", {})}
        wanted: dict[str, Any] = {
            "name": f"libgo-t-{uuid.uuid4().hex[:8]}",
            "type": InstanceType.CONTAINER,
            "instance_id": str(uuid.uuid4()),
            "operation_id": str(uuid.uuid4()),
            "project_id": str(uuid.uuid4()),
            "config": self.backend.config_validate(config, allow_root_equivalent=False),
            "resources": Resources(),
            "labels": {"libgo.test": self.run_id},
        }
        return InstanceSpec(**{**wanted, **changes})

    def make(self, **config: Any) -> InstanceInfo:
        return self.backend.instance_create(self.spec(config=config), self.report)

    def listening(self) -> str:
        """The engine's id of one that says it is up: from then on it hears signals."""
        engine_id = self.make().engine_id
        until(lambda: self.backend.logs_read(engine_id, LogQuery()), "it is up", 20)
        return engine_id

    def shell(self, script: str, **config: Any) -> InstanceInfo:
        return self.make(command=["/bin/sh", "-c", script], **config)

    def state(self, engine_id: str) -> InstanceState:
        return self.backend.instance_get(engine_id).state

    def ended(self, engine_id: str) -> None:
        deadline = time.monotonic() + 10 * strain()
        while self.state(engine_id) == InstanceState.RUNNING:
            assert time.monotonic() < deadline, "it should have ended"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerBackend]:
    backend = DockerBackend(NodeConfig("t-real", "real", "docker", URL))
    was_there = DEMO in [image.name for image in backend.image_list()]
    backend.demo_image_make(MemoryReporter())
    yield backend
    if not was_there:
        backend._client.api.remove_image(DEMO, force=True)
    backend.close()


@pytest.fixture
def made(engine: DockerBackend, run_id: str) -> Iterator[Containers]:
    containers = Containers(engine, run_id)
    yield containers
    for step in containers.report.steps:
        engine.undo(step)


def test_the_demo_image_is_made_once(engine: DockerBackend) -> None:
    before = engine._client.api.inspect_image(DEMO)["Id"]
    assert engine.demo_image_make(MemoryReporter()) == DEMO
    assert engine._client.api.inspect_image(DEMO)["Id"] == before


def test_the_demo_container_says_that_it_is_up_and_leaves_at_once_when_asked(made: Containers) -> None:
    engine_id = made.make().engine_id
    deadline = time.monotonic() + 5 * strain()
    while not made.backend.logs_read(engine_id, LogQuery()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert made.backend.logs_read(engine_id, LogQuery())[0].text.startswith("LIBGO CONTAINER UP")
    began = time.monotonic()
    made.backend.instance_stop(engine_id, timeout_s=10, force=False, report=made.report)
    assert time.monotonic() - began < 3 * strain()
    assert made.backend.instance_get(engine_id).status == "Exited with code 0"


def test_an_unknown_network_is_named_and_undo_leaves_nothing(made: Containers) -> None:
    spec = made.spec(config={"network_mode": "libgo-t-absent"})
    with pytest.raises(NetworkNotFound, match="libgo-t-absent"):
        made.backend.instance_create(spec, made.report)
    assert made.report.steps == [], "nothing was made that would have to be undone"
    assert spec.name not in [info.name for info in made.backend.instance_list()]


def test_a_program_that_is_not_in_the_image_is_named_without_the_runtime_s_words(made: Containers) -> None:
    with pytest.raises(InvalidInput, match="/nope") as refused:
        made.make(command=["/nope"])
    assert "OCI" not in refused.value.message and "runc" not in refused.value.message


@pytest.mark.parametrize("when", ["create", "update"])
def test_a_limit_of_storage_is_refused_not_ignored(made: Containers, when: str) -> None:
    wanted = Resources(storage_bytes=10**9)
    with pytest.raises(InvalidInput) as refused:
        if when == "create":
            made.backend.instance_create(made.spec(resources=wanted), made.report)
        else:
            made.backend.instance_update(made.make().engine_id, wanted, made.report)
    assert "resources.storage.total_space" in refused.value.details["fields"]


def test_undo_takes_only_what_its_operation_made(made: Containers) -> None:
    mine = made.make()
    made.backend.undo(UndoStep("container", {"name": mine.name, "operation_id": str(uuid.uuid4())}))
    assert made.state(mine.engine_id) == InstanceState.RUNNING


def test_labels_of_the_request_cannot_replace_ours(made: Containers) -> None:
    spec = made.spec(labels={"libgo.operation": "forged", "libgo.instance": "forged"})
    info = made.backend.instance_create(spec, made.report)
    assert (info.operation_id, info.instance_id) == (spec.operation_id, spec.instance_id)


@pytest.mark.parametrize("keep", [True, False])
def test_anonymous_volumes_go_with_the_container_unless_kept(made: Containers, keep: bool) -> None:
    api = made.backend._client.api
    image = f"libgo-t-{uuid.uuid4().hex[:8]}:1"
    base = made.make()
    repository, _, tag = image.partition(":")
    api.commit(base.engine_id, repository, tag, changes="VOLUME /data")
    try:
        info = made.make(image=image)
        volume = info.storage[0].name
        made.backend.instance_delete(info.engine_id, keep_storage=keep, report=made.report)
        left = [item["Name"] for item in api.volumes()["Volumes"] or []]
        assert (volume in left) == keep
        if keep:
            api.remove_volume(volume)
    finally:
        api.remove_image(image, force=True)


def test_the_shown_config_may_be_asked_for_again(made: Containers) -> None:
    info = made.make(
        env={"GREETING": "hello=world"},
        restart_policy={"policy": "on-failure", "maximum_retry_count": 3},
        health_check={"test": "true", "interval": 1.5, "retries": 2},
        capabilities={"drop": ["NET_RAW"]},
        tmpfs=["/scratch"],
        read_only=True,
        log_options={"max-size": "1m"},
        working_dir="/tmp",
        hostname="h",
        user="nobody",
    )
    again = made.backend.config_validate(info.config, allow_root_equivalent=False)
    assert again["health_check"] == {"test": ["CMD-SHELL", "true"], "interval": 1.5, "retries": 2}
    assert again["env"]["GREETING"] == "hello=world" and again["log_options"] == {"max-size": "1m"}
    assert again["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (again["read_only"], again["tmpfs"], again["user"]) == (True, ["/scratch"], "nobody")


def test_a_container_that_dies_and_restarts_for_ever_can_be_stopped(made: Containers) -> None:
    engine_id = made.shell("exit 1", restart_policy="always").engine_id
    time.sleep(0.5)
    made.backend.instance_stop(engine_id, timeout_s=1, force=True, report=made.report)
    time.sleep(1)
    assert made.state(engine_id) == InstanceState.STOPPED


def test_a_paused_one_is_stopped_politely(made: Containers) -> None:
    engine_id = made.listening()
    made.backend.instance_pause(engine_id, made.report)
    made.backend.instance_stop(engine_id, timeout_s=20, force=False, report=made.report)
    assert made.backend.instance_get(engine_id).status == "Exited with code 0"


def test_a_signal_reaches_the_first_process(made: Containers) -> None:
    engine_id = made.listening()
    made.backend.instance_kill(engine_id, "SIGTERM", made.report)
    made.ended(engine_id)
    assert made.backend.instance_get(engine_id).status == "Exited with code 0"


def test_both_streams_and_lines_longer_than_a_message_are_whole(made: Containers) -> None:
    script = "head -c 40000 /dev/zero | tr '\\0' a; echo; echo problem >&2"
    engine_id = made.shell(script).engine_id
    made.ended(engine_id)
    lines = made.backend.logs_read(engine_id, LogQuery())
    assert sorted((line.stream, line.text) for line in lines) == [
        ("stderr", "problem"),
        ("stdout", "a" * 40000),
    ]
    assert all(line.timestamp is not None for line in lines)


@attack("S81", "a tail of a log without bounds", refused="bounded in lines and bytes")
def test_the_tail_and_the_bytes_of_a_log_are_bounded(made: Containers) -> None:
    engine_id = made.shell("for n in $(seq 2000); do echo line $n; done").engine_id
    made.ended(engine_id)
    tail = made.backend.logs_read(engine_id, LogQuery(tail=3))
    assert [line.text for line in tail] == ["line 1998", "line 1999", "line 2000"]
    for asked in (None, 10**9):
        assert len(made.backend.logs_read(engine_id, LogQuery(tail=asked, max_bytes=2000))) < 60


async def test_followed_logs_come_as_they_are_written_and_end_with_it(made: Containers) -> None:
    create = asyncio.to_thread(made.shell, "for n in 1 2 3; do echo tick $n; sleep 0.3; done")
    engine_id = (await create).engine_id
    seen = [line.text async for lines in made.backend.logs_follow(engine_id, LogQuery()) for line in lines]
    assert seen == ["tick 1", "tick 2", "tick 3"]


async def _until(stream: Any, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        seen += await asyncio.wait_for(stream.read(), 10)
    return seen


async def test_a_terminal_takes_keys_and_sizes_and_leaves_no_process_behind(made: Containers) -> None:
    engine_id = (await asyncio.to_thread(made.make)).engine_id
    stream = await made.backend.exec_open(engine_id, SessionSpec(("/bin/sh",), rows=40, cols=123))
    await stream.write(b"stty size; sleep 987 &\n")
    await _until(stream, b"40 123")
    await stream.resize(50, 150)
    await stream.write(b"stty size; echo do''ne\n")
    await _until(stream, b"done")
    await stream.close()
    await stream.close()
    deadline = time.monotonic() + 5 * strain()
    while time.monotonic() < deadline:
        top = await asyncio.to_thread(made.backend._client.api.top, engine_id)
        left = [row for row in top["Processes"] if "987" in row[-1]]
        if not left:
            break
        await asyncio.sleep(0.1)
    assert not left, left


async def test_streams_give_their_connections_back(made: Containers) -> None:
    engine_id = (await asyncio.to_thread(made.make)).engine_id
    await asyncio.to_thread(made.backend.instance_get, engine_id)
    before = _open_sockets()
    for _ in range(5):
        async for _lines in made.backend.logs_follow(engine_id, LogQuery()):
            break
        stream = await made.backend.exec_open(engine_id, SessionSpec(("/bin/sh",), rows=24, cols=80))
        await stream.close()
    await asyncio.sleep(0.2)
    assert _open_sockets() <= before + 2


def _open_sockets() -> int:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(1 for link in links if os.readlink(link).startswith("socket:"))


async def test_a_terminal_in_what_does_not_run_is_refused(made: Containers) -> None:
    engine_id = (await asyncio.to_thread(made.make)).engine_id
    await asyncio.to_thread(
        made.backend.instance_stop, engine_id, timeout_s=1, force=True, report=made.report
    )
    with pytest.raises(InvalidState):
        await made.backend.exec_open(engine_id, SessionSpec(("/bin/sh",), rows=24, cols=80))


def test_events_end_within_a_second_also_when_nothing_happens(engine: DockerBackend) -> None:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: list(engine.events(stop, ready.set)))
    thread.start()
    assert ready.wait(20)
    began = time.monotonic()
    stop.set()
    thread.join(20)
    assert not thread.is_alive() and time.monotonic() - began < 1.5 * strain()


def test_what_happens_inside_a_container_is_no_event(made: Containers) -> None:
    engine_id = made.make().engine_id
    stop, ready, seen = threading.Event(), threading.Event(), []

    def listen() -> None:
        seen.extend(made.backend.events(stop, ready.set))

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(20)
    api = made.backend._client.api
    api.exec_start(api.exec_create(engine_id, ["/bin/true"])["Id"])
    made.backend.instance_pause(engine_id, made.report)
    time.sleep(0.5)
    stop.set()
    thread.join(20)
    assert [event.action for event in seen if event.engine_id == engine_id] == ["pause"]


def test_processor_and_memory_of_a_busy_container_are_measured(made: Containers) -> None:
    engine_id = made.shell("while :; do :; done").engine_id
    usage = made.backend.usage(engine_id)
    assert usage.cpu_percent is not None and usage.cpu_percent > 1
    assert usage.memory_bytes and usage.pids
    began = time.monotonic()
    assert engine_id in made.backend.usage_all()
    assert time.monotonic() - began < 3 * strain()


def test_an_api_version_that_the_engine_does_not_speak_is_explained() -> None:
    backend = DockerBackend(NodeConfig("t-new", "new", "docker", URL, {"api_version": "1.99"}))
    with pytest.raises(BackendUnavailable, match="API version"):
        backend.probe()


def test_the_probe_tells_how_the_engine_keeps_images_and_groups(engine: DockerBackend) -> None:
    info = engine.probe()
    assert info.details["storage_driver"] and info.details["cgroup_version"] in ("1", "2")
    assert info.capabilities == engine.capabilities
