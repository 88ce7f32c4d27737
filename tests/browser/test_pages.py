"""What an operator does in a browser, in real Chromium over the real engines."""

from __future__ import annotations

import os
import re
import subprocess
import time

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import context_close, sign_in
from tests.live import PASSWORD, LiveConsole, strain, until


def test_a_wrong_password_says_so(chromium: Browser, live: LiveConsole) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{live.url}/instances")
    page.fill("#username", "admin")
    page.fill("#password", "wrong")
    page.click("button[type=submit]")
    expect(page.locator(".alert-danger")).to_contain_text("wrong")
    context_close(context)


def test_a_container_made_by_the_form_runs_stops_and_goes_without_a_reload(
    page: Page, live: LiveConsole, name: str
) -> None:
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.fill("#id_name", name)
    page.fill("#id_image", "libgo/demo:latest")
    page.click("button:has-text('Create')")
    expect(page.locator("#state")).to_have_text("running")
    page.click("button:has-text('Stop')")
    expect(page.locator("#state")).to_have_text("stopped")
    page.click("button:has-text('Delete') >> nth=0")
    page.fill("#confirm-delete", name)
    page.click(".modal.show button.btn-danger")
    page.wait_for_url(f"{live.url}/instances")
    expect(page.locator(f"tr[data-name='{name}']")).to_have_count(0)


def test_limits_are_changed_live_from_the_configuration(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "env": {"API_TOKEN": "s3cr3t"}})
    page.goto(f"{live.url}/instances/{made['id']}/configuration")
    expect(page.locator("body")).to_contain_text("API_TOKEN=********")
    page.fill("#limit-memory", "96")
    page.click("button:has-text('Change')")
    until(
        lambda: live.get(f"/compute/instances/{name}")["resources"]["memory"]["limit"] == 96 * 1024**2,
        "the new limit is in force",
        10,
    )
    assert "s3cr3t" not in page.content()


def test_a_field_error_stands_beside_its_field_and_the_input_stays(page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.fill("#id_name", "kept-name")
    page.fill("#id_image", "NOT AN IMAGE")
    page.click("button:has-text('Create')")
    expect(page.locator("[data-field=image]")).to_contain_text("not an image name")
    expect(page.locator("#id_name")).to_have_value("kept-name")


def test_an_outside_change_is_on_the_open_page_within_a_second(page: Page, live: LiveConsole) -> None:
    name = f"libgo-t-b{os.getpid()}"
    page.goto(f"{live.url}/instances")
    expect(page.locator("#link-text")).to_have_text("live")
    row = page.locator(f"tr[data-name='{name}']")
    command = ["docker", "run", "-d", "--name", name, "--network", "none", "--label", "libgo.test=browser"]
    subprocess.run([*command, "libgo/demo:latest"], check=True, capture_output=True)
    began = time.monotonic()
    try:
        expect(row).to_be_visible(timeout=2000 * strain())
        came = time.monotonic() - began
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)
    began = time.monotonic()
    expect(row).to_have_count(0, timeout=2000 * strain())
    print(f"appeared after {came:.2f} s, vanished after {time.monotonic() - began:.2f} s")


def test_a_shell_in_a_container_and_its_log(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker")
    page.goto(f"{live.url}/instances/{made['id']}/terminal")
    expect(page.locator("#terminal-state")).to_have_text("Connected")
    page.keyboard.type("echo sum-$((40+2))\n")
    until(lambda: "sum-42" in _screen(page), "the shell answers", 10)
    page.goto(f"{live.url}/instances/{made['id']}/logs")
    expect(page.locator("#log")).to_contain_text("LIBGO CONTAINER UP")
    until(lambda: _shells(name) == 0, "the shell ends with its page", 10)


def test_the_serial_console_of_a_guest(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "kvm")
    page.goto(f"{live.url}/instances/{made['id']}/terminal")
    until(lambda: "LIBGO GUEST UP" in _screen(page), "the guest is up", 60)
    page.keyboard.type("\necho sum-$((40+2))\n")
    until(lambda: "sum-42" in _screen(page), "the guest answers", 15)
    page.goto(f"{live.url}/instances/{made['id']}")
    expect(page.locator("#now")).to_contain_text("MiB")


def test_a_viewer_sees_everything_and_no_button(chromium: Browser, live: LiveConsole, name: str) -> None:
    live.api("POST", "/users", {"username": "vera", "password": PASSWORD, "role": "viewer"})
    made = live.create(name, "docker")
    context = chromium.new_context()
    page = context.new_page()
    sign_in(page.context, live, "vera")
    page.goto(f"{live.url}/instances/{made['id']}")
    expect(page.locator("#state")).to_have_text("running")
    assert page.locator("button[hx-post]").count() == 0
    assert page.locator("a:has-text('Shell')").count() == 0
    for path in (f"/instances/{made['id']}/do/stop", f"/instances/{made['id']}/delete"):
        status = page.evaluate(
            """path => {
                const headers = JSON.parse(document.body.getAttribute("hx-headers"));
                return fetch(path, {method: "POST", headers}).then(answer => answer.status); }""",
            path,
        )
        assert status == 403
    context_close(context)
    assert live.get(f"/compute/instances/{name}")["state"] == "running"


def test_the_api_documentation_is_browsable(page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/api/docs")
    expect(page.locator(".opblock").first).to_be_visible()


def test_the_admin_lists_every_model(page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/admin/")
    links = [a.get_attribute("href") for a in page.query_selector_all("#content-main th a")]
    assert len(links) >= 11
    for link in links:
        answer = page.goto(f"{live.url}{link}")
        assert answer is not None and answer.status == 200, link


def _screen(page: Page) -> str:
    return str(
        page.evaluate(
            """() => { const b = window.libgo.terminal.buffer.active; const lines = [];
            for (let i = 0; i < b.length; i++) lines.push(b.getLine(i).translateToString(true));
            return lines.join("\\n"); }"""
        )
    )


def _shells(name: str) -> int:
    done = subprocess.run(
        ["docker", "top", name, "-o", "pid,args"], capture_output=True, text=True, check=True
    )
    return sum(1 for line in done.stdout.splitlines()[1:] if line.split()[-1] in ("sh", "bash"))


def test_times_are_in_the_readers_zone_and_go_on_counting(chromium: Browser, live: LiveConsole) -> None:
    context = chromium.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.clock.install()
    sign_in(page.context, live)
    page.goto(f"{live.url}/nodes")
    seen = page.locator("time[data-ago]").first
    expect(seen).to_have_attribute("title", re.compile(r"GMT\+9"))
    page.clock.fast_forward("03:10")
    expect(seen).to_have_text("3 minutes ago")
    context_close(context)


def test_the_palette_goes_anywhere_and_does_things_by_the_keyboard(
    page: Page, live: LiveConsole, name: str
) -> None:
    live.create(name, "docker")
    page.goto(live.url)
    keys = page.keyboard
    keys.press("Control+k")
    expect(page.locator(".palette input")).to_be_focused()
    keys.type("opera")
    expect(page.locator(".palette-choice[aria-selected=true]")).to_contain_text("Operations")
    keys.press("Enter")
    page.wait_for_url(f"{live.url}/operations")
    keys.press("Control+k")
    keys.type(f"stop {name}")
    expect(page.locator(".palette-choice[aria-selected=true]")).to_contain_text(name)
    keys.press("Enter")
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "stopped", "it was stopped", 20)
    keys.press("Control+k")
    keys.press("Escape")
    expect(page.locator(".palette")).to_be_hidden()


def test_the_drawer_of_tasks_moves_by_itself_and_stays_open_from_page_to_page(
    page: Page, live: LiveConsole, name: str
) -> None:
    page.goto(f"{live.url}/nodes")
    page.click("#drawer-toggle")
    live.create(name, "docker")
    expect(page.locator("#drawer-line")).to_contain_text(f"create {name}: succeeded")
    task = page.locator(".drawer-list button", has_text=f"create {name}")
    expect(task).to_contain_text("succeeded")
    task.click()
    expect(page.locator(".drawer-log")).to_contain_text(f"Create {name}")
    expect(page.locator(".drawer-lines")).not_to_contain_text("No lines yet")
    page.goto(f"{live.url}/instances")
    expect(page.locator(".drawer-log")).to_be_visible()
    page.click("#drawer-toggle")
    expect(page.locator("#drawer-body")).to_be_hidden()


def test_what_happens_while_a_piece_is_on_its_way_shows_too(page: Page, live: LiveConsole, name: str) -> None:
    """An answer that was asked for before a fact arrives after it: the piece is asked for once more."""
    live.create(name, "docker")
    page.goto(f"{live.url}/nodes")
    page.click("#drawer-toggle")
    first = page.locator(".drawer-list button").first
    expect(first).to_contain_text(f"create {name}")
    held: list[Route] = []
    page.route("**/tasks?open=*", lambda route: route.continue_() if held else held.append(route))
    live.api("POST", f"/compute/instances/{name}/stop?wait=60", {})
    page.wait_for_timeout(1000)
    old = held[0].fetch()
    live.api("POST", f"/compute/instances/{name}/start?wait=60", {})
    page.wait_for_timeout(1000)
    held[0].fulfill(response=old)
    expect(first).to_contain_text(f"start {name}")
    expect(first).to_contain_text("succeeded")


def test_a_list_is_walked_ticked_and_opened_by_keys_alone(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker")
    page.goto(f"{live.url}/instances")
    keys = page.keyboard
    keys.press("/")
    keys.type(name)
    rows = page.locator("#instances tbody tr")
    expect(rows).to_have_count(1)
    # Out of the field: letters are keys again.
    page.locator("#q").blur()
    keys.press("j")
    expect(rows.locator("a.fw-bold")).to_be_focused()
    keys.press("x")
    expect(rows.locator("input[type=checkbox]")).to_be_checked()
    live.api("PUT", f"/compute/instances/{name}/stop?wait=60")
    expect(rows).to_contain_text("stopped")
    expect(rows.locator("a.fw-bold")).to_be_focused()
    keys.press("?")
    expect(page.locator(".keys-help")).to_contain_text("Ctrl K")
    keys.press("Escape")
    keys.press("Enter")
    page.wait_for_url(f"{live.url}/instances/{made['id']}")
