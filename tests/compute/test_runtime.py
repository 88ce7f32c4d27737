"""Private files of a process: private, and gone with it, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.runtime import RuntimeFolder, note_leave, runtime_sweep
from tests.attacks.catalogue import attack
from tests.live import until

_HOLDER = """
import sys, time
from compute.backends.runtime import RuntimeFolder
folder = RuntimeFolder(sys.argv[1])
folder.write("key", "secret")
time.sleep(0 if len(sys.argv) > 2 else 60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: sockets lie below it, and those of long ones go elsewhere."""
    made = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@attack(
    "S78",
    "private files of a node: keys and certificates",
    refused="0600 in a folder of 0700, gone at the end",
)
def test_files_are_for_our_eyes_only_and_leave_with_close(tmp_path: Path) -> None:
    folder = RuntimeFolder(str(tmp_path / "nodes"))
    path = folder.write("key", "secret")
    assert path.stat().st_mode & 0o777 == 0o600 and folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()
    assert not folder.path.exists()


def test_what_is_missing_above_a_folder_of_ours_is_ours_alone_too(folder: Path) -> None:
    note_leave(str(folder / "run" / "nodes"), "sessions", "end it")
    for made in (folder / "run", folder / "run" / "nodes", folder / "run" / "nodes" / "sessions"):
        assert made.stat().st_mode & 0o777 == 0o700, made


def test_a_process_that_ends_leaves_nothing(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _HOLDER, str(folder), "short"], check=True)
    assert list(folder.iterdir()) == []


@attack("S78", "the same after a hard kill", refused="swept at the next start")
def test_what_a_killed_process_left_is_swept_and_what_lives_is_not(folder: Path) -> None:
    mine = RuntimeFolder(str(folder))
    other = subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)])
    until(lambda: len(list(folder.glob("*/key"))) == 1, "the other has its file", 20)
    other.send_signal(signal.SIGKILL)
    other.wait(10)
    assert runtime_sweep(str(folder)) == 1
    assert list(folder.iterdir()) == [mine.path]
    mine.close()


def test_a_path_too_long_for_sockets_goes_elsewhere(tmp_path: Path) -> None:
    folder = RuntimeFolder(str(tmp_path / ("x" * 90)))
    assert folder.path.parent == Path(tempfile.gettempdir()) / f"libgo-{os.getuid()}"
    folder.close()
