"""Run in a process of its own beside a console: what some GETs cost inside LibGo, without network and server.

python -m tests.bench.inside PATH...     prints ``{path: {queries, ms, cpu_ms}}``
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import django
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

_WARM, _TIMES = 5, 60


def main(paths: list[str]) -> int:
    django.setup()
    print(json.dumps({path: _cost(path) for path in paths}))
    return 0


def _cost(path: str) -> dict[str, float]:
    client, queries = _client(), 0
    for _ in range(_WARM):
        queries = _queries(client, path)
    times, began_cpu = [], time.process_time()
    for _ in range(_TIMES):
        began = time.perf_counter()
        _get(client, path)
        times.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - began_cpu) * 1000 / _TIMES
    return {"queries": queries, "ms": statistics.median(times), "p95": sorted(times)[-3], "cpu_ms": cpu_ms}


def _client() -> Client:
    """Of a session of the administrator."""
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


def _queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        _get(client, path)
    return len(captured.captured_queries)


def _get(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.content[:300]!r}"
    assert answer.content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
