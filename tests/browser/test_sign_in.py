"""A person sets up a second factor and a token, and comes in by them."""

from __future__ import annotations

import uuid

import pyotp
import requests
from playwright.sync_api import Browser, expect

from tests.browser.conftest import context_close, sign_in
from tests.browser.test_accessibility import violations
from tests.live import PASSWORD, LiveConsole


def test_a_second_factor_and_a_token_from_the_profile(chromium: Browser, live: LiveConsole) -> None:
    username = f"p-s-{uuid.uuid4().hex[:6]}"
    made = live.api("POST", "/users", {"username": username, "password": PASSWORD, "role": "operator"})
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    sign_in(context, live, username)
    page.goto(f"{live.url}/profile")
    page.fill("#token-name", "ci")
    page.click("#tokens button:has-text('Make')")
    token = page.inner_text("#token")
    assert violations(page) == []
    sent = {"Authorization": f"Token {token}"}
    assert requests.get(f"{live.url}/api/v1/profile", headers=sent, timeout=10).status_code == 200
    page.click("tr[data-token='ci'] button:has-text('Revoke')")
    expect(page.locator("#tokens")).to_contain_text("You have no tokens")
    assert requests.get(f"{live.url}/api/v1/profile", headers=sent, timeout=10).status_code == 401

    page.fill("#factor-password", PASSWORD)
    page.click("#factor button:has-text('Set it up')")
    picture = page.locator("#factor img")
    expect(picture).to_be_visible()
    assert violations(page) == []
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.fill("#first-code", pyotp.TOTP(page.inner_text("#secret")).now())
    page.click("#factor button:has-text('Switch on')")
    codes = page.inner_text("#recovery-codes").split()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.set_viewport_size({"width": 1440, "height": 900})
    page.click("a:has-text('Account:')")
    page.click("button:has-text('Log out')")
    expect(page.locator("#username")).to_be_visible()
    assert violations(page) == []
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    expect(page.locator("#code")).to_be_visible()
    assert violations(page) == []
    page.fill("#code", codes[0])
    page.click("button:has-text('Continue')")
    page.wait_for_url(f"{live.url}/")
    context_close(context)
    live.api("DELETE", f"/users/{made.json()['id']}")
    assert complaints == []
