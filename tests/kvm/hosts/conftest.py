"""A second libvirt host beside the machine's own, and the ways to it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.engines import SshServer
from tests.hosts import LibvirtHost


@pytest.fixture(scope="package")
def short_folder() -> Iterator[Path]:
    """Sockets lie below it, and their paths may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def authority(short_folder: Path) -> Authority:
    return Authority(short_folder / "ours")


@pytest.fixture(scope="package")
def far(engines: None, short_folder: Path, authority: Authority) -> Iterator[LibvirtHost]:
    host = LibvirtHost(short_folder / "far", "libgo-t-far", authority=authority)
    try:
        yield host.start()
    finally:
        host.close()


@pytest.fixture(scope="package")
def sshd(short_folder: Path) -> Iterator[SshServer]:
    (short_folder / "sshd").mkdir()
    server = SshServer(short_folder / "sshd")
    server.start()
    yield server
    server.stop()
