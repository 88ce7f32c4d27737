"""A stack from a pasted file to nothing left, in a browser."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.dockerapp.stacks.conftest import three
from tests.live import LiveConsole

_LONG_MS = 60_000


@pytest.fixture
def stack(live: LiveConsole) -> Iterator[str]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield name
    live.api("DELETE", f"/docker/stacks/{name}?volumes=true&wait=60")


def test_paste_check_deploy_scale_change_read_and_remove(
    page: Page, live: LiveConsole, run_id: str, stack: str
) -> None:
    text = three(run_id)
    page.goto(f"{live.url}/docker/stacks/new")
    page.fill("#name", stack)
    page.fill("#compose", text.replace("depends_on", "depend_on"))
    expect(page.locator("#verdict-state")).to_have_text("Not yet")
    expect(page.locator("#problems")).to_contain_text("line 5")
    page.click("#problems button:has-text('line 5')")
    chosen = page.evaluate("(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.activeElement)")
    assert "depend_on" in chosen, "a problem leads to its line"
    page.set_input_files(
        "#stack-file", {"name": "compose.yml", "mimeType": "text/yaml", "buffer": text.encode()}
    )
    expect(page.locator("#verdict-state")).to_have_text("May be deployed")
    page.fill("#env", "GREETING=hello")
    page.click("button:has-text('Deploy')")
    expect(page.locator(".log")).to_contain_text(f"Container {stack}-db-1 Healthy", timeout=_LONG_MS)
    page.click("a:has-text('Stack'):visible >> nth=-1")
    expect(page.locator("#state")).to_have_text("running", timeout=_LONG_MS)
    _scale_and_change(page, stack)
    page.click("a:has-text('Logs')")
    expect(page.locator("#log")).to_contain_text("side is up")
    page.uncheck("[data-service=side]")
    expect(page.locator("#log div:visible", has_text="side is up")).to_have_count(0)
    page.click("button:has-text('Remove') >> nth=0")
    page.check("#remove input[name=volumes]")
    page.click("#remove button.btn-danger")
    expect(page.locator("span.badge", has_text="succeeded")).to_be_visible(timeout=_LONG_MS)
    assert live.api("GET", f"/docker/stacks/{stack}").status_code == 404


def _scale_and_change(page: Page, stack: str) -> None:
    row = page.locator("[data-service=side]")
    row.locator("input[name=replicas]").fill("2")
    row.locator("button:has-text('Scale')").click()
    expect(row.locator("[data-running]")).to_have_text("2 of 2", timeout=_LONG_MS)
    page.click("a:has-text('Compose file')")
    page.fill("#compose", page.input_value("#compose").replace("GREETING: ", "HELLO: "))
    expect(page.locator(".diff .add")).to_contain_text("HELLO")
    page.click("button:has-text('Deploy the change')")
    expect(page.locator(".log")).to_contain_text(f"Container {stack}-web-1 Recreated", timeout=_LONG_MS)
    page.click("a:has-text('Stack'):visible >> nth=-1")
    expect(page.locator("#state")).to_have_text("running", timeout=_LONG_MS)


@pytest.mark.parametrize("path", ["/docker/stacks", "/docker/stacks/new"])
def test_nothing_hangs_over_on_a_narrow_screen(page: Page, live: LiveConsole, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(live.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
