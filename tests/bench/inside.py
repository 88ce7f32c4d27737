"""Run in a process of its own beside a console: what some GETs cost inside LibGo, without network and server.

python -m tests.bench.inside PATH...     prints ``{path: {queries, ms, p95, cpu_ms, parts}}``

``parts``: the milliseconds of one request by whose code they are spent in, from a profile that is scaled to
``ms``, as being profiled takes time itself; what is written in C counts as its caller's.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import sys
import time
from collections import defaultdict
from typing import Any

import django
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

_WARM, _TIMES = 5, 60
# The first that is found in the path of a function's file, or in its name.
_WHOSE = (
    ("sqlite3", "the database: its questions and their rows"),
    ("django/db", "Django's making of queries and rows"),
    ("rest_framework", "Django REST framework"),
    ("jwt", "tokens"),
    ("django/contrib/sessions", "sessions"),
    ("django/test", "the bench's own client"),
    ("django", "Django: middleware, routes, requests, answers"),
    ("/compute/", "LibGo"),
    ("/libgo_site/", "LibGo"),
)


def main(paths: list[str]) -> int:
    django.setup()
    print(json.dumps({path: _cost(path) for path in paths}))
    return 0


def _cost(path: str) -> dict[str, Any]:
    client, queries = _client(), 0
    for _ in range(_WARM):
        queries = _queries(client, path)
    times, began_cpu = [], time.process_time()
    for _ in range(_TIMES):
        began = time.perf_counter()
        _get(client, path)
        times.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - began_cpu) * 1000 / _TIMES
    ms = statistics.median(times)
    return {
        "queries": queries,
        "ms": ms,
        "p95": sorted(times)[-3],
        "cpu_ms": cpu_ms,
        "parts": _parts(client, path, ms),
    }


def _parts(client: Client, path: str, ms: float) -> dict[str, float]:
    profile, spent = cProfile.Profile(), defaultdict[str, float](float)
    profile.enable()
    for _ in range(_TIMES):
        _get(client, path)
    profile.disable()
    functions: Any = pstats.Stats(profile)
    for function, (_, _, own_s, _, callers) in functions.stats.items():
        if function[0] != "~" or "sqlite3" in function[2]:
            spent[_whose(function)] += own_s
            continue
        for caller, (_, _, of_caller_s, _) in callers.items():
            spent[_whose(caller)] += of_caller_s
    whole_s = sum(spent.values())
    return {name: seconds / whole_s * ms for name, seconds in spent.items()}


def _whose(function: tuple[str, int, str]) -> str:
    file, _, name = function
    return next((whose for mark, whose in _WHOSE if mark in file or mark in name), "Python's own, others")


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
