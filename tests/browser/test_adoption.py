"""An administrator sees what runs outside LibGo, adopts some of it, and makes a rule for what comes."""

from __future__ import annotations

import uuid

from playwright.sync_api import Page, expect

from tests.live import LiveConsole, until
from tests.outside import Outside
from tests.people import World


def test_from_what_runs_to_a_rule_for_what_comes(
    page: Page, live: LiveConsole, world: World, outside: Outside
) -> None:
    shop = f"shop-{uuid.uuid4().hex[:6]}"
    assert live.api("POST", "/projects", {"name": shop}).status_code == 201
    assert live.api("PUT", f"/projects/{shop}/limits", {"max_instances": 3}).status_code == 200
    web, db = outside.container("web"), outside.container("db")
    until(lambda: live.shown(web) and live.shown(db), "both to appear", 15)

    page.goto(f"{live.url}/compute/adopt")
    page.fill("#id_instance_name", f"{outside.word}-*")
    rows = page.locator("#unmanaged tr[data-name]")
    expect(rows).to_have_count(2)
    page.select_option("#id_project", shop)
    expect(page.locator(f"tr[data-name='{web}']")).to_contain_text(f"to {shop}")
    page.check(f"tr[data-name='{web}'] [name=ids]")
    page.click("button:has-text('Adopt what is ticked')")
    expect(page.locator("#unmanaged .alert-success")).to_contain_text(f"1 instance now belongs to {shop}")
    expect(rows).to_have_count(1)

    page.click("a:has-text('Make a rule of it')")
    expect(page.locator("#id_instance_name")).to_have_value(f"{outside.word}-*")
    expect(page.locator("#look")).to_contain_text(f"1 to {shop}")
    page.fill("#id_name", shop)
    page.click("button:has-text('Make it')")
    row = page.locator(f"#adopt-rules tr[data-name='{shop}']")
    row.locator("button:has-text('Apply now')").click()
    until(lambda: (live.shown(db) or {}).get("managed"), "the rule to adopt what was there", 10)

    third = outside.container("third")
    until(lambda: (live.shown(third) or {}).get("managed"), "the rule to adopt what appeared", 15)
    fourth = outside.container("fourth")
    until(lambda: live.get(f"/compute/adoption-rules/{shop}")["problem"], "the rule to refuse the fourth", 15)
    page.reload()
    expect(row).to_contain_text("allows instances up to 3")
    page.once("dialog", lambda dialog: dialog.accept())
    row.locator("button:has-text('Remove')").click()
    expect(row).to_have_count(0)

    page.goto(f"{live.url}/instances?q={outside.word}")
    page.check(f"tr[data-name='{fourth}'] [data-bulk-item]")
    page.click("[data-bulk-bar=instances] button:has-text('Adopt')")
    dialog = page.locator("dialog.bulk-dialog")
    dialog.locator("select[name=project]").select_option("default")
    dialog.locator("button.btn-primary:has-text('Adopt')").click()
    expect(dialog).to_contain_text("1 of 1 done")
    assert (live.shown(fourth) or {})["managed"]
