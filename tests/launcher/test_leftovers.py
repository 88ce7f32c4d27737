"""What runs that were ended in the middle left mounted is taken away; what is in use stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers import leftovers_unmount

# Beyond what the kernel gives to processes.
_NOBODY = 2**22 + 1
_RUNS = {
    "pytest-of-root/pytest-1": f"{_NOBODY}",
    "pytest-of-root/pytest-2": "",
    "pytest-of-root/pytest-3": f"{os.getpid()}",
    "libgo-t-old": "",
    "libgo-t-new": "",
    "somebody": "",
}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """By run, a file system that it mounted: of one that was ended, one that forgot it, and of this one."""
    places = {run: tmp_path / run / "engine" / "root" for run in _RUNS}
    try:
        for run, place in places.items():
            place.mkdir(parents=True)
            if _RUNS[run]:
                (tmp_path / run / ".lock").write_text(_RUNS[run])
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
        os.utime(tmp_path / "libgo-t-old", (0, 0))
        yield places
    finally:
        for place in places.values():
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def test_only_what_dead_runs_left_is_unmounted(mounted: dict[str, Path], tmp_path: Path) -> None:
    over = {"pytest-of-root/pytest-1", "pytest-of-root/pytest-2", "libgo-t-old"}
    assert set(leftovers_unmount(tmp_path)) == {mounted[run] for run in over}
    assert {run for run, place in mounted.items() if place.is_mount()} == set(_RUNS) - over
    assert leftovers_unmount(tmp_path) == []
