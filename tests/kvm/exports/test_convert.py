"""``qemu-img`` that is ended by the system, or wants too much memory: it ends, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from compute.errors import BackendError
from kvm.engine import qemu_img
from kvm.engine.qemu_img import Image, Span, image_convert
from tests.faults.catalogue import fault
from tests.reporter import MemoryReporter

_SPAN = Span(0, 100)


@pytest.fixture
def raw(tmp_path: Path) -> Image:
    """48 MiB that take a while to compress."""
    path = tmp_path / "raw"
    with path.open("wb") as file:
        for _ in range(48):
            file.write(os.urandom(1024**2 // 2) * 2)
    return Image(path, "raw")


def _convert(source: Image, target: Path) -> None:
    image_convert(
        source, Image(target, "vmdk", "subformat=streamOptimized"), MemoryReporter(), _SPAN, "Writing"
    )


def _kill_when_there(target: Path) -> None:
    """As the system does: the one whose command line names the file."""
    for _ in range(500):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _is(entry, target):
                os.kill(int(entry.name), signal.SIGKILL)
                return
        time.sleep(0.01)


def _is(entry: Path, target: Path) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
        return words.startswith(b"qemu-img") and str(target).encode() in words and target.exists()
    except OSError:
        return False


@fault(
    "F30",
    "qemu-img is ended by the system (SIGKILL) while it converts, and wants more memory than it may have",
    sees="that conversion fails, and why",
    keeps="the worker; no half of a file is left; the next conversion works",
)
def test_a_conversion_that_is_ended_takes_nothing_along(
    raw: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.vmdk"
    killer = threading.Thread(target=_kill_when_there, args=(target,))
    killer.start()
    with pytest.raises(BackendError) as ended:
        _convert(raw, target)
    killer.join()
    assert ended.value.details["state"] == "no_memory" and "memory" in ended.value.message
    assert not target.exists()
    with monkeypatch.context() as narrow:
        narrow.setattr(qemu_img, "_MEMORY_MAX", 24 * 1024**2)
        with pytest.raises(BackendError):
            _convert(raw, target)
        assert not target.exists()
    _convert(raw, target)
    assert target.stat().st_size > 1024**2
