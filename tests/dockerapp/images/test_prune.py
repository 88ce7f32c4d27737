"""Pruning, on an engine of the test's own: what was announced is what goes, to the byte."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.reporter import MemoryReporter


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerBackend]:
    engine = PrivateEngine(tmp_path_factory.mktemp("prune"))
    engine.start()
    backend = DockerBackend(NodeConfig("t-prune", "prune", "docker", engine.url))
    yield backend
    backend.close()
    engine.close()


def _random(size: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("random")
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    return data.getvalue()


def test_a_preview_tells_to_the_byte_what_pruning_frees(own: DockerBackend) -> None:
    for size in (3_000_000, 5_000_000):
        own.images.import_tar([_random(size)], None, MemoryReporter(), image="libgo-t/x:1")
    own.images.tag("libgo-t/x:1", "libgo-t/also:2")
    for unused, freed, names in (
        (False, 3_000_000, []),
        (True, 5_000_000, ["libgo-t/also:2", "libgo-t/x:1"]),
    ):
        preview = own.images.prune_preview(MemoryReporter(), unused=unused)
        assert preview["reclaimed_bytes"] == freed
        assert [item["tags"] for item in preview["items"]] == [names]
        done = own.images.prune(unused=unused)
        assert done["reclaimed_bytes"] == freed and sorted(done["untagged"]) == names
    assert own.images.list() == []
    assert own.images.prune_preview(MemoryReporter(), unused=True) == {"items": [], "reclaimed_bytes": 0}
