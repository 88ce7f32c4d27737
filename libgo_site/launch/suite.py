"""``./libgo test``: what runs side by side, what runs alone, and a second look at the few that failed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from libgo_site.launch import state
from libgo_site.launch.state import ROOT

# Tests that kill processes and measure how soon a page shows it: they wait beside each other, but what
# computes for minutes does it with the rest.
_LAST, _COMPUTES = "faults", "tests/faults/test_failpoints.py"
# The storm takes the whole machine.
_ALONE = "load"
_FILES = ("--dist", "loadfile", "--no-loadscope-reorder")
# Tests wait for engines and browsers much of their time; five of them on two cores wait for each other.
_BESIDE = ("-n", "4", *_FILES)
# The slowest, for whoever wants to make the whole quicker.
_SLOWEST = ("--durations", "25", "--durations-min", "5")
# More than any run takes; a run beyond it hangs where no timeout of a single test reaches.
_RUN_S = 3000.0
# One fixture that broke fails all the tests that need it; more is no matter of load.
_AGAIN_MAX = 24
_FAILED, _INTERRUPTED = 1, 2


def suite_run(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run these tests, or all; the exit code of pytest, the worst of several.

    Of a whole run a few failures are looked at again, alone: what passes then is named as unsteady
    and fails nothing, for it fails by the load of the machine and says so at every run.
    """
    if arguments:
        return _pytest(arguments, environ)
    cache = state.var() / "pytest"
    kept = ["-o", f"cache_dir={cache}"]
    codes = [
        _pytest([*kept, *(["--cache-clear"] if number == 0 else []), *words], environ)
        for number, words in enumerate(_all_tests())
    ]
    if max(codes) != _FAILED:
        return max(codes)
    return _again(_failed(cache), environ)


def _again(failed: list[str], environ: Mapping[str, str]) -> int:
    if not failed or len(failed) > _AGAIN_MAX:
        return _FAILED
    print(f"libgo test: {len(failed)} failed beside others; once more, alone", flush=True)
    code = _pytest(failed, environ)
    if code == 0:
        for name in failed:
            print(f"libgo test: UNSTEADY {name}")
    return code


def _failed(cache: Path) -> list[str]:
    """The names that pytest remembers."""
    try:
        return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text()))
    except (OSError, ValueError):
        return []


def _pytest(words: list[str], environ: Mapping[str, str]) -> int:
    command = [state.python(), "-m", "pytest", *words]
    try:
        return subprocess.run(command, cwd=ROOT, env=dict(environ), timeout=_RUN_S).returncode
    except subprocess.TimeoutExpired:
        print(f"libgo test: the run hung and was ended after {_RUN_S:.0f} s", flush=True)
        return _INTERRUPTED


def _all_tests() -> list[list[str]]:
    """A file at a time, side by side, in the order of ``tests/durations.py``: first what computes, then what
    watches the clock of a whole console; at last the storm."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").iterdir() if _has_tests(path))
    last, alone = f"tests/{_LAST}", f"tests/{_ALONE}"
    beside = [name for name in found if name not in (last, alone)]
    if (ROOT / _COMPUTES).exists():
        beside.append(_COMPUTES)
    return [
        [*_BESIDE, *_SLOWEST, *beside],
        *([[*_BESIDE, *_SLOWEST, last, f"--ignore={_COMPUTES}"]] if last in found else []),
        *([alone] for name in found if name == alone),
    ]


def _has_tests(path: Path) -> bool:
    if path.is_dir():
        return any(path.rglob("test_*.py"))
    return path.name.startswith("test_") and path.suffix == ".py"
