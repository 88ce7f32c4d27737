"""The pages of libvirt's networks, used as a person uses them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close, sign_in
from tests.live import LiveConsole, until


@pytest.fixture
def network(live: LiveConsole) -> Iterator[str]:
    wanted = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield wanted
    path = f"/networks/{wanted}?force=true"
    until(lambda: live.api("DELETE", path).status_code in (200, 404), f"{wanted} is gone", 20)


def test_a_network_is_made_changed_stopped_and_deleted(
    page: Page, live: LiveConsole, network: str, chromium: Browser
) -> None:
    prefix = f"10.{random.randint(100, 250)}.{random.randint(1, 250)}"
    page.goto(f"{live.url}/kvm/networks")
    page.click("text=New network")
    page.fill("[name=name]", network)
    page.fill("[name=address]", "10.1.2.3/99")
    page.click("#dialog button[type=submit]")
    expect(page.locator("[data-field=address]")).to_be_visible()
    page.fill("[name=address]", f"{prefix}.1/24")
    page.click("#dialog button[type=submit]")
    row = page.locator(f"tr[data-name='{network}']")
    expect(row).to_contain_text("active")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click(f"text={network}")

    page.click("button:text-is('Add')")
    page.fill("[name=mac]", "52:54:00:01:02:03")
    page.fill("[name=ip]", "10.0.0.1")
    page.click("#dialog button[type=submit]")
    expect(page.locator("#dialog .alert")).to_contain_text("inside")
    page.fill("[name=ip]", f"{prefix}.77")
    page.click("#dialog button[type=submit]")
    expect(page.locator("td", has_text=f"{prefix}.77")).to_be_visible()
    expect(page.locator("#dialog")).to_be_hidden()

    page.click("button:has-text('Edit')")
    page.select_option("[name=mode]", "isolated")
    page.click("#dialog button[type=submit]")
    expect(page.locator("text=Changes wait for its next start")).to_be_visible()
    expect(page.locator("#dialog")).to_be_hidden()
    page.click("button:has-text('Stop')")
    page.click("#dialog button[type=submit]")
    expect(page.locator(".status", has_text="stopped")).to_be_visible()
    expect(page.locator("text=Changes wait for its next start")).to_be_hidden()

    _fits(chromium, live, page.url, f"{live.url}/kvm/networks", f"{live.url}/networks/map")
    page.goto(f"{live.url}/networks/map")
    expect(page.locator(f"[data-network='{network}'] title")).to_have_count(1)
    page.click(f"[data-network='{network}']")
    expect(page.locator("h1")).to_contain_text(network)
    page.click("button:has-text('Delete')")
    page.click("#dialog button[type=submit]")
    page.wait_for_url(f"{live.url}/kvm/networks")


def _fits(chromium: Browser, live: LiveConsole, *urls: str) -> None:
    """No page is wider than a phone."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    small = context.new_page()
    sign_in(small.context, live)
    for url in urls:
        small.goto(url)
        assert small.evaluate("document.documentElement.scrollWidth <= innerWidth"), url
    context_close(context)
