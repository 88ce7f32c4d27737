"""An instance's page, what cannot be taken back, a lost connection, notifications, high contrast."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close, sign_in
from tests.browser.test_accessibility import violations
from tests.chromium import chromium_launch
from tests.live import LiveConsole, until

DEMO = "libgo/demo:latest"
# 7 to 1, WCAG's AAA.
_ENHANCED = {"type": "rule", "values": ["color-contrast-enhanced"]}


@contextlib.contextmanager
def _quiet(browser: Browser, live: LiveConsole) -> Iterator[Page]:
    """Logged in, on a narrow screen, in a browser that may complain: of a server that was killed, for one."""
    context = browser.new_context(
        viewport={"width": 360, "height": 780}, permissions=["notifications", "clipboard-read"]
    )
    opened = context.new_page()
    sign_in(context, live)
    yield opened
    context_close(context)


@pytest.fixture
def quiet(chromium: Browser, live: LiveConsole) -> Iterator[Page]:
    with _quiet(chromium, live) as page:
        yield page


@pytest.fixture
def whole(chromium: Browser, live: LiveConsole) -> Iterator[Page]:
    """The same in the whole Chromium: the one without windows blocks notifications, though granted."""
    with contextlib.closing(chromium_launch(chromium.browser_type, whole=True)) as browser:
        with _quiet(browser, live) as page:
            yield page


def test_what_ended_badly_says_so_and_leads_to_its_log(page: Page, live: LiveConsole, name: str) -> None:
    config = {"image": DEMO, "command": ["sh", "-c", "echo no such table >&2; exit 3"]}
    made = live.create(name, "docker", config=config)
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "stopped", "it ended", 20)
    page.goto(f"{live.url}/instances/{made['id']}")
    expect(page.locator("#head")).to_contain_text("ended with code 3")
    page.click("#advice")
    expect(page.locator("#log")).to_contain_text("no such table")


def test_lines_of_a_log_have_the_colour_of_their_level(page: Page, live: LiveConsole, name: str) -> None:
    lines = [
        "2026-01-01 ERROR no such table",
        '{"level":"warn","msg":"slow"}',
        "INFO retrying after an error",
        "DEBUG cache miss",
        "\\033[32mERROR in green\\033[0m",
    ]
    script = "; ".join(f"printf '{line}\\n'" for line in lines)
    made = live.create(
        name, "docker", config={"image": DEMO, "command": ["sh", "-c", f"{script}; sleep 300"]}
    )
    page.goto(f"{live.url}/instances/{made['id']}/logs")
    expect(page.locator("#log > div")).to_have_count(5)
    levels = page.locator("#log > div").evaluate_all("rows => rows.map(row => row.className)")
    assert levels == ["level-error", "level-warn", "", "level-debug", ""]


def test_what_is_off_is_started_by_the_first_button_and_what_was_done_says_by_whom(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config={"image": DEMO}, auto_start=False)
    page.goto(f"{live.url}/instances/{made['id']}")
    page.click("#advice:has-text('Start it')")
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#advice")).to_have_count(0)
    done = page.locator("a.list-group-item", has_text="start").first
    expect(done).to_contain_text("by admin")


def test_an_address_is_copied_by_a_click(quiet: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker")
    quiet.goto(f"{live.url}/instances/{made['id']}")
    address = quiet.locator("button.copy").first
    shown = address.inner_text()
    address.click()
    expect(address).to_have_text("Copied")
    assert quiet.evaluate("navigator.clipboard.readText()") == shown
    expect(address).to_have_text(shown)


def test_a_delete_says_what_is_lost_and_asks_for_the_name(page: Page, live: LiveConsole, name: str) -> None:
    volume = f"{name}-data"
    config = {"image": DEMO, "volumes": [f"{volume}:/data"]}
    made = live.create(name, "docker", config=config)
    page.goto(f"{live.url}/instances/{made['id']}")
    page.click("button:has-text('Delete') >> nth=0")
    box = page.locator("#delete-box")
    expect(box).to_contain_text(f"The volume {volume} (at /data)")
    button = box.locator("button.btn-danger")
    page.fill("#confirm-delete", "something else")
    expect(button).to_be_disabled()
    refused = page.evaluate(
        """async path => (await fetch(path, {method: "POST", headers: {
            ...JSON.parse(document.body.getAttribute("hx-headers")), "HX-Request": "true"}}))
            .headers.get("HX-Trigger")""",
        f"/instances/{made['id']}/delete",
    )
    assert "to confirm; nothing was done" in refused
    assert live.get(f"/compute/instances/{name}")["state"] == "running"
    page.fill("#confirm-delete", name)
    button.click()
    until(lambda: live.shown(name) is None, "it is deleted", 20)
    assert volume in {row["name"] for row in live.get("/docker/volumes?page_size=500")["items"]}
    assert live.api("DELETE", f"/docker/volumes/{volume}?wait=60").status_code in (200, 204)


def test_a_delete_of_a_machine_names_its_disk_and_its_snapshots(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "kvm", auto_start=False)
    taken = live.api("POST", f"/compute/instances/{name}/snapshots?wait=60", {"name": "before"})
    assert taken.status_code == 201, taken.text
    page.goto(f"{live.url}/instances/{made['id']}")
    page.click("button:has-text('Delete') >> nth=0")
    box = page.locator("#delete-box")
    expect(box).to_contain_text("The disk vda")
    expect(box).to_contain_text("1 snapshot: before")
    expect(box).to_contain_text("Keep its disk")


def test_what_could_not_be_made_leads_to_why(page: Page, live: LiveConsole, name: str) -> None:
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.fill("#id_name", name)
    page.fill("#id_image", "127.0.0.1:1/none:latest")
    page.click("#create button[type=submit]")
    page.wait_for_url(f"{live.url}/operations/*")
    expect(page.locator(".alert-danger")).to_be_visible()


def test_a_lost_connection_is_said_and_what_was_missed_is_caught_up(
    quiet: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker")
    quiet.goto(f"{live.url}/instances/{made['id']}")
    expect(quiet.locator("#link")).to_have_attribute("title", "live")
    expect(quiet.locator("#state")).to_have_text("running")
    # The console would be back before anybody is told.
    quiet.context.set_offline(True)
    live.kill("web")
    expect(quiet.locator("#lost")).to_be_visible()
    subprocess.run(["docker", "stop", "-t", "0", name], check=True, capture_output=True)
    quiet.context.set_offline(False)
    expect(quiet.locator("#lost")).to_be_hidden()
    expect(quiet.locator(".toast")).to_contain_text("Connected again")
    expect(quiet.locator("#state")).to_have_text("stopped")


def test_the_browser_tells_of_what_one_started_when_it_is_wanted(
    whole: Page, live: LiveConsole, name: str
) -> None:
    # Chromium without a desktop shows none: what is asked of it is noted, by a page that nobody looks at.
    whole.add_init_script(
        """window.told = []; const Real = window.Notification;
        window.Notification = class extends Real {
            constructor(title, options) { super(title, options); window.told.push(title); } };
        Object.defineProperty(document, "hidden", {get: () => true});"""
    )
    whole.goto(f"{live.url}/nodes")
    expect(whole.locator("#link")).to_have_attribute("title", "live")
    button = whole.locator("#notify")
    expect(button).to_have_text("Notify me")
    live.create(name, "docker")
    expect(whole.locator("#drawer-line")).to_contain_text(f"create {name}: succeeded")
    assert whole.evaluate("window.told") == [], "nobody wanted it"
    button.click()
    expect(button).to_have_text("Notifications on")
    live.api("PUT", f"/compute/instances/{name}/stop?wait=60")
    expect(whole.locator("#drawer-line")).to_contain_text(f"stop {name}: succeeded")
    until(lambda: whole.evaluate("window.told") == [f"LibGo: stop {name} succeeded"], "it was told", 5)


def test_high_contrast_stays_and_every_word_is_seven_to_one(
    quiet: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker")
    quiet.goto(f"{live.url}/")
    quiet.click("#theme")
    quiet.click("[data-theme=contrast]")
    for path in ("/", f"/instances/{made['id']}", "/instances/new", "/operations"):
        quiet.goto(f"{live.url}{path}")
        assert quiet.locator("html[data-contrast]").count() == 1
        wide = quiet.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px wider than a window of 360"
        poor = violations(quiet, _ENHANCED)
        assert poor == [], f"{path}: {poor[:5]}"
