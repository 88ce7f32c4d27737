"""What an engine tells ends, breaks off, stalls or comes ten thousand times, and the mirror stays right."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import orjson
import pytest

from tests.engines import PrivateEngine
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, asked, engine_list, lists_timed, mirror, node_added
from tests.faulty import FaultyProxy, Rule, faulty_socket
from tests.live import LiveConsole, until
from tests.reporter import MemoryReporter

_EVENTS = "GET .*/events"
_MANY = 300
_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
# It stands, and tells nothing; what is asked beside it is answered.
_DEAF = Rule(r"GET .*/events\?(?!.*until=)", bytes_per_s=1)
_DEAF_S = 10.0
_ENDS = Rule(_EVENTS, answer=_CHUNKED + b"0\r\n\r\n")
_CLOSING = _CHUNKED.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
_BREAKS = Rule(_EVENTS, answer=_CLOSING + b'40\r\n{"Type":"container","Act')
# Of what is missed while a stream of events fails, with 300 containers there.
_SHOWN_S = 2.0


@pytest.fixture
def way(engine: PrivateEngine, tmp_path: Path) -> Iterator[FaultyProxy]:
    """To the engine, through something that can be told to fail."""
    proxy = faulty_socket(engine.socket, tmp_path / "way.sock")
    yield proxy
    proxy.close()


@pytest.fixture
def client(engine: PrivateEngine) -> Iterator[docker.APIClient]:
    made = docker.APIClient(base_url=engine.url, version="1.41")
    yield made
    made.close()


def _make(client: docker.APIClient, count: int, word: str) -> list[str]:
    """Containers made behind LibGo's back, never started; their names."""
    config = client.create_host_config(network_mode="none")

    def one(number: int) -> str:
        name = f"libgo-t-{word}-{number}"
        client.create_container("libgo/demo:latest", name=name, host_config=config)
        return name

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(count)))


def _remove(client: docker.APIClient, names: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.remove_container(name, force=True), names))


def _changes_shown(
    live: LiveConsole, client: docker.APIClient, way: FaultyProxy, node: str, rule: Rule
) -> float:
    """The seconds until three that came and three that went are known, while the stream fails like this."""
    way.rules = [rule]
    way.cut()
    asked_before = len(way.asked)
    until(lambda: sum(bool(re.match(_EVENTS, r)) for r in way.asked[asked_before:]) > 3, "it tries", 10)
    came = _make(client, 3, f"came-{os.urandom(2).hex()}")
    shown = until(lambda: _shows(live, node, came), "what came is shown", 15)
    _remove(client, came)
    return max(shown, until(lambda: not set(came) & set(mirror(live, node)), "what went is not", 15))


def _shows(live: LiveConsole, node: str, names: list[str]) -> bool:
    return set(names) <= set(mirror(live, node))


@fault(
    "F06 F07 F37",
    f"the stream of events stalls while {_MANY} containers are made, breaks off, ends at once over and over, "
    "and breaks off in the middle of an event; then the engine is empty",
    sees=f"what changes, within {_SHOWN_S:g} s; all {_MANY} at once, and then none; nobody is alarmed",
    keeps="nothing is taken for gone without a complete list",
)
def test_many_that_come_and_go_while_nobody_listens_are_a_list_each_time(
    live: LiveConsole,
    engine: PrivateEngine,
    node: str,
    way: FaultyProxy,
    client: docker.APIClient,
    measured: Measured,
    converged: Callable[[], None],
) -> None:
    before = live.get("/alerts")["total"]
    with node_added(live, f"unix://{way.path}") as path, lists_timed(live) as slowest:
        name = live.get(path)["name"]
        way.rules = [_DEAF]
        way.cut()
        until(lambda: any(re.match(_EVENTS, request) for request in way.asked[-40:]), "it listens", 5)
        made = _make(client, _MANY, "many")
        way.rules = []
        way.cut()
        measured("shown after", until(lambda: _shows(live, name, made), "all are shown", 10))
        for word, rule in (("ends", _ENDS), ("breaks off", _BREAKS)):
            # Others may be using the machine.
            took = min(_changes_shown(live, client, way, name, rule) for _ in range(2))
            measured(f"{word}: shown after", took)
            assert took < _SHOWN_S, f"{word}: {took:.1f} s"
        engine.stop()
        engine.data_root = engine.folder / f"root-{os.urandom(2).hex()}"
        until(lambda: live.get(path)["status"] == "unreachable", "the node is marked", 5)
        assert _shows(live, name, made), "an engine that is away has not lost them"
        engine.start()
        gone = until(lambda: not set(made) & set(mirror(live, name)), "none is shown", 10)
        measured("gone after", gone)
        until(lambda: not set(made) & set(mirror(live, live.get(node)["name"])), "none is shown", 10)
        with asked(engine) as backend:
            backend.demo_image_make(MemoryReporter())
    measured("slowest list", max(slowest))
    assert max(slowest) < 1.0
    assert live.get("/alerts")["total"] <= before + 1


@fault(
    "F05 F06",
    "the stream of events stands, but nothing comes any more; the engine answers whatever it is asked",
    sees=f"what changes, within {_DEAF_S:g} s, and from then on at once again",
    keeps="instances; the node stays in use; no list more than before while nothing happens",
)
def test_a_stream_that_has_gone_deaf_is_followed_anew(
    live: LiveConsole,
    node: str,
    way: FaultyProxy,
    client: docker.APIClient,
    measured: Measured,
    converged: Callable[[], None],
) -> None:
    with node_added(live, f"unix://{way.path}") as path:
        name = live.get(path)["name"]
        way.rules = [_DEAF]
        way.cut()
        until(lambda: _subscribed(way), "it listens", 10)
        time.sleep(2)
        lists = _lists(way)
        time.sleep(12)
        assert _lists(way) == lists, "a quiet engine is left alone"
        for turn in range(2):
            came, began = _make(client, 1, f"deaf{turn}-{os.urandom(2).hex()}"), time.monotonic()
            assert not _shows(live, name, came), "nobody could know"
            if turn:
                # It is deaf again; the next one will hear.
                way.rules = []
            until(lambda came=came: _shows(live, name, came), "it is shown", 20)  # type: ignore[misc]
            took = time.monotonic() - began
            measured(f"{'again' if turn else 'shown'} after", took)
            assert took < _DEAF_S, took
            assert live.get(path)["status"] == "online"
        came = _make(client, 1, f"heard-{os.urandom(2).hex()}")
        measured("then after", until(lambda: _shows(live, name, came), "it hears", 3))
        _remove(client, [container["Id"] for container in client.containers(all=True)])


def _subscribed(way: FaultyProxy) -> int:
    return sum(bool(re.match(_DEAF.match, request)) for request in way.asked)


def _lists(way: FaultyProxy) -> int:
    return sum("/containers/json" in request for request in way.asked)


@fault(
    "F36",
    "ten thousand events of 50 containers in 5 seconds, ten of which change all the time",
    sees="two changes a second of each at the most; the newest state as soon as it is quiet",
    keeps="memory stays flat",
)
def test_a_storm_of_events_is_read_at_a_steady_pace(
    live: LiveConsole,
    engine: PrivateEngine,
    node: str,
    way: FaultyProxy,
    client: docker.APIClient,
    measured: Measured,
    converged: Callable[[], None],
) -> None:
    made = _make(client, 50, "storm")
    ids = [client.inspect_container(name)["Id"] for name in made]
    with node_added(live, f"unix://{way.path}") as path:
        name = live.get(path)["name"]
        until(lambda: _shows(live, name, made), "all are shown", 10)
        rows = live.get(f"/compute/instances?node={name}&page_size=500")["instances"]
        flapping = [row["id"] for row in rows if row["engine_id"] in ids[:10]]
        storm = _CHUNKED + b"".join(_event(ids, number) for number in range(10_000))
        way.rules = [Rule(_EVENTS, answer=storm, bytes_per_s=len(storm) // 5)]
        memory, began = _memory_mib(live), time.monotonic()
        way.cut()
        count = 0
        while time.monotonic() - began < 5:
            count += 1
            client.rename(ids[count % 10], f"libgo-t-storm-x{count}")
        storm_s = time.monotonic() - began
        way.rules = []
        way.cut()
        measured("right after", until(lambda: mirror(live, name) == engine_list(engine), "it is right", 30))
        changes = [_changes(live, instance) for instance in flapping]
        assert min(changes) > 1 and max(changes) <= 2 * storm_s + 3, (count, changes)
        assert _memory_mib(live) - memory < 30
        _remove(client, ids)
        until(lambda: not mirror(live, name), "all are gone", 20)


def _changes(live: LiveConsole, instance: str) -> int:
    """How often its row was written with something new."""
    told = live.get(f"/events?instance={instance}&limit=500")["items"]
    return sum(event["type"] == "instance.updated" for event in told)


def _event(ids: list[str], number: int) -> bytes:
    """A piece of the stream, in the shape of the engine's own."""
    at = 1_700_000_000_000_000_000 + number
    text = {"Type": "container", "Action": "rename", "Actor": {"ID": ids[number % len(ids)]}, "timeNano": at}
    data = orjson.dumps(text) + b"\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _memory_mib(live: LiveConsole) -> float:
    status = Path(f"/proc/{live.pid('watcher')}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
