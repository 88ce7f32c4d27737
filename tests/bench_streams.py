"""Benches of streams: logs read and followed, many followers of one, the echo of a key."""

from __future__ import annotations

import asyncio
import http.client
import socket
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import requests

from dockerapp.backend import DockerBackend
from tests.live import LiveConsole, until
from tests.sockets import Followed, engine_streams, memory_mib, socket_open, until_true

_IMAGE = "libgo/demo:latest"
_LINES, _LINE = 100_000, "abcdefghijklmnopqrstuvwxyz" * 3 + "abcdefghijklmnop"
_ROUNDS = 3
_FOLLOWERS = 200
_KEYS = 100


def bench_logs(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """A log of 100,000 lines, from the engine's socket by http.client and through LibGo."""
    return [row for has_terminal in (False, True) for row in _log_rows(console, backend, has_terminal)]


def _log_rows(console: LiveConsole, backend: DockerBackend, has_terminal: bool) -> list[dict[str, Any]]:
    kind = "a terminal" if has_terminal else "no terminal"
    with _container(console, backend, f"yes {_LINE} | head -n {_LINES}", Tty=has_terminal) as name:
        backend._client.api.wait(name, timeout=300)
        token = {"Authorization": f"Bearer {console.log_in()}"}
        url = f"{console.url}/api/v1/docker/containers/{name}/logs?tail=all"
        return _throughput(
            {
                f"Docker engine: log by http.client, {kind}": lambda: _raw_read(name),
                f"LibGo: the whole log as text, {kind}": lambda: _http_read(f"{url}&format=text", token),
                f"LibGo: the same with follow=true, {kind}": lambda: _http_read(f"{url}&follow=true", token),
            }
        )


def bench_followers(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """200 sockets on one log of 10 lines a second."""
    script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"
    with _container(console, backend, script) as name:
        pk = console.shown(name)["id"]  # type: ignore[index]
        return asyncio.run(_followers(console, pk))


def bench_exec(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """From a key to its echo in a shell: on the engine's own connection and through a socket."""
    with _container(console, backend, "sleep 600") as name:
        pk = console.shown(name)["id"]  # type: ignore[index]
        api = backend._client.api
        started = api.exec_create(name, ["/bin/cat"], stdin=True, tty=True)
        raw = api.exec_start(started["Id"], tty=True, socket=True)._sock
        try:
            return asyncio.run(_echoes(console, pk, raw))
        finally:
            raw.close()


async def _followers(console: LiveConsole, pk: str) -> list[dict[str, Any]]:
    # The connections that single questions share are there before the streams are counted.
    console.get(f"/compute/instances/{pk}/logs?tail=1")
    before, memory = engine_streams(console), memory_mib(console)
    tokens = [console.log_in()]
    for number in range(2):
        body = {"username": f"bench{number}", "password": "a password for tests 1", "role": "operator"}
        console.api("POST", "/users", body)
        tokens.append(console.log_in(f"bench{number}", "a password for tests 1"))
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
        {
            "what": f"{what}: line written to line received",
            "p50_ms": round(statistics.median(delays), 2),
            "p95_ms": round(delays[int(len(delays) * 0.95) - 1], 2),
            "n": len(delays),
        },
        {"what": f"{what}: streams from the engine", "value": streams, "unit": "more than before"},
        {"what": f"{what}: memory of the web process", "value": round(grown, 1), "unit": "MiB more"},
        {"what": f"{what}: opening them", "value": round(opened_s, 1), "unit": "s"},
    ]


async def _echoes(console: LiveConsole, pk: str, raw: socket.socket) -> list[dict[str, Any]]:
    session = await socket_open(console, f"/instances/{pk}/exec?command=/bin/cat")
    times: dict[str, list[float]] = {"raw": [], "libgo": []}
    for number in range(_KEYS):
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
    return [
        {
            "what": titles[name],
            "p50_ms": round(statistics.median(values), 2),
            "p95_ms": round(sorted(values)[int(len(values) * 0.95) - 1], 2),
            "n": len(values),
        }
        for name, values in times.items()
    ]


@contextmanager
def _container(console: LiveConsole, backend: DockerBackend, script: str, **more: Any) -> Iterator[str]:
    """A running one that LibGo has seen; its name."""
    api, name = backend._client.api, f"libgo-t-{uuid.uuid4().hex[:8]}"
    body = {
        "Image": _IMAGE,
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


def _throughput(cases: dict[str, Callable[[], int]]) -> list[dict[str, Any]]:
    """Megabytes a second of what the container wrote; each case once a round."""
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(_ROUNDS):
        for name, case in cases.items():
            began = time.perf_counter()
            size = case()
            assert size >= _LINES * len(_LINE), f"{name}: only {size} bytes"
            speeds[name].append(_LINES * (len(_LINE) + 1) / 1e6 / (time.perf_counter() - began))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    engine = next(iter(medians.values()))
    return [
        {"what": name, "value": round(value, 2), "unit": f"MB/s ({value / engine:.2f} of the engine's)"}
        for name, value in medians.items()
    ]


class _Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def _raw_read(name: str) -> int:
    connection, size = _Engine("localhost"), 0
    connection.request("GET", f"/v1.41/containers/{name}/logs?stdout=1&stderr=1")
    response = connection.getresponse()
    while chunk := response.read(65536):
        size += len(chunk)
    connection.close()
    return size


def _http_read(url: str, headers: dict[str, str]) -> int:
    with requests.Session() as http_session:
        http_session.trust_env = False
        with http_session.get(url, headers=headers, stream=True, timeout=300) as answer:
            assert answer.status_code == 200, answer.text[:500]
            return sum(len(chunk) for chunk in answer.iter_content(262_144))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:26] + "+00:00").timestamp()
