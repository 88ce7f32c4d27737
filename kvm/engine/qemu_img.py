"""Change the format of disk images by ``qemu-img``, on LibGo's own files, with its own progress.

Formats are always named: what a guest wrote into a raw disk must never be taken for another format.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from compute.backends.room import room_error
from compute.backends.types import Reporter
from compute.errors import BackendError, BackendTimeout
from compute.tell import tell

# ``-p`` writes “\r    (12.34/100%)”.
_PERCENT = re.compile(rb"\((\d{1,3}\.\d\d)/100%\)")
_STANDS_STILL_S = 300.0
_POLL_S = 0.5
_SAID_MAX = 4000
_MEMORY_MAX = 2 * 1024**3
# The kernel's measure: 1000 is always the first.
_ENDED_FIRST = 700


@dataclass(frozen=True)
class Span:
    """The part of an operation's progress that one step fills."""

    low: float
    high: float

    def at(self, share: float) -> float:
        return self.low + (self.high - self.low) * min(1.0, max(0.0, share))


@dataclass(frozen=True)
class Image:
    """A file and its format; ``options`` are those of ``qemu-img convert -o``."""

    path: Path
    format: str
    options: str = ""


def image_convert(source: Image, target: Image, report: Reporter, span: Span, step: str) -> None:
    """Write ``target`` anew. Ends with the operation: a cancel kills it. Raises ``BackendError``,
    ``BackendTimeout`` when it stands still; what it began to write is removed then."""
    words = ["qemu-img", "convert", "-p", "-f", source.format, "-O", target.format]
    if target.options:
        words += ["-o", target.options]
    command = [*_guard(), "nice", "-n", "10", *words, _plain(source.path), _plain(target.path)]
    before = os.umask(0o077)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise BackendError("qemu-img is not installed beside LibGo: install qemu-utils.") from error
    finally:
        os.umask(before)
    said: str | None = None
    try:
        said = _follow(process, report, span, step)
    finally:
        if said is None:
            process.kill()
        code = process.wait()
        if code:
            target.path.unlink(missing_ok=True)
    if code == -signal.SIGKILL:
        raise BackendError(
            "qemu-img was ended from outside, as the system does when memory runs out. Free some memory on "
            "LibGo's machine and try again.",
            state="no_memory",
        )
    if code:
        raise room_error(said, tell("LibGo's own disk")) or BackendError(f"qemu-img gave up: {_reason(said)}")


def _guard() -> list[str]:
    """It must not outlive this process, nor compete with the guests for the processor. A file made to
    need much memory ends it, not us: it may have only so much, and is the first that the system ends."""
    guard = {
        "setpriv": ["--pdeathsig", "KILL"],
        "prlimit": [f"--as={_MEMORY_MAX}"],
        "choom": ["-n", str(_ENDED_FIRST), "--"],
    }
    return [word for name, words in guard.items() if (path := shutil.which(name)) for word in (path, *words)]


def _follow(process: subprocess.Popen[bytes], report: Reporter, span: Span, step: str) -> str:
    """Tell its progress until it ends; what it said besides."""
    assert process.stdout is not None
    descriptor, said, moved = process.stdout.fileno(), b"", time.monotonic()
    report.progress(span.low, step)
    while True:
        ready, _, _ = select.select([descriptor], [], [], _POLL_S)
        if ready:
            piece = os.read(descriptor, 4096)
            if not piece:
                return _PERCENT.sub(b"", said).decode(errors="replace")
            said = (said + piece)[-_SAID_MAX:]
            found = _PERCENT.findall(said)
            if found:
                report.progress(span.at(float(found[-1]) / 100), step)
            moved = time.monotonic()
        report.checkpoint()
        if time.monotonic() - moved > _STANDS_STILL_S:
            raise BackendTimeout(f"qemu-img made no progress for {_STANDS_STILL_S:g} s.")


def _plain(path: Path) -> str:
    """Absolute, so that no name is taken for an option or a protocol."""
    return str(path.resolve())


def _reason(said: str) -> str:
    line = next((line for line in reversed(said.replace("\r", "\n").splitlines()) if line.strip()), "")
    return re.sub(r"/\S+", "…", line.strip())[:300] or "it did not say why."
