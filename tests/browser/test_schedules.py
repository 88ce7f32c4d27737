"""A person makes a schedule, sees when it will run, runs it by hand, and lets it rest."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from tests.live import LiveConsole


def test_a_schedule_from_its_form_to_its_history(page: Page, live: LiveConsole, name: str) -> None:
    live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    page.goto(f"{live.url}/schedules/new")
    page.fill("#id_name", f"rest {name}")
    page.fill("#id_cron", "0 19 * * 1-5")
    expect(page.locator("#next")).to_contain_text("At 19:00 on Monday through Friday")
    expect(page.locator("#next time")).to_have_count(5)
    page.select_option("#id_action", "stop")
    page.fill("#id_q", name)
    page.click("summary:has-text('Further settings')")
    page.check("#id_force")
    page.click("button:has-text('Make it')")
    expect(page.locator("h1.page-title")).to_have_text(f"rest {name}")
    expect(page.locator("body")).to_contain_text("Reaches now")
    page.click("button:has-text('Run now')")
    expect(page.locator("table .badge:has-text('succeeded')")).to_be_visible()
    assert live.get(f"/compute/instances/{name}")["state"] == "stopped"
    page.click("button:has-text('Pause')")
    expect(page.locator(".alert-warning")).to_contain_text("It is paused. By admin.")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Delete')")
    expect(page.locator("h1.page-title")).to_have_text("Schedules")
    assert live.get(f"/compute/schedules?q={name}")["total"] == 0


def _longer(route: Route) -> None:
    """As if the list went on, however often it is drawn again: nobody makes a page full of containers."""
    if route.request.resource_type == "document":
        route.continue_()
        return
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace('data-bulk-total="1"', 'data-bulk-total="2"'))


def test_all_that_match_are_chosen_beyond_what_is_shown(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    page.route("**/instances?q=*", _longer)
    page.goto(f"{live.url}/instances?q={name}")
    page.evaluate("document.querySelector('[data-bulk=instances]').dataset.bulkTotal = '2'")
    page.check("[data-bulk-all]")
    bar = page.locator("[data-bulk-bar=instances]")
    bar.locator("button:has-text('Select all 2 that match')").click()
    expect(bar).to_contain_text("All 2 that match")
    bar.locator("button:has-text('Stop')").click()
    dialog = page.locator("dialog.bulk-dialog")
    expect(dialog).to_contain_text("Stop: 2 chosen")
    dialog.locator("button.btn-primary:has-text('Stop')").click()
    expect(dialog.locator(f".list-group-item:has-text('{name}')")).to_contain_text("done", timeout=45000)
    expect(dialog).to_contain_text("1 of 1 done")
    # One that is being answered when the page goes would fail in the next test.
    page.unroute_all(behavior="ignoreErrors")
    assert live.get(f"/compute/instances/{made['id']}")["state"] == "stopped"
