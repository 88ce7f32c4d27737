"""The whole test run: what it does about failures, with a small suite of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from libgo_site.launch import state, suite

_FIRST_TIME_BAD = """
from pathlib import Path
def test_flaps():
    seen = Path(__file__).with_name("seen")
    first, _ = not seen.exists(), seen.write_text("")
    assert not first
def test_holds(): pass
"""
_ALWAYS_BAD = "def test_bad(): assert False\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose tests are the whole suite."""
    for folder in ("unit", "faults"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_fine.py").write_text("def test_fine(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q --import-mode=importlib\n")
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    # More processes for five tests would be slow.
    monkeypatch.setattr(suite, "_BESIDE", ("-n", "2", *suite._FILES))
    monkeypatch.setattr(state, "var", lambda: tmp_path / "var")
    monkeypatch.setattr(state, "python", lambda: sys.executable)
    return tmp_path


def _run(words: Sequence[str] = ()) -> int:
    """Without the plug-ins of the real suite, which take longer to load than these tests to run."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "DJANGO"))}
    plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    return suite.suite_run(list(words), environ | plain)


def test_what_passes_at_the_second_look_is_named_and_fails_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "tests/unit/test_flaps.py").write_text(_FIRST_TIME_BAD)
    assert _run() == 0
    assert "UNSTEADY tests/unit/test_flaps.py::test_flaps" in capsys.readouterr().out


def test_what_fails_again_fails_the_run(root: Path) -> None:
    (root / "tests/faults/test_bad.py").write_text(_ALWAYS_BAD)
    (root / "tests/unit/test_flaps.py").write_text(_FIRST_TIME_BAD)
    assert _run() == 1


def test_many_failures_are_no_matter_of_load(root: Path) -> None:
    for number in range(suite._AGAIN_MAX + 1):
        (root / f"tests/unit/test_bad{number}.py").write_text(
            _FIRST_TIME_BAD.replace("seen", f"seen{number}")
        )
    assert _run() == 1


def test_a_run_that_hangs_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "tests/faults/test_hangs.py").write_text("import time\ndef test_hangs(): time.sleep(600)\n")
    monkeypatch.setattr(suite, "_RUN_S", 6.0)
    assert _run() == 2


def test_what_computes_for_minutes_runs_with_the_rest_and_once(root: Path) -> None:
    """Of the folder that watches the clock; the rest of it has failed tests, so both parts have run."""
    seen = root / "seen"
    (root / suite._COMPUTES).write_text(f"def test_long(): open({str(seen)!r}, 'a').write('x')\n")
    (root / "tests/faults/test_bad.py").write_text(_ALWAYS_BAD)
    assert _run() == 1
    assert seen.read_text() == "x"


def test_chosen_tests_are_given_to_pytest_as_they_are(root: Path) -> None:
    (root / "tests/faults/test_bad.py").write_text(_ALWAYS_BAD)
    assert _run(["tests/unit"]) == 0
