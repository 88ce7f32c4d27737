"""What an engine tells of itself, and what is thrown away when asked to: on an engine of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from dockerapp.engine.advice import engine_advice
from tests.engines import PrivateEngine
from tests.live import LiveConsole
from tests.reporter import MemoryReporter


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerBackend]:
    private = PrivateEngine(tmp_path_factory.mktemp("engine"))
    private.start()
    backend = DockerBackend(NodeConfig("system", "system", "docker", private.url))
    backend.demo_image_make(MemoryReporter())
    yield backend
    for info in backend.instance_list():
        backend.instance_delete(info.engine_id, keep_storage=False, report=MemoryReporter())
    backend.close()
    private.close()


@pytest.fixture(scope="module")
def node(live: LiveConsole, engine: DockerBackend) -> Iterator[str]:
    """The name of the node, as ``?node=`` takes it."""
    name = f"system-{os.getpid()}"
    made = live.api("POST", "/nodes", {"name": name, "backend": "docker", "url": engine.node.url})
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "online", "it was asked before it was stored"
    yield name
    live.api("DELETE", f"/nodes/{name}")


def test_info_version_and_disk_use_are_typed(live: LiveConsole, node: str) -> None:
    info = live.get(f"/docker/system/info?node={node}")
    assert info["engine"] == "docker" and info["live_restore"] is True
    assert info["advice"] == engine_advice(info["version"], live_restore=True)
    assert info["private"]["root_dir"].endswith("/root"), "for administrators"
    version = live.get(f"/docker/system/version?node={node}")
    assert version["version"] == info["version"] and version["components"]
    disk = live.get(f"/docker/system/df?node={node}")
    assert disk["images"]["count"] == 1 and disk["total_bytes"] > 10**6
    assert disk["images"]["items"][0]["tags"] == ["libgo/demo:latest"]
    refused = live.api("GET", f"/docker/system/df?node={node}&surprise=1")
    assert refused.status_code == 400


def test_nothing_goes_by_leaving_words_out(live: LiveConsole, node: str) -> None:
    refused = live.api("POST", f"/docker/system/prune?node={node}", {})
    assert refused.status_code == 400 and "say what may go" in refused.text


def test_a_look_tells_what_goes_and_only_that_goes(
    live: LiveConsole, node: str, engine: DockerBackend
) -> None:
    stays, goes = f"libgo-t-s{os.getpid()}", f"libgo-t-g{os.getpid()}"
    config = {"image": "libgo/demo:latest", "network_mode": "none"}
    live.create(stays, "docker", node=node, config=config)
    live.create(goes, "docker", node=node, config=config, auto_start=False)
    _things_make(engine)
    look = live.api("POST", f"/docker/system/prune?node={node}", {"dry_run": True}).json()
    assert [item["name"] for item in look["containers"]["items"]] == [goes]
    assert [item["name"] for item in look["volumes"]["items"]] == ["libgo-t-idle"]
    assert [item["name"] for item in look["networks"]["items"]] == ["libgo-t-idle"]
    wanted = {"containers": True, "networks": True, "volumes": True, "images": True, "build_cache": True}
    done = live.api("POST", f"/docker/system/prune?node={node}&wait=60", wanted)
    assert done.status_code == 200, done.text
    result = done.json()
    assert result["containers"]["removed"] == [goes] and result["volumes"]["removed"] == ["libgo-t-idle"]
    assert result["networks"]["removed"] == ["libgo-t-idle"] and result["kept"] == []
    assert live.shown(goes) is None and live.shown(stays) is not None, "the list agrees at once"
    assert [row["name"] for row in live.get(f"/docker/volumes?node={node}")["items"]] == []
    assert engine.image_list(), "an image with a name stays"
    live.api("DELETE", f"/compute/instances/{stays}?force=true&wait=60")


def _things_make(engine: DockerBackend) -> None:
    labels = {"libgo.test": "live"}
    engine._client.call(lambda api: api.create_volume("libgo-t-idle", labels=labels))
    engine._client.call(lambda api: api.create_network("libgo-t-idle", driver="bridge", labels=labels))


def test_others_see_sums_and_only_their_own_things(live: LiveConsole, node: str) -> None:
    """Nobody but administrators learns where things lie, or empties anything."""
    name, password = f"libgo-t-v{os.getpid()}", "a password for tests 1"
    stays = f"libgo-t-o{os.getpid()}"
    config = {"image": "libgo/demo:latest", "network_mode": "none"}
    project = live.api("POST", "/projects", {"name": f"libgo-t-{os.getpid()}"}).json()["id"]
    live.create(stays, "docker", node=node, config=config)
    live.api("POST", "/users", {"username": name, "password": password})
    live.api("POST", f"/projects/{project}/members", {"user": name, "role": "operator"})
    default = next(row["id"] for row in live.get("/projects?page_size=500")["items"] if row["is_default"])
    live.api("DELETE", f"/projects/{default}/members/{name}")
    headers = {"Authorization": f"Bearer {live.log_in(name, password)}"}

    def ask(method: str, path: str, body: Any = None) -> requests.Response:
        url = f"{live.url}/api/v1/docker/system/{path}?node={node}"
        return requests.request(method, url, json=body, headers=headers, timeout=60)

    assert ask("GET", "info").json()["private"] is None
    disk = ask("GET", "df").json()
    assert disk["containers"]["count"] >= 1 and disk["containers"]["items"] == []
    for body in ({"dry_run": True}, {"containers": True}):
        refused = ask("POST", "prune", body)
        assert refused.status_code == 403, refused.text
    live.api("DELETE", f"/compute/instances/{stays}?force=true&wait=60")
