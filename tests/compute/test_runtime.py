"""Private files of a process: private, and gone with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from compute.backends.runtime import RuntimeFolder, runtime_sweep
from tests.live import until

_HOLDER = """
import sys, time
from compute.backends.runtime import RuntimeFolder
folder = RuntimeFolder(sys.argv[1])
folder.write("key", "secret")
time.sleep(0 if len(sys.argv) > 2 else 60)
"""


def test_files_are_for_our_eyes_only_and_leave_with_close(tmp_path: Path) -> None:
    folder = RuntimeFolder(str(tmp_path / "nodes"))
    path = folder.write("key", "secret")
    assert path.stat().st_mode & 0o777 == 0o600 and folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()
    assert not folder.path.exists()


def test_a_process_that_ends_leaves_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _HOLDER, str(tmp_path), "short"], check=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_lives_is_not(tmp_path: Path) -> None:
    mine = RuntimeFolder(str(tmp_path))
    other = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)])
    until(lambda: len(list(tmp_path.glob("*/key"))) == 1, "the other has its file", 40)
    other.send_signal(signal.SIGKILL)
    other.wait(10)
    assert runtime_sweep(str(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [mine.path]
    mine.close()


def test_a_path_too_long_for_sockets_goes_elsewhere(tmp_path: Path) -> None:
    folder = RuntimeFolder(str(tmp_path / ("x" * 90)))
    assert folder.path.parent == Path(tempfile.gettempdir()) / f"libgo-{os.getuid()}"
    folder.close()
