"""Nodes in a browser: one is added by the form, looked at, cleaned up and forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.live import LiveConsole
from tests.reporter import MemoryReporter


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    private = PrivateEngine(tmp_path_factory.mktemp("engine"))
    private.start()
    backend = DockerBackend(NodeConfig("b", "b", "docker", private.url))
    backend.demo_image_make(MemoryReporter())
    backend._client.call(lambda api: api.create_volume("libgo-t-idle"))
    backend.close()
    yield private
    private.close()


def test_a_node_is_added_looked_at_cleaned_up_and_forgotten(
    page: Page, live: LiveConsole, engine: PrivateEngine
) -> None:
    name = f"form-{os.getpid()}"
    page.goto(f"{live.url}/nodes")
    page.click("text=Add node")
    page.fill("#name", name)
    page.fill("#socket", "/run/absent.sock")
    page.click("button[value=test]")
    expect(page.locator("#found .alert-danger")).to_contain_text("its socket does not exist")
    page.fill("#socket", str(engine.socket))
    page.click("button[value=test]")
    expect(page.locator("#found .alert-success")).to_contain_text("docker")
    page.click("button[value=save]")
    expect(page.locator("#head")).to_contain_text("online")
    expect(page.locator("#engine table")).to_contain_text("Together")
    page.click("text=Clean up")
    page.check("#dialog input[name=volumes]")
    page.click("text=Remove what is ticked")
    expect(page.locator("#dialog")).to_contain_text("are free again")
    page.click("#dialog >> text=Done")
    page.click("button:has-text('Remove')")
    page.click("#dialog >> text=Forget it")
    page.wait_for_url(f"{live.url}/nodes")
    assert name not in [row["name"] for row in live.get("/nodes")["items"]]


def test_each_way_says_what_is_missing(page: Page, live: LiveConsole) -> None:
    for kind, words in (("tls", "tcp://host:port"), ("ssh", "ssh")):
        page.goto(f"{live.url}/nodes/new?backend=docker&kind={kind}")
        page.fill("#name", "nowhere")
        page.click("button[value=save]")
        expect(page.locator("#found .alert-danger")).to_contain_text(words)
    page.goto(f"{live.url}/nodes/new?backend=docker&kind=tls")
    page.fill("#name", "nowhere")
    page.fill("#host", "10.9.8.7")
    page.fill("#ca", "nonsense")
    page.click("button[value=save]")
    expect(page.locator("#found .alert-danger")).to_contain_text("is not a certificate in PEM")


def test_it_fits_a_telephone(page: Page, live: LiveConsole) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    node = live.get("/nodes/local-docker")
    for path in ("/nodes", "/nodes/new?backend=docker&kind=tls", f"/nodes/{node['id']}"):
        page.goto(f"{live.url}{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
