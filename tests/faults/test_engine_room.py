"""A Docker engine whose disk is full: a small one of its own, in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, asked, ended_of, node_added
from tests.faults.gate import GATE_IMAGE, gate_open
from tests.live import LiveConsole, until
from tests.people import DEMO
from tests.reporter import MemoryReporter

_MIB = 1024**2
_SIZE_MIB, _LEFT = 256, 512 * 1024
_WRITES = ["/bin/sh", "-c", "dd if=/dev/urandom of=/big bs=1048576 count=8; exec sleep 3600"]
Ask = Callable[[], requests.Response]


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """All that it has lies on a disk of 256 MiB."""
    private = PrivateEngine(tmp_path_factory.mktemp("small"))
    private.data_root.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "tmpfs", str(private.data_root)]
    subprocess.run(words, check=True)
    try:
        private.start()
        backend = DockerBackend(NodeConfig("small", "small", "docker", private.url))
        backend.demo_image_make(MemoryReporter())
        backend.close()
        yield private
    finally:
        with asked(private) as backend:
            for info in backend.instance_list():
                backend.instance_delete(info.engine_id, keep_storage=False, report=MemoryReporter())
        private.close()


def _things(engine: PrivateEngine) -> set[str]:
    """Ids of all containers, images and volumes of the engine."""
    with asked(engine) as backend:
        rows = backend._client.call(lambda api: api.containers(all=True))
        images = backend._client.call(lambda api: api.images(all=True))
        volumes = {f"volume {info.name}" for info in backend.resource_list("volume")}
    return volumes | {str(row["Id"]) for row in (*rows, *images)}


def _instance(live: LiveConsole, node: str, name: str) -> dict[str, Any]:
    config = {"image": DEMO, "network_mode": "none", "command": _WRITES}
    made = live.create(name, "docker", node=node, config=config)
    with_size = f"/docker/containers/{name}?size=true"
    until(lambda: (live.get(with_size).get("size_rw_bytes") or 0) >= 8 * _MIB, "it has written", 20)
    return made


def _backed_up(live: LiveConsole, instance: dict[str, Any], folder: Path) -> str:
    """The id of a backup of it."""
    target = {"name": f"t-{os.urandom(2).hex()}", "kind": "local", "options": {"folder": str(folder)}}
    place = live.api("POST", "/backups/targets", target)
    assert place.status_code == 201, place.text
    asked_for = live.api(
        "POST", f"/compute/instances/{instance['id']}/backups?wait=60", {"target": place.json()["id"]}
    )
    assert asked_for.status_code in (200, 201), asked_for.text
    return str(live.get(f"/compute/instances/{instance['id']}/backups")["items"][0]["id"])


@fault(
    "F32",
    "the disk of a Docker engine is full: a pull, a snapshot, an image saved, a restore",
    sees="each fails with no_space and says what to do; a restore before anything is made; freed, all work",
    keeps="what was there; nothing half-made is left; lists answer",
)
def test_an_engine_without_room_refuses_and_keeps_nothing_half_made(
    hasty: LiveConsole, small: PrivateEngine, tmp_path: Path, measured: Measured
) -> None:
    live, name, filler = hasty, f"libgo-t-room{os.getpid()}", small.data_root / "filler"
    with node_added(live, small.url) as path, gate_open(small, tmp_path):
        node = live.get(path)["name"]
        made = _instance(live, node, name)
        backup = _backed_up(live, made, live.var / "backups" / "room")
        asks: dict[str, Ask] = {
            "pull": lambda: live.api("POST", f"/docker/images/pull?node={node}", {"image": GATE_IMAGE}),
            "snapshot": lambda: live.api(
                "POST", f"/compute/instances/{made['id']}/snapshots", {"name": "before"}
            ),
            "save": lambda: live.api("GET", f"/docker/images/save?names={DEMO}&node={node}"),
            "restore": lambda: live.api("POST", f"/backups/{backup}/restore", {"name": f"{name}-again"}),
        }
        before = _things(small)
        filler.write_bytes(b"\1" * (shutil.disk_usage(small.data_root).free - _LEFT))
        began = time.monotonic()
        for word, ask in asks.items():
            over = ended_of(live, ask())
            error = over["error"]
            assert over["state"] == "failed" and error["details"].get("state") == "no_space", (word, over)
            assert str(small.folder) not in error["message"], error
            assert ("Nothing was made" in error["message"]) == (word == "restore"), error
            assert _things(small) == before, word
            assert name in live.names() and live.get(path)["status"] == "online"
        measured("all told after", time.monotonic() - began)
        filler.unlink()
        began = time.monotonic()
        for word, ask in asks.items():
            over = ended_of(live, ask())
            assert over["state"] == "succeeded", (word, over)
        measured("freed: all done after", time.monotonic() - began)
        for row in live.get(f"/compute/instances?node={node}")["instances"]:
            assert live.api("DELETE", f"/compute/instances/{row['id']}?force=true&wait=60").status_code == 200
