"""How much room an engine has, as far as anybody tells."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from dockerapp.engine import host
from dockerapp.engine.client import EngineClient
from tests.engines import PrivateEngine
from tests.faulty import faulty_port


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    made = PrivateEngine(tmp_path_factory.mktemp("room"))
    made.start()
    yield made
    made.close()


def test_on_our_own_machine_it_is_that_of_the_disk(engine: PrivateEngine) -> None:
    client = EngineClient(NodeConfig("near", "near", "docker", engine.url))
    there = shutil.disk_usage(engine.data_root)
    told = host.node_info(client, frozenset())
    assert told.storage_total_bytes == there.total
    assert told.storage_used_bytes is not None
    free = there.total - told.storage_used_bytes
    assert abs(free - there.free) < there.total / 50 and abs((host.disk_free(client) or 0) - free) < 1024**3
    client.close()


def test_elsewhere_it_is_not_known_and_nobody_guesses(engine: PrivateEngine) -> None:
    way = faulty_port(Path(engine.socket))
    client = EngineClient(NodeConfig("far", "far", "docker", f"tcp://127.0.0.1:{way.port}"))
    told = host.node_info(client, frozenset())
    assert told.storage_total_bytes is told.storage_used_bytes is host.disk_free(client) is None
    client.close()
    way.close()


def test_a_driver_that_tells_is_believed_and_nonsense_is_not() -> None:
    client = EngineClient(NodeConfig("far", "far", "docker", "tcp://127.0.0.1:1"))
    rows = [["Zpool", "tank"], ["Space Used By Parent", "3000"], ["Space Available", "7000"]]
    assert host._disk(client, {"DriverStatus": rows}) == (10_000, 7000)
    for bad in (None, [], "x", [["Space Available"]], [*rows[:2], ["Space Available", "-1"]], [1, {}]):
        assert host._disk(client, {"DriverStatus": bad}) == (None, None)
