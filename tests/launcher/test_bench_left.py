"""What a run of the bench leaves that was killed, the next one clears; one that goes on is left alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import libvirt
import pytest
from docker import APIClient

from tests.bench.machines import small
from tests.bench.place import left_clear, name_of, place
from tests.live import ROOT

# It makes what a part makes, says so, and is killed before it can clear up.
_RUN = """
import sys, time
from tests.bench.machines import small
from tests.bench.machines import small
from tests.bench.place import name_of, place
from tests.bench.wire import created, engine_wire
import libvirt
with place() as (folder, mark):
    created(engine_wire(), name_of(mark))
    libvirt.open("qemu:///system").defineXML(small(name_of(mark)))
    print(mark, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No other run's folders are looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def _running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=ROOT, env={"TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    try:
        yield run, run.stdout.readline().strip()
    finally:
        run.kill()
        run.wait()


def _left(mark: str) -> list[str]:
    with closing(APIClient("unix:///var/run/docker.sock", version="auto")) as api:
        found = [row["Names"][0] for row in api.containers(all=True, filters={"name": mark})]
    with closing(libvirt.open("qemu:///system")) as conn:
        return found + [each.name() for each in conn.listAllDomains() if mark in each.name()]


def test_what_a_killed_run_left_is_cleared_by_the_next(engines: None, folder: Path) -> None:
    with _running(folder) as (run, mark):
        assert left_clear() == [] and len(_left(mark)) == 2, "it goes on"
        run.kill()
        run.wait()
        assert left_clear() == [mark] and _left(mark) == [] and list(folder.glob("libgo-*")) == []


def test_a_run_that_ends_by_an_error_clears_up_itself(engines: None, folder: Path) -> None:
    with pytest.raises(SystemExit), place() as (own, mark):
        assert own.is_dir() and mark in name_of(mark)
        with closing(libvirt.open("qemu:///system")) as conn:
            conn.defineXML(small(name_of(mark)))
        raise SystemExit(143)
    assert _left(mark) == [] and not own.exists()
