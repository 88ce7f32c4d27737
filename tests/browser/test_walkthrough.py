"""What docs/walkthrough.md tells, done in a browser on a console and engines of its own.

Its pictures are made on the way. To make them anew:
``LIBGO_PICTURES=docs/images ./libgo test tests/browser/test_walkthrough.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.browser.conftest import context_close, log_in, sign_in
from tests.browser.pictures import HEIGHT, WIDTH, picture
from tests.engines import NetworkedEngine
from tests.hosts import LibvirtHost
from tests.live import PASSWORD, ROOT, LiveConsole, until
from tests.reporter import MemoryReporter

_SLOW_MS = 60_000
_TAGS = (("shop/web", "1.4"), ("shop/api", "2.0"), ("shop/cache", "7"))
_WORKS = (
    'i=0; while :; do i=$((i+1)); echo "INFO GET /cart/$i 200 12ms"; '
    '[ $((i%5)) = 0 ] && echo "WARN slow query, 812 ms"; '
    '[ $((i%9)) = 0 ] && echo "ERROR cache did not answer, asked again" >&2; sleep 1; done'
)
_COMPOSE = """services:
  web:
    image: shop/web:1.4
    stop_signal: SIGKILL
    command: ["/bin/sh", "-c", 'n=0; while :; do n=$$((n+1)); echo "GET /cart/$$n 200 12ms"; sleep 1; done']
    ports: ["8080:80"]
    depends_on: {cache: {condition: service_healthy}}
    volumes: ["uploads:/srv/uploads"]
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M}}}
  cache:
    image: shop/cache:7
    stop_signal: SIGKILL
    command: ["/bin/sh", "-c", "echo ready for connections; exec sleep 86400"]
    healthcheck: {test: "true", interval: 1s, retries: 30}
volumes:
  uploads:
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, engines: None) -> Iterator[LiveConsole]:
    """A console that looks after one Docker engine and one libvirt host, both new but for images."""
    engine = NetworkedEngine(tmp_path_factory.mktemp("d"))
    engine.live_restore = False
    engine.start()
    host = LibvirtHost(tmp_path_factory.mktemp("k") / "h", "rack", shared=False, network_of=engine.pid)
    console = LiveConsole(
        tmp_path_factory.mktemp("home"), LIBGO_DOCKER_HOST=engine.url, LIBGO_LIBVIRT_URI=host.url
    )
    try:
        _images(engine)
        host.start().image_copy("libgo-demo")
        console.start()
        made = console.api("POST", "/networks", {"name": "default", "forward": {"mode": "nat"}})
        assert made.status_code in (200, 201), made.text
        assert console.api("POST", "/storage/pools/default/refresh?wait=60").status_code in (200, 202)
        until(lambda: console.get("/networks?page_size=5")["items"], "the network is seen", 20)
        until(lambda: console.get("/kvm/images?page_size=5")["items"], "the image is seen", 20)
        yield console
    finally:
        console.stop()
        host.close()
        engine.close()


def _images(engine: NetworkedEngine) -> None:
    backend = DockerBackend(NodeConfig("walk", "walk", "docker", engine.url))
    backend.demo_image_make(MemoryReporter())
    for repository, tag in _TAGS:
        backend._client.call(lambda api, r=repository, t=tag: api.tag("libgo/demo:latest", r, t))
    backend.close()


@pytest.fixture
def window(chromium: Browser, home: LiveConsole) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    context_close(context)
    assert complaints == [], "the browser complained"


def _toasts_gone(page: Page) -> None:
    expect(page.locator("#toasts .toast.show")).to_have_count(0)


@pytest.mark.timeout(300)
def test_first_day(window: Page, home: LiveConsole) -> None:
    page = window
    page.goto(f"{home.url}/login")
    picture(page, "sign-in")
    log_in(page, home)
    expect(page.locator("#dash-first")).to_contain_text("Begin here")
    picture(page, "begin-here")
    page.click("#dash-first >> text=New container")
    page.fill("#id_name", "web")
    page.fill("#id_image", "shop/web:1.4")
    page.fill("#id_ports", "80:80")
    page.fill("#id_memory_mib", "128")
    page.click("summary:has-text('Command and user')")
    page.fill("#id_command", f"/bin/sh -c '{_WORKS}'")
    page.click("summary:has-text('Command and user')")
    page.evaluate("window.scrollTo(0, 0)")
    picture(page, "create")
    page.click("#create button[type=submit]")
    expect(page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)
    expect(page.locator("#now")).to_contain_text("MiB", timeout=_SLOW_MS)
    page.wait_for_timeout(12_000)
    _toasts_gone(page)
    picture(page, "instance")
    page.click(".nav-tabs >> text=Logs")
    expect(page.locator("#log")).to_contain_text("ERROR cache")
    picture(page, "logs")


@pytest.mark.timeout(300)
def test_deploy_an_app(window: Page, home: LiveConsole) -> None:
    page = window
    sign_in(page.context, home)
    page.goto(f"{home.url}/docker/stacks/new")
    page.fill("#name", "shop")
    page.fill("#compose", _COMPOSE)
    expect(page.locator("#verdict-state")).to_have_text("May be deployed")
    picture(page, "stack-check")
    page.click("button:has-text('Deploy')")
    expect(page.locator(".log")).to_contain_text("shop-cache-1 Healthy", timeout=_SLOW_MS)
    page.click("main a:has-text('Stack')")
    expect(page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)
    _toasts_gone(page)
    picture(page, "stack")
    page.goto(f"{home.url}/networks/map")
    expect(page.locator(".netmap").first).to_be_visible()
    picture(page, "map")


@pytest.mark.timeout(400)
def test_a_machine_with_a_desktop(window: Page, home: LiveConsole) -> None:
    page = window
    sign_in(page.context, home)
    page.goto(f"{home.url}/instances/new?backend=kvm")
    page.fill("#id_name", "desktop")
    page.fill("#id_memory_mib", "256")
    picture(page, "create-machine")
    page.click("#create button[type=submit]")
    expect(page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)
    made = home.get("/compute/instances/desktop")
    until(
        lambda: home.get(f"/compute/instances/{made['id']}")["networks"][0].get("ip_address"), "it is up", 120
    )
    page.wait_for_timeout(3000)
    page.reload()
    expect(page.locator(".thumb img")).to_be_visible()
    _toasts_gone(page)
    picture(page, "machine")
    page.click(".nav-tabs >> text=Console")
    state = page.locator("#terminal-state")
    expect(state).to_have_text("Nobody writes: type to begin")
    page.locator("#terminal").click()
    page.keyboard.type("\nuname -sr; ls /\n", delay=40)
    expect(state).to_have_text("You write")
    page.wait_for_timeout(3000)
    picture(page, "console")
    page.goto(f"{home.url}/kvm/machines/{made['id']}/snapshots")
    page.click("button:has-text('Take one')")
    page.fill("#dialog-box [name=name]", "clean")
    page.click("#dialog-box button[type=submit]")
    expect(page.locator("main .card").first).to_contain_text("clean", timeout=_SLOW_MS)
    _toasts_gone(page)
    picture(page, "snapshots")


@pytest.mark.timeout(300)
def test_invite_a_colleague(window: Page, home: LiveConsole, chromium: Browser) -> None:
    page = window
    sign_in(page.context, home)
    page.goto(f"{home.url}/projects")
    page.fill("#project-name", "shop")
    page.fill("#project-description", "The web shop and what it needs")
    page.click("text=Create project")
    expect(page.locator("h1")).to_contain_text("shop")
    project = page.url
    page.goto(f"{home.url}/users")
    page.fill("#user-name", "anna")
    page.fill("#user-email", "anna@example.com")
    page.fill("#user-password", PASSWORD)
    page.click("text=Create user")
    expect(page.locator("h1")).to_contain_text("anna")
    page.goto(project)
    page.fill("#member-user", "anna")
    page.select_option("#member-role", "operator")
    page.click("form:has(#member-user) button[type=submit]")
    expect(page.locator("[data-member=anna]")).to_be_visible()
    picture(page, "project")
    _limited(home)
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
    theirs = context.new_page()
    sign_in(theirs.context, home, "anna")
    theirs.goto(f"{home.url}/instances/new?backend=docker")
    theirs.fill("#id_name", "anna-web")
    theirs.fill("#id_image", "shop/web:1.4")
    expect(theirs.locator("main")).to_contain_text("Project shop")
    picture(theirs, "colleague")
    context_close(context)


def _limited(home: LiveConsole) -> None:
    project = next(row for row in home.get("/projects")["items"] if row["name"] == "shop")
    limits = {"max_instances": 10, "max_cpu_cores": 4, "max_memory_bytes": 4 * 1024**3}
    assert home.api("PUT", f"/projects/{project['id']}/limits", limits).status_code == 200
    default = next(row for row in home.get("/projects")["items"] if row["is_default"])
    assert home.api("DELETE", f"/projects/{default['id']}/members/anna").status_code in (200, 204)


@pytest.mark.timeout(300)
def test_when_something_breaks(window: Page, home: LiveConsole) -> None:
    page = window
    rule = {"name": "something-stopped", "kind": "instance_down", "severity": "critical", "for_s": 0}
    assert home.api("POST", "/alerts/rules", rule).status_code == 201
    words = 'echo "waits for work"; sleep 8; echo "no space left on /data" >&2; exit 3'
    home.create("worker", "docker", config={"image": "shop/api:2.0", "command": ["/bin/sh", "-c", words]})
    log_in(page, home)
    expect(page.locator("#dash-troubles")).to_contain_text("worker is down", timeout=_SLOW_MS)
    _toasts_gone(page)
    picture(page, "dashboard")
    page.emulate_media(color_scheme="dark")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.goto(f"{home.url}/")
    expect(page.locator("#dash-troubles")).to_be_visible()
    picture(page, "dashboard-dark")
    page.goto(f"{home.url}/instances")
    expect(page.locator("tr[data-name=worker]")).to_be_visible()
    picture(page, "instances-dark")
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.goto(f"{home.url}/")
    page.click("#bell a")
    expect(page.locator("#alerts, main table").first).to_contain_text("something-stopped")
    picture(page, "alert")
    page.goto(f"{home.url}/")
    page.click("#dash-troubles a:has-text('worker')")
    expect(page.locator("#advice")).to_be_visible()
    picture(page, "broken")
    page.click("#advice")
    expect(page.locator("#log")).to_contain_text("no space left")
    picture(page, "why")


def test_every_picture_is_shown_and_every_shown_one_is_there() -> None:
    """Of the documents as they are committed; together they stay small."""
    images = ROOT / "docs" / "images"
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {
        (document.parent / name).resolve()
        for document in documents
        for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", document.read_text())
    }
    kept = set(images.iterdir())
    assert shown == kept
    assert sum(file.stat().st_size for file in images.iterdir()) < 2 * 1024**2
