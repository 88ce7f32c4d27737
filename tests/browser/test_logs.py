"""The page of a log: colours and text told apart, finding, pausing, coming back."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.attacks.catalogue import attack
from tests.live import LiveConsole

_SCRIPT = (
    "printf 'plain \\033[32mgreen\\033[0m <b>no markup</b> \\033]52;c;aGk=\\007end\\n'; "
    "sleep 0.5; echo problem >&2; n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2; done"
)


@attack("S67 S69", "markup and escapes in a log, in a browser", refused="text, with colours at most")
def test_a_log_is_text_with_colours_that_can_be_searched_paused_and_taken_up_again(
    page: Page, live: LiveConsole, name: str
) -> None:
    config = {"image": "libgo/demo:latest", "network_mode": "none", "command": ["/bin/sh", "-c", _SCRIPT]}
    made = live.create(name, "docker", config=config)
    page.goto(f"{live.url}/instances/{made['id']}/logs")
    log = page.locator("#log")
    expect(log.locator("div > span").first).to_have_text("plain green <b>no markup</b> end")
    expect(log.locator(".sgr-fg-2")).to_have_text("green")
    expect(log.locator(".stderr > span")).to_have_text("problem")
    expect(log.locator("b")).to_have_count(0)

    page.fill("#log-search", "TICK 1")
    expect(page.locator("#log-hits")).to_have_text(re.compile(r"\d+ / \d+"))
    page.fill("#log-search", "")

    page.evaluate("document.getElementById('log').style.height = '60px'; ")
    expect(log).to_contain_text("tick 12")
    page.evaluate("document.getElementById('log').scrollTop = 0")
    expect(page.locator("#log-follow")).not_to_be_checked()
    expect(page.locator("#log-more")).to_have_text(re.compile(r"\d+ new lines? ↓"))
    page.click("#log-more")
    expect(page.locator("#log-follow")).to_be_checked()
    page.check("#log-times", force=True)
    expect(log.locator("time").first).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))

    assert live.api("PUT", f"/compute/instances/{made['id']}/restart?wait=60", {"timeout": 0}).ok
    expect(log.locator(".mark-started")).to_be_visible()
    expect(log.locator(".stderr")).to_have_count(2)
    expect(log.locator("div > span", has_text=re.compile(r"^tick 2$"))).to_have_count(2)
    numbers = [int(word) for word in re.findall(r"tick (\d+)", log.inner_text())]
    again = numbers.index(1, 1)
    assert numbers[:again] == list(range(1, again + 1)) and numbers[again : again + 2] == [1, 2], numbers
