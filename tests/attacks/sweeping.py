"""Runs the sweep where its test wants it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.live import ROOT

_EXAMPLES = 1


def sweep_require(enter: list[str], folder: Path, backend: str, docker_url: str = "") -> None:
    """``enter`` is put in front of the command. Fails with what the sweep found."""
    command = [*enter, sys.executable, "-m", "tests.attacks.sweep", str(folder), backend, docker_url]
    done = subprocess.run(
        [*command, str(_EXAMPLES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
