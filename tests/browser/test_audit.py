"""Whoever must answer for the site finds what happened, who did it and what it was before, takes it away as
CSV, and lets the chain be verified."""

from __future__ import annotations

import csv
import uuid

from playwright.sync_api import Page, expect

from tests.browser.shots import pictured
from tests.live import LiveConsole


def test_a_change_is_found_opened_exported_and_proved(page: Page, live: LiveConsole) -> None:
    name = f"rest-{uuid.uuid4().hex[:6]}"
    body = {"name": name, "cron": "30 2 * * *", "action": "stop", "target": {"filter": {"q": name}}}
    assert live.api("POST", "/compute/schedules", body).status_code == 201
    assert live.api("PUT", f"/compute/schedules/{name}", {"cron": "0 4 * * 0"}).status_code == 200
    assert live.api("DELETE", f"/compute/schedules/{name}").status_code == 204

    page.goto(f"{live.url}/audit")
    rows = page.locator("#audit tbody tr")
    expect(rows.first).to_be_visible()
    page.fill("#q", name)
    expect(rows).to_have_count(3)
    page.fill("input[name=action]", "schedule.update")
    page.press("input[name=action]", "Enter")
    expect(rows).to_have_count(1)
    assert "action=schedule.update" in page.url and f"q={name}" in page.url
    changed = rows.first
    expect(changed.locator("del")).to_have_text("30 2 * * *")
    expect(changed.locator("ins")).to_have_text("0 4 * * 0")
    changed.locator("summary").click()
    expect(changed.locator("dl")).to_contain_text("127.0.0.1")
    expect(changed.locator("dl")).to_contain_text("Request")
    pictured(page, "audit-one-open")

    with page.expect_download() as download:
        page.click("#audit a:has-text('CSV')")
    with open(download.value.path(), newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["action"] for row in found] == ["schedule.update"] and found[0]["target"] == name
    assert "30 2 * * *" in str(found[0]) and "0 4 * * 0" in str(found[0])

    page.click("button:has-text('Verify now')")
    expect(page.locator("#audit-state .alert-success")).to_contain_text("The chain holds.")
    page.select_option("select[name=result]", "refused")
    expect(page.locator("#audit")).to_contain_text("Nothing found")
    pictured(page, "audit-verified-nothing-found")
    page.goto(f"{live.url}/audit")
    pictured(page, "audit-all")
