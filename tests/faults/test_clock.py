"""The clock of LibGo's machine is put forward and back while it works; engines keep the right time."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.failpoints import Rule
from tests.faults.cases import things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import ENDED, until

# Longer than a lease, and than it takes to see that one ran out.
_REAPED_S = 22


class Clock:
    """Of the processes that were started with ``environ``; time that is waited for passes as ever."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.put("+0")
        found = importlib.util.find_spec("libfaketime")
        assert found is not None and found.origin is not None
        library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def put(self, by: str) -> None:
        """So much off the right time: ``+1h``, ``-1h``, ``+0``."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by}\n")
        new.replace(self._file)


@pytest.fixture(scope="module")
def clocked(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shaky, Clock]]:
    folder = tmp_path_factory.mktemp("clock")
    clock = Clock(folder / "clock")
    made = Shaky(folder, **clock.environ)
    with made.running():
        yield made, clock


@fault(
    "F31",
    "the clock is put forward by an hour, back by an hour, and forward by a day, while a container is made",
    sees="who is signed in by a token that is then too old, or not yet good, signs in anew; the rest goes on",
    keeps="the operation under way; what changes on the engine is seen at once; lost workers are noticed",
)
@pytest.mark.parametrize("by", ["+1h", "-1h", "+1d"])
def test_a_clock_that_jumps_ends_nothing_and_stops_nothing(
    clocked: tuple[Shaky, Clock], by: str, measured: Measured
) -> None:
    shaky, clock = clocked
    under_way, outside, lost = shaky.names(3)
    shaky.points.set(Rule("instance.create", under_way, "begin"), Rule("instance.create", lost, "begin"))
    shaky.succeeded([shaky.ask(outside)], 30)
    operation = shaky.ask(under_way)
    until(lambda: under_way in shaky.points.struck(), "it is at work", 20)
    clock.put(by)
    shaky.live.tokens_forget()
    try:
        _docker("start", outside)
        seen = until(lambda: _state(shaky, outside) == "running", "it runs", 15)
        measured("a start outside was seen after", seen)
        _docker("rm", "-f", outside)
        measured("its end was seen after", until(lambda: _state(shaky, outside) is None, "it is gone", 15))
        time.sleep(_REAPED_S)
        assert shaky.outcome(operation)["state"] == "running", shaky.outcome(operation)
        shaky.points.set(Rule("instance.create", lost, "begin"))
        shaky.succeeded([operation], 20)
        _a_lost_worker_is_noticed(shaky, lost, measured)
    finally:
        shaky.points.set()
        clock.put("+0")
        shaky.live.tokens_forget()
        shaky.gone()


@fault(
    "F31",
    "the clocks of two hosts of LibGo differ by 45 seconds, and by 5 minutes",
    sees="45 s: nothing; 5 min: who comes to the host that is behind signs in anew, there at once",
    keeps="sessions that were begun where the clock is right",
)
def test_a_token_of_a_host_whose_clock_differs(clocked: tuple[Shaky, Clock], measured: Measured) -> None:
    """One host after the other: what is signed by one clock is read by another."""
    shaky, clock = clocked
    api = shaky.live.api
    try:
        right = _with(shaky.live.log_in())
        for by, is_good in (("+45s", True), ("-45s", True), ("+300s", False)):
            clock.put(by)
            there = _with(shaky.live.log_in())
            assert api("GET", "/profile", **there).status_code == 200
            assert api("GET", "/profile", **right).status_code == 200
            clock.put("+0")
            answer = api("GET", "/profile", **there)
            assert answer.status_code == (200 if is_good else 401), (by, answer.text)
        begun = time.monotonic()
        assert api("GET", "/profile", **_with(shaky.live.log_in())).status_code == 200
        measured("signed in anew after", time.monotonic() - begun)
    finally:
        clock.put("+0")
        shaky.live.tokens_forget()


def _with(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True)


def _state(shaky: Shaky, name: str) -> Any:
    answer = shaky.live.api("GET", f"/compute/instances/{name}")
    return answer.json()["state"] if answer.status_code == 200 else None


def _a_lost_worker_is_noticed(shaky: Shaky, name: str, measured: Measured) -> None:
    operation = shaky.ask(name)
    until(lambda: name in shaky.points.struck(), "it is at work", 20)
    shaky.live.kill("worker")
    ended = until(lambda: shaky.outcome(operation)["state"] in ENDED, "it is closed", 60)
    measured("a lost worker was noticed after", ended)
    assert not things_of(shaky.live, name)
