"""The whole API against its own schema: no status and no shape that is not documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.attacks.sweeping import sweep_require
from tests.engines import PrivateEngine
from tests.reporter import MemoryReporter


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


@pytest.mark.timeout(1200)
def test_no_route_answers_what_it_does_not_document(
    engine: PrivateEngine, island: int, tmp_path: Path
) -> None:
    command = ["nsenter", f"--net=/proc/{island}/ns/net"]
    sweep_require(command, tmp_path / "var", "docker", engine.url)
