"""Streams: logs read and followed, many followers of one, the echo of a key."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import requests

from tests.bench.figures import Row, difference, value
from tests.bench.figures import row as figure
from tests.bench.run import Found, Site
from tests.bench.wire import EngineLine
from tests.live import LiveConsole, until
from tests.sockets import Followed, engine_streams, memory_mib, socket_open, until_true

IMAGE = "libgo/demo:latest"
_BOTH = "stdout=1&stderr=1"
_LINES, _LINE = 100_000, "abcdefghijklmnopqrstuvwxyz" * 3 + "abcdefghijklmnop"
_ROUNDS = 7
_FOLLOWERS = 200
_KEYS = 100


def logs(site: Site) -> Found:
    """A log of 100,000 lines, from the engine's socket by http.client and through LibGo."""
    for has_terminal in (False, True):
        yield from _log_rows(site, has_terminal)


def _log_rows(site: Site, has_terminal: bool) -> Found:
    kind = "a terminal" if has_terminal else "no terminal"
    with container(site, f"yes {_LINE} | head -n {_LINES}", Tty=has_terminal) as name:
        site.engine._client.api.wait(name, timeout=300)
        token = {"Authorization": f"Bearer {site.console.log_in()}"}
        url = f"{site.console.url}/api/v1/docker/containers/{name}/logs?tail=all"
        cases = {
            f"Docker engine: log by http.client, {kind}": lambda: raw_read(
                f"/containers/{name}/logs?{_BOTH}"
            ),
            f"LibGo: the whole log as text, {kind}": lambda: http_read(f"{url}&format=text", token),
            f"LibGo: the same with follow=true, {kind}": lambda: http_read(f"{url}&follow=true", token),
        }
        engine, *ours = throughput(cases, _LINES * len(_LINE), _LINES * (len(_LINE) + 1), site.few(_ROUNDS))
        yield engine
        for row in ours:
            yield row.beside(engine).at_least(0.6, "ratio")


def followers(site: Site) -> Found:
    """200 sockets on one log of 10 lines a second."""
    script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"
    with container(site, script) as name:
        pk = site.console.shown(name)["id"]  # type: ignore[index]
        yield from asyncio.run(_followers(site.console, pk))


def echo(site: Site) -> Found:
    """From a key to its echo in a shell: on the engine's own connection and through a socket."""
    with container(site, "sleep 600") as name:
        pk = site.console.shown(name)["id"]  # type: ignore[index]
        api = site.engine._client.api
        started = api.exec_create(name, ["/bin/cat"], stdin=True, tty=True)
        raw = api.exec_start(started["Id"], tty=True, socket=True)._sock
        try:
            engine, ours = asyncio.run(_echoes(site.console, pk, raw, site.few(_KEYS)))
        finally:
            raw.close()
    yield engine
    yield ours
    yield difference("what LibGo adds to the echo of a key in a container", ours, engine).at_most(5)


async def _followers(console: LiveConsole, pk: str) -> list[Row]:
    # The connections that single questions share are there before the streams are counted.
    console.get(f"/compute/instances/{pk}/logs?tail=1")
    before, memory = engine_streams(console), memory_mib(console)
    tokens, mark = [console.log_in()], uuid.uuid4().hex[:6]
    for number in range(2):
        body = {"username": f"bench{mark}{number}", "password": "a password for tests 1", "role": "operator"}
        console.api("POST", "/users", body)
        tokens.append(console.log_in(f"bench{mark}{number}", "a password for tests 1"))
    path, began = f"/instances/{pk}/logs?tail=10&timestamps=true", time.monotonic()
    sockets = [await socket_open(console, path, tokens[n % 3], open_timeout=60) for n in range(_FOLLOWERS)]
    opened_s, followers = time.monotonic() - began, [Followed(each) for each in sockets]
    await until_true(lambda: all(each.texts for each in followers), "all follow", 60)
    starts = [len(each.came) for each in followers]
    await asyncio.sleep(10)
    rows = [came for each, start in zip(followers, starts, strict=True) for came in each.came[start:]]
    delays = sorted((at - _seconds(stamp)) * 1000 for at, stamp in rows)
    streams, grown = engine_streams(console) - before, memory_mib(console) - memory
    await asyncio.gather(*(each.close() for each in followers))
    what = f"LibGo: {_FOLLOWERS} followers of one log"
    return [
        figure(f"{what}: line written to line received", delays),
        value(f"{what}: streams from the engine, more than before", streams, ""),
        value(f"{what}: memory of the web process, more than before", grown, "MiB"),
        value(f"{what}: opening them", opened_s, "s"),
    ]


async def _echoes(console: LiveConsole, pk: str, raw: socket.socket, keys: int) -> list[Row]:
    session = await socket_open(console, f"/instances/{pk}/exec?command=/bin/cat")
    times: dict[str, list[float]] = {"raw": [], "libgo": []}
    for number in range(keys):
        key = bytes([97 + number % 26])
        began = time.perf_counter()
        raw.sendall(key)
        raw.recv(100)
        times["raw"].append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        await session.send(key)
        while not isinstance(await session.recv(), bytes):
            continue
        times["libgo"].append((time.perf_counter() - began) * 1000)
    await session.close()
    titles = {"raw": "Docker engine: a key and its echo", "libgo": "LibGo: a key and its echo over a socket"}
    return [figure(titles[name], values) for name, values in times.items()]


@contextmanager
def container(site: Site, script: str, **more: Any) -> Iterator[str]:
    """A running one that LibGo has seen; its name."""
    console, api, name = site.console, site.engine._client.api, site.name()
    body = {
        "Image": IMAGE,
        "Cmd": ["/bin/sh", "-c", script],
        "Labels": {"libgo.test": "bench"},
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "json-file", "Config": {}}},
        **more,
    }
    made = api._post_json(api._url("/containers/create"), data=body, params={"name": name}).json()["Id"]
    try:
        api.start(made)
        until(lambda: (console.shown(name) or {}).get("engine_id"), "LibGo has seen it", 60)
        yield name
    finally:
        api.remove_container(made, force=True)


def throughput(cases: dict[str, Callable[[], int]], at_least: int, size: int, rounds: int) -> list[Row]:
    """Megabytes a second of ``size`` bytes; each case, which tells how much it moved, once a round."""
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            began = time.perf_counter()
            moved = case()
            assert moved >= at_least, f"{name}: only {moved} bytes"
            speeds[name].append(size / 1e6 / (time.perf_counter() - began))
    return [figure(name, values, "MB/s") for name, values in speeds.items()]


def raw_read(path: str) -> int:
    """How many bytes the engine itself answers with."""
    connection, size = EngineLine(), 0
    connection.request("GET", f"/v1.41{path}")
    response = connection.getresponse()
    while chunk := response.read(65536):
        size += len(chunk)
    connection.close()
    return size


def http_read(url: str, headers: dict[str, str]) -> int:
    with requests.Session() as http_session:
        http_session.trust_env = False
        with http_session.get(url, headers=headers, stream=True, timeout=300) as answer:
            assert answer.status_code == 200, answer.text[:500]
            return sum(len(chunk) for chunk in answer.iter_content(262_144))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:26] + "+00:00").timestamp()
