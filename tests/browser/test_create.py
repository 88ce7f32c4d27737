"""From the log-in to something that runs: how many clicks it takes; and the line of curl on a form does what
the form does."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.api_line import api_line, replay
from tests.browser.conftest import context_close, log_in, sign_in
from tests.live import LiveConsole, until

_CLICKS_MAX = 4


class Hand:
    """Counts what a person does."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks, self.typed = page, 0, 0

    def click(self, selector: str) -> None:
        self.clicks += 1
        self.page.click(selector)

    def type(self, selector: str, text: str) -> None:
        self.typed += 1
        self.page.fill(selector, text)


@pytest.mark.parametrize("backend", ["docker", "kvm"])
def test_four_clicks_and_a_name_lead_to_something_that_runs(
    chromium: Browser, live: LiveConsole, name: str, backend: str
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    log_in(page, live)
    hand = Hand(page)
    hand.click("text=New instance")
    if backend == "kvm":
        hand.click("a:has-text('Virtual machine')")
    hand.type("#id_name", name)
    hand.click("#create button[type=submit]")
    expect(page.locator("#state")).to_have_text("running", timeout=60000)
    context_close(context)
    assert (hand.clicks, hand.typed) <= (_CLICKS_MAX, 1)
    print(f"{backend}: {hand.clicks} clicks, {hand.typed} name")
    made = live.get(f"/compute/instances/{name}")
    assert (made["backend"], made["state"]) == (backend, "running")


def test_what_is_wrong_is_said_while_one_types(page: Page, live: LiveConsole, name: str) -> None:
    live.create(name, "docker")
    page.goto(f"{live.url}/instances/new?backend=docker")
    said = page.locator("[data-field=name]")
    page.fill("#id_name", "no good!")
    expect(said).to_contain_text("must be 1 to 63 letters")
    page.fill("#id_name", name)
    expect(said).to_contain_text("already an instance")
    page.fill("#id_ports", "99999:80")
    expect(page.locator("[data-field=ports]")).to_be_visible()
    page.fill("#id_name", f"{name}-2")
    expect(said).to_have_count(0)
    page.fill("#id_ports", "")
    expect(page.locator("[data-field=ports]")).to_have_count(0)
    assert live.names() & {f"{name}-2"} == set(), "looking makes nothing"
    told = [row for row in live.get("/audit?page_size=200")["items"] if "instances/new" in row["action"]]
    assert told == [], "looking is no change that the audit should tell"


def test_the_line_of_the_create_form_makes_the_same_container(
    page: Page, live: LiveConsole, name: str
) -> None:
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.fill("#id_name", name)
    page.fill("#id_image", "libgo/demo:latest")
    page.fill("#id_memory_mib", "64")
    page.click("summary:has-text('Data, environment')")
    page.fill("#id_env", 'WORDS=it\'s $HOME and "quotes"')
    replay(live, api_line(page))
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "it runs", 30)
    made = live.get(f"/compute/instances/{name}")
    assert made["config"]["env"]["WORDS"] == 'it\'s $HOME and "quotes"'
    assert made["resources"]["memory"]["limit"] == 64 * 1024**2


def test_the_line_of_the_create_form_makes_the_same_machine(page: Page, live: LiveConsole, name: str) -> None:
    page.goto(f"{live.url}/instances/new?backend=kvm")
    page.fill("#id_name", name)
    page.fill("#id_memory_mib", "192")
    replay(live, api_line(page))
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "it runs", 60)


@pytest.mark.parametrize(
    ("where", "button", "route"),
    [
        ("/docker/networks", "New network", "/docker/networks"),
        ("/docker/volumes", "New volume", "/docker/volumes"),
        ("/kvm/networks", "New network", "/networks"),
    ],
)
def test_the_line_of_a_dialog_makes_the_same_thing(
    page: Page, live: LiveConsole, name: str, where: str, button: str, route: str
) -> None:
    page.goto(f"{live.url}{where}")
    page.click(f"button:has-text('{button}'), a:has-text('{button}')")
    page.fill("#dialog-box #id_name", name)
    if where == "/kvm/networks":
        page.select_option("#dialog-box #id_mode", "isolated")
        page.fill("#dialog-box #id_address", "10.213.77.1/24")
    replay(live, api_line(page, "#dialog-box"))

    def there() -> bool:
        return name in {row["name"] for row in live.get(f"{route}?page_size=500")["items"]}

    until(there, "it is there", 20)
    assert live.api("DELETE", f"{route}/{name}?wait=60").status_code in (200, 204)


def test_the_line_of_a_volume_of_machines_makes_it(page: Page, live: LiveConsole, name: str) -> None:
    pool = next(row for row in live.get("/storage/pools")["items"] if row["name"] == "default")
    page.goto(f"{live.url}/kvm/storage/{pool['id']}")
    page.click("button:has-text('New volume'), a:has-text('New volume')")
    page.fill("#dialog-box #id_name", f"{name}.qcow2")
    page.fill("#dialog-box #id_size", "0.1")
    replay(live, api_line(page, "#dialog-box"))
    volumes = f"/storage/pools/{pool['id']}/volumes"
    found: list[str] = []

    def there() -> bool:
        rows = live.get(f"{volumes}?page_size=500")["items"]
        found[:] = [row["id"] for row in rows if row["name"] == f"{name}.qcow2"]
        return bool(found)

    until(there, "the volume is there", 20)
    assert live.api("DELETE", f"{volumes}/{found[0]}?wait=60").status_code in (200, 204)


def test_the_lines_of_schedules_and_templates_make_them(page: Page, live: LiveConsole, name: str) -> None:
    page.goto(f"{live.url}/schedules/new")
    page.fill("#id_name", name)
    page.fill("#id_cron", "30 2 * * *")
    replay(live, api_line(page))
    made = live.get(f"/compute/schedules/{name}")
    assert made["cron"] == "30 2 * * *"
    assert live.api("DELETE", f"/compute/schedules/{name}").status_code in (200, 204)
    page.goto(f"{live.url}/templates/new")
    page.fill("#id_name", name)
    replay(live, api_line(page))
    template = live.get(f"/compute/templates/{name}")
    page.goto(f"{live.url}/templates/{template['id']}")
    page.fill("#id_name", name)
    line = api_line(page)
    assert f"/compute/templates/{template['id']}/instantiate" in line
    replay(live, line)
    until(lambda: live.shown(name) is not None, "it was made of the template", 30)
    assert live.api("DELETE", f"/compute/templates/{name}").status_code in (200, 204)


def test_the_line_of_a_bulk_action_does_it(page: Page, live: LiveConsole, name: str) -> None:
    live.create(name, "docker")
    page.goto(f"{live.url}/instances?q={name}")
    page.check(f"tr[data-name='{name}'] [data-bulk-item]")
    page.click("[data-bulk-action=stop]")
    line = api_line(page, "dialog")
    page.click("dialog button:has-text('Cancel')")
    replay(live, line)
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "stopped", "it was stopped", 30)


def test_a_line_is_copied(chromium: Browser, live: LiveConsole, tmp_path: Path) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    sign_in(context, live)
    page.goto(f"{live.url}/instances/new")
    page.fill("#id_name", "copied")
    line = api_line(page)
    page.click("[data-copy-from]")
    expect(page.locator("[data-copy-from]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == line
    context_close(context)
