"""What one reads: on paper, times to the second, logs, lists with nothing in them yet."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close, log_in, sign_in
from tests.browser.test_accessibility import menu_paths
from tests.live import PASSWORD, LiveConsole

_ZONE = "Asia/Kolkata"
_SAYS = "echo INFO all is well; echo WARN slow query; echo x$(printf '%0300d' 7); sleep 600"


def test_on_paper_stands_what_is_shown_in_dark_on_white_without_buttons(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    page.add_init_script("localStorage.setItem('theme', 'dark')")
    for path in ("/", "/instances", f"/instances/{made['id']}", f"/instances/{made['id']}/logs", "/audit"):
        page.goto(f"{live.url}{path}")
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("header.navbar, #drawer").first).to_be_hidden()
        pressed = page.locator(
            "button:visible, .btn:visible, input:visible, select:visible, .nav-tabs:visible"
        )
        assert pressed.evaluate_all("found => found.map(each => each.outerHTML.slice(0, 90))") == [], path
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.emulate_media(media="screen")
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_a_time_is_told_to_the_second_in_the_readers_zone_when_one_points_at_it(
    chromium: Browser, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    began = datetime.fromisoformat(made["created_at"]).astimezone(ZoneInfo(_ZONE))
    context = chromium.new_context(timezone_id=_ZONE, locale="en-GB", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    log_in(page, live)
    page.goto(f"{live.url}/instances?q={name}")
    shown = page.locator(f"tr[data-name='{name}'] .col-created time")
    expect(shown).to_have_text(re.compile("just now|seconds ago|minute"))
    shown.hover()
    said = str(shown.get_attribute("title"))
    context_close(context)
    # The language is English, whatever country's: as Intl writes it.
    day, second = f"{began:%A, %B} {began.day}, {began.year}", f"{began.hour % 12 or 12}:{began:%M:%S}"
    assert day in said and second in said and "GMT+5:30" in said, said


def test_a_log_is_wrapped_or_not_and_is_taken_along_whole(
    page: Page, live: LiveConsole, name: str, tmp_path: Path
) -> None:
    config = {"image": "libgo/demo:latest", "network_mode": "none", "command": ["/bin/sh", "-c", _SAYS]}
    made = live.create(name, "docker", config=config)
    page.goto(f"{live.url}/instances/{made['id']}/logs")
    log = page.locator("#log")
    expect(log).to_contain_text("x0000", timeout=10_000)

    overflows = "document.getElementById('log').scrollWidth > document.getElementById('log').clientWidth"
    assert not page.evaluate(overflows)
    page.uncheck("#log-wrap", force=True)
    assert page.evaluate(overflows), "a long line goes on to the right"
    page.check("#log-wrap", force=True)
    assert not page.evaluate(overflows)

    page.fill("#log-search", "nowhere")
    expect(page.locator("#log-hits")).to_have_text("none")
    with page.expect_download() as taken:
        page.click("#log-download")
    file = tmp_path / "log"
    taken.value.save_as(file)
    lines = file.read_text().splitlines()
    assert len(lines) == 3 and re.match(r"\d{4}-\d\d-\d\dT\S+ INFO all is well$", lines[0]), lines
    assert lines[2].endswith("x" + "7".zfill(300))


def test_a_list_with_nothing_in_it_says_what_belongs_there_and_how_it_comes(
    chromium: Browser, live: LiveConsole, name: str
) -> None:
    """To somebody who may make things in a project that has none."""
    user = f"u-{name}"
    account = live.api("POST", "/users", {"username": user, "password": PASSWORD})
    project = live.api("POST", "/projects", {"name": f"p-{name}"})
    assert account.status_code == project.status_code == 201, account.text + project.text
    path = f"/projects/{project.json()['id']}"
    for row in live.get("/projects")["items"]:
        if row["is_default"]:
            live.api("DELETE", f"/projects/{row['id']}/members/{user}")
    joined = live.api("POST", f"{path}/members", {"user": user, "role": "operator"})
    assert joined.status_code in (200, 201), joined.text
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    sign_in(context, live, user)
    page.goto(f"{live.url}/")
    taught, silent = set(), []
    for each in menu_paths(page):
        page.goto(f"{live.url}{each}")
        if page.locator("main tbody tr:visible, main .card-body:visible, main .map-view:visible").count():
            continue
        told = page.locator("main .empty")
        texts = told.locator(".empty-title, .empty-subtitle").all_inner_texts()
        if told.count() == 1 and len(texts) == 2 and all(len(text) > 8 for text in texts):
            taught.add(each)
        else:
            silent.append(f"{each}: {texts}")
    context_close(context)
    live.api("DELETE", f"/users/{account.json()['id']}")
    live.api("DELETE", path)
    assert silent == []
    assert len(taught) >= 5, taught
