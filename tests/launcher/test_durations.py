"""The order of the files, and what a run keeps of it, with a small suite of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libgo_site.launch import state
from tests import durations

_SLOW = "import time\ndef test_one(): time.sleep(0.3)\ndef test_two(): time.sleep(0.3)\n"


def _run(folder: Path, *words: str) -> dict[str, float]:
    """What is kept after a run of these."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "DJANGO"))}
    environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(state.ROOT)}
    plugins = ["-p", "xdist.plugin", "-p", "tests.durations"]
    kept = ["-o", f"cache_dir={folder / 'var' / 'pytest'}"]
    command = [sys.executable, "-m", "pytest", "-n", "2", *plugins, *kept, *words]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
    return dict(json.loads((folder / "var" / "pytest" / "v" / durations._CACHED).read_text()))


def test_a_run_keeps_the_time_of_each_file_and_a_second_look_does_not_shorten_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_slow.py").write_text(_SLOW)
    (tmp_path / "test_fast.py").write_text("def test_fast(): pass\n")
    seen = _run(tmp_path)
    assert set(seen) == {"test_slow.py", "test_fast.py"}
    assert 0.6 <= seen["test_slow.py"]
    assert _run(tmp_path, "test_slow.py::test_one") == seen
    monkeypatch.setattr(state, "var", lambda: tmp_path / "var")
    monkeypatch.setattr(durations, "_KEPT", tmp_path / "durations.json")
    assert durations.durations_bring() == 2
    assert json.loads((tmp_path / "durations.json").read_text()) == {"test_fast.py": 1, "test_slow.py": 1}


def test_new_files_and_long_ones_begin_and_those_that_watch_the_clock_are_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = [
        "tests/kvm/test_new.py::test",
        durations._COMPUTES + "::test",
        "tests/kvm/test_long.py::test[a::b]",
        "tests/kvm/test_short.py::test",
        "tests/faults/test_new.py::test",
        "tests/faults/test_long.py::test",
        "tests/faults/test_short.py::test",
    ]
    known = {"tests/kvm/test_long.py": 9, "tests/kvm/test_short.py": 1, durations._COMPUTES: 20}
    known |= {"tests/faults/test_long.py": 30, "tests/faults/test_short.py": 2}
    monkeypatch.setattr(durations, "_known", lambda: known)
    assert sorted(sorted(order), key=durations.rank) == order
