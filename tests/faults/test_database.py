"""The database is locked, goes away, is full, or comes back as it was an hour ago."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.faults.cases import quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import ENDED, LiveConsole, strain, until
from tests.postgres_server import PostgresServer

_LOCKED_S, _AWAY_S = 10.0, 18.0
# It does not start with less than 300 free.
_SMALL_MIB = 330


def _name(word: str) -> str:
    return f"libgo-t-{word}{os.getpid()}-{os.urandom(2).hex()}"


def _body(name: str) -> dict[str, Any]:
    return quiet_body(name, "local-docker")


def _ask(console: LiveConsole, name: str) -> str:
    """Begin a create; the path of its operation."""
    answer = console.api("POST", "/compute/instances", _body(name))
    assert answer.status_code == 202, answer.text
    return f"/operations/{answer.json()['operation']['id']}"


def _page(console: LiveConsole, path: str) -> requests.Response:
    return requests.get(console.url + path, timeout=30, allow_redirects=False)


@pytest.fixture
def console(engines: None, short: Path, postgres: PostgresServer) -> Iterator[LiveConsole]:
    """One over PostgreSQL."""
    made = LiveConsole(short / "console", DATABASE_URL=postgres.url)
    try:
        yield made.start()
    finally:
        made.stop()
        _left_remove()


@pytest.fixture
def small(engines: None, short: Path) -> Iterator[LiveConsole]:
    """One whose whole folder is a small file system: database, logs, broker, exports."""
    folder = short / "var"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SMALL_MIB}m", "tmpfs", str(folder)], check=True)
    made = LiveConsole(folder)
    try:
        yield made.start()
    finally:
        (folder / "filler").unlink(missing_ok=True)
        made.stop()
        _left_remove()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _removed(console: LiveConsole, *names: str) -> None:
    for name in names:
        answer = console.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")
        assert answer.status_code in (200, 404), answer.text


@fault(
    "F19",
    f"SQLite is locked for {_LOCKED_S:.0f} seconds by another writer",
    sees="lists answer as before; a create waits, then is taken",
    keeps="the create, once; no error 500",
)
def test_a_locked_sqlite_delays_changes_and_stops_no_reading(live: LiveConsole, measured: Measured) -> None:
    name, token = _name("q"), live.token()
    assert token
    other = sqlite3.connect(live.var / "libgo.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA busy_timeout=10000")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(_LOCKED_S, lambda: other.execute("ROLLBACK"))
    release.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(live.api, "POST", "/compute/instances", _body(name))
        slowest = 0.0
        while release.is_alive():
            began = time.monotonic()
            assert live.get("/compute/instances") is not None
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.5)
        answer = asked.result(30)
    other.close()
    assert answer.status_code in (202, 503), answer.text
    measured("slowest list took", slowest)
    assert slowest < 5 * strain()
    if answer.status_code == 503:
        assert answer.headers["Retry-After"] and live.api("POST", "/compute/instances", _body(name)).ok
    until(lambda: (live.shown(name) or {}).get("state") == "running", "it is made", 40)
    _removed(live, name)
    assert live.get("/audit/verify")["holds"]


@fault(
    "F20",
    f"PostgreSQL is stopped for {_AWAY_S:.0f} seconds while a container is made",
    sees="503 with Retry-After, as JSON and as a page; then all as before",
    keeps="every operation ends; one container or none",
)
def test_a_database_that_goes_away_comes_back_to_a_true_picture(
    console: LiveConsole, postgres: PostgresServer, measured: Measured
) -> None:
    names = [_name("p"), _name("p")]
    paths = [_ask(console, name) for name in names]
    postgres.stop()
    stopped = time.monotonic()
    for _ in range(3):
        answer = console.api("GET", "/compute/instances")
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "DATABASE_UNAVAILABLE" and answer.headers["Retry-After"]
    changed = console.api("PUT", f"/compute/instances/{names[0]}/stop", {})
    assert (changed.status_code, changed.json()["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert _page(console, "/health/readiness").status_code == 503
    assert _page(console, "/health/liveness").status_code == 200
    session = requests.Session()
    session.cookies.set("sessionid", "0" * 32)
    told = session.get(console.url + "/instances", timeout=30, allow_redirects=False)
    assert told.status_code == 503 and "database" in told.text and "<html" in told.text
    measured("503 within", (time.monotonic() - stopped) / 6)
    # Longer than a lease, so that every one of them ran out.
    time.sleep(max(0.0, _AWAY_S - (time.monotonic() - stopped)))
    postgres.start()
    took = until(lambda: console.get("/compute/instances") is not None, "lists are back", 10)
    measured("lists back after", took)
    ended = until(lambda: all(console.get(p)["state"] in ENDED for p in paths), "operations end", 40)
    measured("operations over after", ended)
    states = {name: console.get(path)["state"] for name, path in zip(names, paths, strict=True)}
    for name, state in states.items():
        wanted = "running" if state == "succeeded" else ""
        until(lambda n=name, w=wanted: (console.shown(n) or {}).get("state", "") == w, f"{states}", 20)
        assert _in_engine(name) == (1 if wanted else 0), states
    _removed(console, *names)
    assert console.get("/audit/verify")["holds"]


@fault(
    "F32 (part)",
    "the disk of LibGo itself is full: database, logs, broker",
    sees="lists and pages answer; changes are refused with 503, not 500; freed, all works",
    keeps="the database; instances",
)
def test_a_full_disk_refuses_changes_and_stays_readable(small: LiveConsole, measured: Measured) -> None:
    first, second = _name("d"), _name("d")
    until(lambda: small.api("POST", "/compute/instances?wait=60", _body(first)).ok, "one is made", 60)
    assert small.token()
    _fill(small.var / "filler")
    answers = [small.api("POST", "/compute/instances", _body(_name("d"))) for _ in range(3)]
    codes = {answer.status_code for answer in answers}
    assert 503 in codes and codes <= {202, 503}, [answer.text for answer in answers]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["error"]["code"] == "DATABASE_UNAVAILABLE" and refused.headers["Retry-After"]
    assert small.shown(first) and _page(small, "/login").status_code == 200
    assert _page(small, "/health/liveness").status_code == 200
    (small.var / "filler").unlink()
    again = until(
        lambda: small.api("POST", "/compute/instances?wait=60", _body(second)).status_code == 201, "works", 60
    )
    measured("works again after", again)
    until(lambda: not _open(small), "every operation ends", 60)
    _removed(small, *[n for n in small.names() if n.startswith(f"libgo-t-d{os.getpid()}")])
    assert small.get("/audit/verify")["holds"]


@fault(
    "F21",
    "the database is restored from an older backup",
    sees="what was deleted since is gone again; what was made since is shown, and can be managed",
    keeps="everything that runs: nothing is destroyed",
)
def test_an_older_database_learns_what_is_there_and_destroys_nothing(
    small: LiveConsole, measured: Measured
) -> None:
    old, since = _name("o"), _name("o")
    until(lambda: small.api("POST", "/compute/instances?wait=60", _body(old)).ok, "one is made", 60)
    file = small.var / "libgo.sqlite3"
    with sqlite3.connect(file) as source, sqlite3.connect(small.var / "backup.sqlite3") as target:
        source.backup(target)
    _removed(small, old)
    until(lambda: small.api("POST", "/compute/instances?wait=60", _body(since)).ok, "another is made", 60)
    small.stop()
    for left in small.var.glob("libgo.sqlite3-*"):
        left.unlink()
    shutil.move(small.var / "backup.sqlite3", file)
    small.start()
    gone = until(lambda: small.shown(old) is None, "what is no more is gone", 20)
    found = until(lambda: small.shown(since) is not None, "what is there is shown", 20)
    measured("true after", max(gone, found))
    assert _in_engine(since) == 1
    row = small.shown(since)
    assert row and row["state"] == "running", row
    assert small.get("/audit/verify")["holds"]
    _removed(small, since)
    assert _in_engine(since) == 0


def _left_remove() -> None:
    """What a test that failed left in the engine."""
    words = ["docker", "ps", "-aq", "--filter", f"name=^libgo-t-[a-z]{os.getpid()}-"]
    left = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    if left:
        subprocess.run(["docker", "rm", "-f", *left], check=True, capture_output=True)


def _fill(path: Path) -> None:
    """Not a byte is left."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, free - 2**21))
        file.seek(0, os.SEEK_END)
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue


def _open(console: LiveConsole) -> list[Any]:
    return [row for row in console.get("/operations?page_size=200")["items"] if row["state"] not in ENDED]


def _in_engine(name: str) -> int:
    done = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"name=^{name}$"], capture_output=True, text=True, check=True
    )
    return len(done.stdout.split())
