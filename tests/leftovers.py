"""Mounts that runs left which were ended in the middle: pytest cannot remove their folders."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

# Longer than any run takes; folders of tests' own do not say whose they are.
_RUN_S = 2 * 3600


def leftovers_unmount(within: Path | None = None) -> list[Path]:
    """What was mounted below the temporary folders of runs that are over, and is not any more."""
    root = (within or Path(tempfile.gettempdir())).resolve()
    places = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    found = sorted(
        (place for place in places if (run := _run_of(place, root)) and _is_over(run)), reverse=True
    )
    for place in found:
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
    return found


def _run_of(place: Path, root: Path) -> Path | None:
    """The folder of the run that mounted it."""
    if not place.is_relative_to(root) or place == root:
        return None
    parts = place.relative_to(root).parts
    if parts[0].startswith("pytest-of-"):
        return root.joinpath(*parts[:2]) if len(parts) > 2 else None
    return root / parts[0] if parts[0].startswith(("libgo-t-", "libgo-s-")) else None


def _is_over(run: Path) -> bool:
    """Pytest keeps its own number in a lock as long as it runs."""
    if not run.parent.name.startswith("pytest-of-"):
        return time.time() - run.stat().st_mtime > _RUN_S
    try:
        return not Path(f"/proc/{int((run / '.lock').read_text())}").exists()
    except (OSError, ValueError):
        return True
