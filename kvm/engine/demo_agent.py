"""The guest agent of the demo guest: QEMU's own, with its libraries, from the distribution's package.

It lies on the guest's data partition and not in its initial RAM disk, which a BIOS reads slowly: so a
boot costs the same with it and without.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

PACKAGE = "qemu-guest-agent"
# Where the guest finds it on its data partition.
FOLDER = ".agent"
_LIBRARY = re.compile(r"(/\S+) \(0x")


def agent_copy(folder: Path, target: Path) -> bool:
    """Put the agent with all it needs into ``target``. False when this machine has neither the package
    nor a way to it: a guest without an agent is a guest too."""
    program = _program(folder)
    if program is None:
        return False
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    if "not found" in said or "=>" not in said:
        return False
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target / "qemu-ga")
    for path in _LIBRARY.findall(said):
        # By what it is called, not where it is: the guest has one folder for them all.
        shutil.copy(Path(path).resolve(), target / Path(path).name)
    loaders = sorted(target.glob("ld-linux*"))
    if not loaders:
        return False
    loaders[0].rename(target / "ld.so")
    return True


def _program(folder: Path) -> Path | None:
    """From the package that ``libgo up`` kept, from the archive, or this machine's own."""
    cache = Path(os.environ.get("LIBGO_VAR") or "var") / "cache"
    package = next(iter(sorted(cache.glob(f"{PACKAGE}_*.deb"))), None)
    if package is None and shutil.which("apt-get") is not None:
        subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=folder, capture_output=True, check=False)
        package = next(iter(sorted(folder.glob(f"{PACKAGE}_*.deb"))), None)
    if package is not None:
        done = subprocess.run(
            ["dpkg", "-x", str(package.resolve()), "agent"], cwd=folder, capture_output=True, check=False
        )
        found = folder / "agent" / "usr" / "sbin" / "qemu-ga"
        if done.returncode == 0 and found.exists():
            return found
    own = shutil.which("qemu-ga", path="/usr/sbin:/usr/bin:/sbin:/bin")
    return Path(own) if own else None
