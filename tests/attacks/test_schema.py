"""The whole API against its own schema: no status and no shape that is not documented."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.live import ROOT
from tests.reporter import MemoryReporter

_EXAMPLES = 3


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    private = PrivateEngine(tmp_path_factory.mktemp("engine"))
    private.start()
    backend = DockerBackend(NodeConfig("sweep", "sweep", "docker", private.url))
    backend.demo_image_make(MemoryReporter())
    yield private
    for info in backend.instance_list():
        backend.instance_delete(info.engine_id, keep_storage=False, report=MemoryReporter())
    backend.close()
    private.close()


@pytest.fixture
def island() -> Iterator[int]:
    """A process whose network name space has nothing but its own loopback."""
    script = "ip link set lo up && exec sleep 3600"
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    yield process.pid
    process.kill()
    process.wait(10)


@pytest.mark.timeout(1200)
def test_no_route_answers_what_it_does_not_document(
    engine: PrivateEngine, island: int, tmp_path: Path
) -> None:
    command = ["nsenter", f"--net=/proc/{island}/ns/net", sys.executable, "-m", "tests.attacks.sweep"]
    done = subprocess.run(
        [*command, str(tmp_path / "var"), engine.url, str(_EXAMPLES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
