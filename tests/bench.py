"""``./libgo bench``: LibGo's answers beside the engine's own, in the same run, interleaved.

./libgo bench [--json FILE] [NAME...]     names: list, create, logs, followers, exec,
                                          kvm_create, kvm_list, usage, pages
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.bench_kvm import guest_create_cases, list_page_cases
from tests.bench_pages import pages_cases
from tests.bench_streams import bench_exec, bench_followers, bench_logs
from tests.bench_usage import usage_cases
from tests.live import LiveConsole, until
from tests.reporter import MemoryReporter

_COUNT = 300
_ROUNDS = 30
_GUEST_ROUNDS = 4
_IMAGE = "libgo/demo:latest"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="libgo bench")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(_BENCHES)}")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - set(_BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    node = NodeConfig("bench", "bench", "docker", "unix:///var/run/docker.sock")
    backend = DockerBackend(node)
    backend.demo_image_make(MemoryReporter())
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="libgo-bench-") as folder:
        console = LiveConsole(Path(folder) / "var")
        try:
            console.start()
            for name in asked.names or _BENCHES:
                results[name] = _BENCHES[name](console, backend)
        finally:
            console.stop()
            backend.close()
    for rows in results.values():
        for row in rows:
            print(_shown(row))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))
    return 0


def _shown(row: dict[str, Any]) -> str:
    if "value" in row:
        return f"{row['what']:<58} {row['value']:11.1f} {row['unit']}"
    return f"{row['what']:<58} p50 {row['p50_ms']:7.1f} ms   p95 {row['p95_ms']:7.1f} ms   n {row['n']}"


def bench_list(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """A list of 300 containers: from LibGo over HTTP, and from the engine over its socket."""
    mark = uuid.uuid4().hex[:8]
    api = backend._client.api
    made = []
    try:
        for number in range(_COUNT):
            body = {"Image": _IMAGE, "Labels": {"libgo.test": mark}, "HostConfig": {"NetworkMode": "none"}}
            answer = api._post_json(
                api._url("/containers/create"), data=body, params={"name": f"libgo-t-{mark}-{number}"}
            )
            made.append(answer.json()["Id"])
        path = f"/compute/instances?page_size=500&label=libgo.test={mark}"
        until(lambda: console.get(path)["total"] == _COUNT, "the mirror has them all", 60)
        token = {"Authorization": f"Bearer {console.log_in()}"}
        http = requests.Session()
        http.trust_env = False

        def ask(query: str) -> Callable[[], Any]:
            return lambda: (
                http.get(f"{console.url}/api/v1/compute/instances?{query}", headers=token, timeout=10).content
            )

        engine_url = api._url("/containers/json")
        return _interleaved(
            {
                f"LibGo: list of {_COUNT} instances, all fields": ask("page_size=500"),
                f"LibGo: list of {_COUNT}, fields=id,name,state": ask("page_size=500&fields=id,name,state"),
                "LibGo: first page of 50": ask("page_size=50"),
                f"Docker engine: list of {_COUNT} containers": lambda: (
                    api.get(engine_url, params={"all": 1}).content
                ),
            }
        )
    finally:
        for engine_id in made:
            api.remove_container(engine_id, force=True)


def bench_create(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """One container created, started and removed: through LibGo, and by the engine alone."""
    api = backend._client.api

    def through_libgo() -> None:
        name = f"libgo-t-{uuid.uuid4().hex[:8]}"
        console.create(name, "docker", config={"image": _IMAGE, "network_mode": "none"})
        console.api("DELETE", f"/compute/instances/{name}?force=true&wait=30")

    def by_the_engine() -> None:
        made = api.create_container(_IMAGE, host_config=api.create_host_config(network_mode="none"))
        api.start(made["Id"])
        api.remove_container(made["Id"], force=True)

    return _interleaved(
        {
            "LibGo: create, start, remove a container (with wait)": through_libgo,
            "Docker engine: create, start, remove": by_the_engine,
        },
        rounds=8,
    )


def bench_kvm_create(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """A guest to its serial prompt: through LibGo, and by virsh doing the same."""
    starts: dict[str, list[float]] = {}
    prompts: dict[str, list[float]] = {}
    for _ in range(_GUEST_ROUNDS):
        for name, case in guest_create_cases(console).items():
            started, answered = case()
            starts.setdefault(f"{name}, to the start", []).append(started * 1000)
            prompts.setdefault(f"{name}, to the prompt", []).append(answered * 1000)
    rows = [_row(name, values) for name, values in (*starts.items(), *prompts.items())]
    over = rows[2]["p50_ms"] - rows[3]["p50_ms"]
    return [*rows, {"what": "LibGo over virsh to the prompt, median", "value": over, "unit": "ms"}]


def bench_kvm_list(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """The list page of one defined machine and of a hundred."""
    return list_page_cases(console, _interleaved)


def bench_usage(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """A year of what 1,000 instances used: its room on the disk, and charts of one of them."""
    return usage_cases(console, backend, _interleaved)


def bench_pages(console: LiveConsole, backend: DockerBackend) -> list[dict[str, Any]]:
    """The list of 1,000 instances in Chromium, of a console of its own with a fake engine."""
    return pages_cases()


def _interleaved(cases: dict[str, Callable[[], Any]], rounds: int = _ROUNDS) -> list[dict[str, Any]]:
    """Each case once a round, so that the machine's moods hit all alike; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            if number:
                times[name].append((time.perf_counter() - began) * 1000)
    return [_row(name, values) for name, values in times.items()]


def _row(name: str, values: list[float]) -> dict[str, Any]:
    return {
        "what": name,
        "p50_ms": round(statistics.median(values), 2),
        "p95_ms": round(sorted(values)[max(0, int(len(values) * 0.95) - 1)], 2),
        "n": len(values),
    }


_BENCHES = {
    "list": bench_list,
    "create": bench_create,
    "logs": bench_logs,
    "followers": bench_followers,
    "exec": bench_exec,
    "kvm_create": bench_kvm_create,
    "kvm_list": bench_kvm_list,
    "usage": bench_usage,
    "pages": bench_pages,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
