"""The main journey where the browser runs no script: forms, links and pages do it."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.browser.conftest import context_close, log_in
from tests.live import LiveConsole, until


def test_a_container_is_made_stopped_started_found_and_deleted(
    chromium: Browser, live: LiveConsole, name: str
) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    log_in(page, live)
    expect(page.locator("main")).to_contain_text("local-docker")
    page.locator(".navbar .dropdown-toggle", has_text="Docker").hover()
    page.click(".navbar .dropdown-menu a:has-text('Volumes')")
    expect(page.locator("h1")).to_have_text("Volumes")
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.fill("#id_name", name)
    page.click("#create button[type=submit]")
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "it runs", 60)
    page.goto(f"{live.url}/instances?q={name}")
    page.click(f"tr[data-name='{name}'] button:has-text('Stop')")
    expect(page.locator("main .alert")).to_contain_text(f"{name}: stopping")
    assert page.url == f"{live.url}/instances?q={name}", "back where one was"
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "stopped", "it is stopped", 30)
    page.goto(f"{live.url}/instances")
    page.fill("#q", name)
    page.click("button:has-text('Show') >> nth=0")
    expect(page.locator("tr[data-name]")).to_have_count(1)
    page.click(f"tr[data-name='{name}'] a:has-text('{name}')")
    expect(page.locator("main .alert")).to_have_count(0)
    page.click("#advice:has-text('Start it')")
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "it runs again", 30)
    page.reload()
    page.click("button:has-text('Delete')")
    expect(page.locator("main")).to_contain_text("cannot be undone")
    page.fill("#confirm-delete", "something else")
    page.click("button.btn-danger")
    expect(page.locator("main")).to_contain_text("to confirm; nothing was done")
    page.go_back()
    page.fill("#confirm-delete", name)
    page.click("button.btn-danger")
    page.wait_for_url(re.compile("/operations/"))
    until(lambda: live.shown(name) is None, "it is deleted", 30)
    context_close(context)
