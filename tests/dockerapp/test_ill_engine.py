"""Engines that are absent, hang, answer late or are something else: each ends soon and says why."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from compute.backends.types import EngineEvent, InstanceSpec, LogQuery, NodeConfig, Resources, SessionSpec
from compute.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ComputeError,
    ImageNotFound,
    OperationCancelled,
)
from compute.states import InstanceType
from dockerapp.backend import DockerBackend
from dockerapp.engine.client import EngineClient
from dockerapp.engine.pull import image_pull
from tests.attacks.catalogue import attack
from tests.dockerapp.scripted import Request, ScriptedEngine
from tests.live import strain
from tests.reporter import MemoryReporter


@pytest.fixture
def place() -> Iterator[Path]:
    """A short folder: the path of a socket may have about a hundred letters only."""
    with tempfile.TemporaryDirectory(prefix="lg-") as folder:
        yield Path(folder)


@pytest.fixture
def ill(place: Path) -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine(place / "s")
    yield engine
    engine.stop()


def _node(url: str, **options: Any) -> NodeConfig:
    return NodeConfig(
        "ill",
        "ill",
        "docker",
        url,
        {"retry_delay_s": 0.05, **options},
        connect_timeout_s=3,
        request_timeout_s=1,
    )


def _took(action: Callable[[], object]) -> tuple[ComputeError, float]:
    began = time.monotonic()
    with pytest.raises(ComputeError) as refused:
        action()
    return refused.value, time.monotonic() - began


@pytest.mark.parametrize("ask", ["probe", "instance_list", "image_list"])
def test_an_absent_socket_is_unavailable_at_once(place: Path, ask: str) -> None:
    error, took = _took(getattr(DockerBackend(_node(f"unix://{place}/none")), ask))
    assert isinstance(error, BackendUnavailable) and took < 2 * strain()
    assert "Is the Docker daemon running?" in error.message
    assert str(place) not in error.message, "no paths of the server"


def test_an_engine_that_takes_connections_but_never_answers_is_unavailable_in_two_seconds(
    place: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(place / "s"))
        deaf.listen(64)
        backend = DockerBackend(_node(f"unix://{place}/s"))
        error, took = _took(backend.probe)
        assert isinstance(error, BackendUnavailable) and took < 2 * strain(), (error, took)
        assert "does not answer" in error.message


def test_many_callers_of_a_hung_engine_wait_side_by_side(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(place / "s"))
        deaf.listen(64)
        backend = DockerBackend(_node(f"unix://{place}/s"))
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(backend.instance_list) for _ in range(8)]
        errors = [future.exception() for future in asked]
        assert all(isinstance(error, BackendUnavailable) for error in errors)
        assert time.monotonic() - began < 8 * 1.5 / 2 * strain()


def test_an_address_that_drops_packets_is_unavailable_after_the_connect_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"tcp://127.0.0.1:{full.getsockname()[1]}"
        node = NodeConfig("t", "t", "docker", url, {"api_version": "1.41"}, 0.5, 20)
        error, took = _took(DockerBackend(node).instance_list)
        for one in waiting:
            one.close()
    assert isinstance(error, BackendUnavailable) and took < 2 * strain(), (error, took)


@attack(
    "S75", "something else that answers in the engine's place", refused="no engine; the node is unreachable"
)
def test_something_else_on_the_socket_is_said_to_be_no_engine(ill: ScriptedEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr("tests.dockerapp.scripted.VERSION", {"hello": "world"})
    error, _ = _took(DockerBackend(_node(ill.url)).probe)
    assert isinstance(error, BackendUnavailable) and "not a Docker engine" in error.message


def test_a_command_that_is_not_answered_has_an_unknown_outcome(ill: ScriptedEngine) -> None:
    ill.script["POST /containers/c/restart"] = Request.hang
    backend = DockerBackend(_node(ill.url))
    error, _ = _took(lambda: backend.instance_restart("c", timeout_s=0, report=MemoryReporter()))
    assert isinstance(error, BackendTimeout)
    assert ill.asked.count("POST /containers/c/restart") == 1, "never repeated blindly"


def test_a_create_that_was_answered_too_late_is_found_by_its_label(ill: ScriptedEngine) -> None:
    ill.script = {
        "GET /images/demo/json": lambda request: request.answer(200, {}),
        "POST /containers/create": Request.hang,
        "GET /containers/json": lambda request: request.answer(200, [{"Id": "made"}]),
        "GET /containers/made/json": lambda request: request.answer(200, {"Id": "made", "Name": "/late"}),
    }
    backend = DockerBackend(_node(ill.url))
    config = backend.config_validate({"image": "demo"}, allow_root_equivalent=False)
    spec = InstanceSpec(
        "late", InstanceType.CONTAINER, str(uuid.uuid4()), "op", "p", config, Resources(), auto_start=False
    )
    assert backend.instance_create(spec, MemoryReporter()).engine_id == "made"
    assert ill.asked.count("POST /containers/create") == 1


def test_a_pull_during_which_nothing_comes_can_be_cancelled(ill: ScriptedEngine) -> None:
    def stall(request: Request) -> None:
        request.begin_stream()
        request.piece({"status": "Pulling fs layer", "id": "a"})
        request.hang()

    ill.script["POST /images/create"] = stall
    beats: list[float] = []

    def show(percent: float, step: str, line: str) -> None:
        beats.append(percent)
        if len(beats) == 3:
            raise OperationCancelled("enough")

    began = time.monotonic()
    with pytest.raises(OperationCancelled):
        image_pull(EngineClient(_node(ill.url)), "demo", show)
    assert time.monotonic() - began < 4 * strain()
    assert ill.gone.wait(20), "the engine must see that nobody waits, so it stops the pull"


def test_a_pull_that_is_not_even_begun_can_be_cancelled(ill: ScriptedEngine) -> None:
    ill.script["POST /images/create"] = Request.hang

    def show(percent: float, step: str, line: str) -> None:
        raise OperationCancelled("enough")

    began = time.monotonic()
    with pytest.raises(OperationCancelled):
        image_pull(EngineClient(_node(ill.url)), "demo", show)
    assert time.monotonic() - began < 2 * strain()


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"error": "manifest unknown"}, ImageNotFound, "No registry has"),
        ({"error": "unauthorized: authentication required"}, BackendError, "does not let"),
        ({"error": "write /var/lib/docker/tmp/x: no space left on device"}, BackendError, "ill is full"),
        ({"status": "Pulling from demo", "id": "latest"}, BackendError, "before the image was complete"),
    ],
)
def test_what_goes_wrong_in_the_middle_of_a_pull_is_told(
    ill: ScriptedEngine, event: dict[str, Any], kind: type[ComputeError], words: str
) -> None:
    def script(request: Request) -> None:
        request.begin_stream()
        request.piece(event)
        request.wfile.write(b"0\r\n\r\n")

    ill.script["POST /images/create"] = script
    ill.script["GET /images/demo/json"] = lambda request: request.answer(
        404, {"message": "No such image: demo"}
    )
    with pytest.raises(kind, match=words) as refused:
        image_pull(EngineClient(_node(ill.url)), "demo", lambda *said: None)
    assert "/var/lib" not in refused.value.message


def test_an_engine_lost_in_the_middle_of_a_pull_is_not_a_success(ill: ScriptedEngine) -> None:
    def script(request: Request) -> None:
        request.begin_stream()
        request.piece({"status": "Downloading", "id": "a"})
        request.close_connection = True

    ill.script["POST /images/create"] = script
    with pytest.raises(BackendUnavailable):
        image_pull(EngineClient(_node(ill.url)), "demo", lambda *said: None)


def test_lost_events_say_so_and_leave_no_thread_behind(ill: ScriptedEngine) -> None:
    def script(request: Request) -> None:
        request.begin_stream()
        request.piece({"Type": "container", "Action": "start", "Actor": {"ID": "c"}, "timeNano": 10**18})
        request.wfile.write(b"0\r\n\r\n")

    ill.script["GET /events"] = script
    before = threading.active_count()
    seen: list[EngineEvent] = []
    with pytest.raises(BackendUnavailable):
        for event in DockerBackend(_node(ill.url)).events(threading.Event(), lambda: None):
            seen.append(event)
    assert [event.engine_id for event in seen] == ["c"]
    deadline = time.monotonic() + 3 * strain()
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "_close_when" in name], names


async def test_a_terminal_on_an_engine_that_hangs_is_given_up(ill: ScriptedEngine) -> None:
    ill.script["POST /containers/c/exec"] = Request.hang
    began = time.monotonic()
    with pytest.raises(BackendTimeout):
        await DockerBackend(_node(ill.url)).exec_open("c", SessionSpec(("/bin/sh",)))
    assert time.monotonic() - began < 3 * strain()


async def test_a_log_stream_that_breaks_off_is_unavailable(ill: ScriptedEngine) -> None:
    def script(request: Request) -> None:
        request.begin_stream()
        request.wfile.write(b"ff\r\n")
        request.close_connection = True

    ill.script["GET /containers/c/json"] = lambda request: request.answer(200, {"Id": "c", "Config": {}})
    ill.script["GET /containers/c/logs"] = script
    with pytest.raises(BackendUnavailable):
        async for _ in DockerBackend(_node(ill.url)).logs_follow("c", LogQuery()):
            pass


_CONTAINER = {
    "Id": "c" * 64,
    "Names": ["/web"],
    "Name": "/web",
    "Image": "demo",
    "ImageID": "sha256:1",
    "Created": 1_700_000_000,
    "Status": "Up 2 minutes (healthy)",
    "Labels": {"a": "b"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    "Mounts": [{"Name": "v", "Source": "/v", "Destination": "/v", "Type": "volume"}],
    "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
    "Config": {"Image": "demo", "Labels": {"a": "b"}, "Env": ["A=b"], "Cmd": ["x"]},
    "HostConfig": {
        "Memory": 1,
        "NanoCpus": 1,
        "CpuQuota": 1,
        "PortBindings": {"80/tcp": [{"HostPort": "8080"}]},
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 1},
    },
    "NetworkSettings": {
        "Networks": {"bridge": {"MacAddress": "x", "IPAddress": "1.2.3.4"}},
        "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
    },
    "RepoTags": ["demo:1"],
    "Size": 1,
    "Driver": "bridge",
    "IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]},
    "Containers": {"c": {"IPv4Address": "1.2.3.4/8"}},
    "Options": {"a": "b"},
}
_WRONG: list[Any] = [None, 10**30, "x", [[]], {"x": {"x": []}}]


def _wrongly(document: Any) -> Iterator[Any]:
    """The document with each of its values in turn as each of what it cannot be."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        inner = _wrongly(value) if isinstance(value, (dict, list)) else iter(())
        for other in (*_WRONG, *inner):
            copy = document.copy()
            copy[key] = other
            yield copy


@attack(
    "S75",
    "each value of what an engine says of containers, images, networks and volumes with each wrong type",
    refused="understood, or refused as a whole: nothing of it is taken and nothing crashes",
)
def test_wrong_types_are_refused_and_crash_nothing(ill: ScriptedEngine) -> None:
    backend, said = DockerBackend(_node(ill.url)), {"row": _CONTAINER}
    listed = ("/containers/json", "/images/json", "/networks")
    ill.script = {f"GET {path}": lambda request: request.answer(200, [said["row"]]) for path in listed}
    ill.script["GET /volumes"] = lambda request: request.answer(200, {"Volumes": [said["row"]]})
    ill.script["GET /containers/c/json"] = lambda request: request.answer(200, said["row"])
    asked: list[Callable[[], object]] = [
        backend.instance_list,
        lambda: backend.instance_get("c"),
        backend.image_list,
        backend.network_list,
        *(partial(backend.resource_list, kind) for kind in ("image", "network", "volume")),
    ]
    refused: set[int] = set()
    for row in (*_wrongly(_CONTAINER), *_WRONG):
        said["row"] = row
        for number, ask in enumerate(asked):
            try:
                ask()
            except ComputeError as error:
                assert isinstance(error, BackendError), error
                refused.add(number)
    assert refused == set(range(len(asked)))
    backend.close()
