"""The pages of networks and volumes, used as a person uses them."""

from __future__ import annotations

import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import context_close, sign_in
from tests.live import PASSWORD, LiveConsole

PAGES = ("/docker/networks", "/docker/volumes")


@pytest.fixture
def thing(live: LiveConsole) -> Iterator[str]:
    """A name for a network and a volume, which are gone afterwards."""
    wanted = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield wanted
    for kind in ("networks", "volumes"):
        live.api("DELETE", f"/docker/{kind}/{wanted}")


def _row(page: Page, name: str) -> Locator:
    return page.locator(f"tr[data-name='{name}']")


def test_a_network_is_made_joined_left_and_deleted(
    page: Page, live: LiveConsole, name: str, thing: str
) -> None:
    live.create(name, "docker")
    page.goto(f"{live.url}/docker/networks")
    page.click("text=New network")
    page.fill("[name=name]", thing)
    page.fill("[name=subnet]", "10.213.9.7/24")
    page.click("#dialog button[type=submit]")
    expect(page.locator("[data-field=subnet]")).to_contain_text("such as 10.89.0.0/24")
    page.fill("[name=subnet]", "10.213.9.0/24")
    page.click("#dialog button[type=submit]")
    expect(_row(page, thing)).to_contain_text("10.213.9.0/24")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click(f"text={thing}")
    page.click("text=Connect a container")
    page.select_option("[name=container]", label=f"{name} (running)")
    page.fill("[name=ip_address]", "10.1.1.1")
    page.click("#dialog button[type=submit]")
    expect(page.locator("#dialog .alert")).to_contain_text("10.213.9.0/24")
    page.fill("[name=ip_address]", "10.213.9.77")
    page.click("#dialog button[type=submit]")
    expect(_row(page, name)).to_contain_text("10.213.9.77")
    page.once("dialog", lambda asked: asked.accept())
    page.click("text=Disconnect")
    expect(page.locator("text=Nobody is on it")).to_be_visible()
    page.click("text=Delete")
    page.click("#dialog button[type=submit]")
    page.wait_for_url(f"{live.url}/docker/networks")
    expect(_row(page, thing)).to_have_count(0)


def test_a_container_joins_and_leaves_on_its_own_page(
    page: Page, live: LiveConsole, name: str, thing: str
) -> None:
    made = live.create(name, "docker")
    assert live.api("POST", "/docker/networks", {"name": thing}).status_code == 201
    page.goto(f"{live.url}/docker/instances/{made['id']}/networks")
    page.select_option("#join-network", thing)
    page.click("form.card button[type=submit]")
    expect(_row(page, thing)).to_be_visible()
    page.once("dialog", lambda asked: asked.accept())
    _row(page, thing).locator("button").click()
    expect(_row(page, thing)).to_have_count(0)


def test_a_volume_is_made_previewed_and_deleted(page: Page, live: LiveConsole, thing: str) -> None:
    page.goto(f"{live.url}/docker/volumes")
    page.click("text=New volume")
    page.fill("[name=name]", thing)
    page.click("#dialog button[type=submit]")
    expect(_row(page, thing)).to_contain_text("unused")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click("text=Clean up")
    expect(page.locator("#dialog")).not_to_contain_text(thing)
    page.check("[name=every]")
    expect(page.locator("#dialog")).to_contain_text(thing)
    page.click("text=Keep them")
    page.click("text=Measure sizes")
    expect(_row(page, thing)).to_contain_text("0 B")
    _row(page, thing).locator("button").click()
    expect(page.locator("#dialog")).to_contain_text("All that is in it is lost")
    page.click("#dialog button[type=submit]")
    expect(_row(page, thing)).to_have_count(0)


def test_a_volume_is_backed_up_and_restored_after_asking(
    page: Page, live: LiveConsole, thing: str, tmp_path: Path
) -> None:
    made = live.api("POST", "/docker/volumes", {"name": thing}).json()
    base = f"/docker/volumes/{made['id']}"
    page.goto(f"{live.url}{base}")
    page.click("text=Restore")
    with tarfile.open(tmp_path / "first.tar", "w") as tar:
        tar.add(__file__, "kept.txt")
    page.set_input_files("#restore-file", str(tmp_path / "first.tar"))
    page.click("#dialog button[type=submit]")
    expect(page.locator("[data-note]")).to_have_text("Restored.")
    page.click("#dialog .modal-footer [data-bs-dismiss]")
    expect(page.locator("#dialog")).to_be_hidden()
    with page.expect_download() as started:
        page.click("text=Back up")
    with tarfile.open(started.value.path()) as tar:
        assert [name for name in tar.getnames() if name.endswith("kept.txt")]
    page.click("text=Restore")
    with tarfile.open(tmp_path / "second.tar", "w") as tar:
        tar.add(__file__, "new.txt")
    page.set_input_files("#restore-file", str(tmp_path / "second.tar"))
    expect(page.locator("#dialog")).to_contain_text("What is in it now is lost")
    page.click("#dialog button[type=submit]")
    expect(page.locator("[data-note]")).to_have_text("Restored.")
    entries = live.get(f"{base}/files/list?path=/")["entries"]
    assert [entry["name"] for entry in entries] == ["new.txt"], "it was emptied first"


def test_a_viewer_finds_no_button_that_changes_anything(chromium: Browser, live: LiveConsole) -> None:
    username = f"nv-{uuid.uuid4().hex[:6]}"
    live.api("POST", "/users", {"username": username, "password": PASSWORD, "role": "viewer"})
    context = chromium.new_context()
    page = context.new_page()
    sign_in(page.context, live, username)
    for path in PAGES:
        page.goto(f"{live.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        assert page.locator("main >> text=New").count() == 0
        assert page.locator("main >> text=Delete").count() == 0
    context_close(context)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_the_pages_fit(chromium: Browser, live: LiveConsole, scheme: str, width: int, thing: str) -> None:
    network = live.api("POST", "/docker/networks", {"name": thing}).json()["id"]
    volume = live.api("POST", "/docker/volumes", {"name": thing}).json()["id"]
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    sign_in(page.context, live)
    for path in (*PAGES, f"/docker/networks/{network}", f"/docker/volumes/{volume}"):
        page.goto(f"{live.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px wider than a window of {width}"
    context_close(context)
    assert complaints == []
