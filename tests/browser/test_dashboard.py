"""The first page in Chromium: light, alive, and only of this host."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.templatetags.static import static
from playwright.sync_api import Browser, Page, Response, expect

from tests.attacks.catalogue import attack
from tests.browser.conftest import context_close, log_in
from tests.live import LiveConsole, strain

_LIGHT_BYTES = 300 * 1000
_PAGE_KINDS = ("text/html", "text/css", "text/javascript", "application/javascript")
_ASKED = """
() => [...document.querySelectorAll("script[src], link[href]")]
  .map((each) => new URL(each.src || each.href).pathname)
"""
# What each file cost on its way; 0 is one that the browser had.
_WEIGHTS = """
() => Object.fromEntries(performance.getEntriesByType("resource")
  .map((each) => [new URL(each.name).pathname, each.transferSize]))
"""


@attack("S90", "requests of a page to other hosts", refused="none")
def test_the_first_page_is_light_and_asks_no_other_host(
    chromium: Browser, live: LiveConsole, name: str
) -> None:
    live.create(name, "docker")
    context = chromium.new_context()
    page = context.new_page()
    log_in(page, live)
    # As for the first time: nothing is in the cache.
    session = context.new_cdp_session(page)
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    answers: list[Response] = []

    def heard(answer: Response) -> None:
        answers.append(answer)

    page.on("response", heard)
    page.goto(f"{live.url}/")
    expect(page.locator("[data-usage]")).to_have_attribute("data-points", re.compile(r"36\d"))
    page.wait_for_load_state("networkidle")
    hosts = {urlsplit(answer.url).netloc for answer in answers}
    assert hosts == {urlsplit(live.url).netloc}
    sizes: dict[str, int] = {}
    packed = set()
    for answer in answers:
        kind, path = answer.headers.get("content-type", "").partition(";")[0], urlsplit(answer.url).path
        if kind in _PAGE_KINDS:
            # Chromium's own figures are wrong for what it unpacks.
            sizes[path] = int(answer.headers.get("content-length") or len(answer.body()))
        if answer.headers.get("content-encoding") == "gzip":
            packed.add(path)
    asked = {path for path in page.evaluate(_ASKED) if "/img/" not in path}
    context_close(context)
    print(f"{sum(sizes.values()) / 1000:.0f} KB: {sizes}")
    assert {"/", "/words.js", static("js/live.js"), static("css/libgo.css")} <= sizes.keys()
    # Whatever the page names was counted, and what is larger than a packet came compressed.
    assert asked <= sizes.keys()
    assert {path for path, size in sizes.items() if path in asked and size > 1500} <= packed
    assert 100_000 < sum(sizes.values()) < _LIGHT_BYTES


def test_a_second_visit_asks_for_no_file_again(page: Page, live: LiveConsole) -> None:
    """Scripts and styles are kept for good under the address of their edition: none is asked for again."""
    page.goto(f"{live.url}/instances")
    page.wait_for_load_state("networkidle")
    sent = page.evaluate("performance.getEntriesByType('resource').map(each => new URL(each.name).pathname)")
    assert static("js/table.js") in sent
    page.goto(f"{live.url}/instances")
    page.wait_for_load_state("networkidle")
    weights = page.evaluate(_WEIGHTS)
    assert weights[static("js/table.js")] == 0 and weights[static("vendor/tabler/css/tabler.min.css")] == 0
    assert {path: size for path, size in weights.items() if size and "/static/" in path} == {}


def test_what_fails_and_what_works_shows_by_itself(page: Page, live: LiveConsole, name: str) -> None:
    page.goto(f"{live.url}/")
    expect(page.locator("#link-text")).to_have_text("live")
    live.create(name, "docker", config={"image": "libgo/demo:latest", "command": ["sh", "-c", "sleep 999"]})
    expect(page.locator("#dashboard")).to_contain_text(name, timeout=3000 * strain())
    live.api("POST", "/docker/images/pull?wait=60", {"image": "127.0.0.1:1/none:latest"})
    trouble = page.locator("#dash-troubles a", has_text="127.0.0.1:1/none")
    expect(trouble).to_be_visible()
    trouble.click()
    expect(page.locator(".alert-danger")).to_be_visible()


def test_the_busiest_is_shown_with_what_it_uses(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(
        name,
        "docker",
        config={"image": "libgo/demo:latest", "command": ["sh", "-c", "while :; do :; done"]},
        resources={"cpu": {"cores": 0.3}},
    )
    page.goto(f"{live.url}/")
    row = page.locator(f"#dash-busy-{made['id']}")
    expect(row).to_contain_text("%", timeout=40000)
    expect(row.locator("svg polyline").first).to_be_attached()
