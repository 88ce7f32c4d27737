"""“The same by API”: the line of curl that a form shows, and running it."""

from __future__ import annotations

import subprocess

from playwright.sync_api import Page, expect

from tests.live import LiveConsole


def api_line(page: Page, within: str = "body") -> str:
    """What a form shows under “The same by API”, once it stands still."""
    text = page.locator(f"{within} [data-api-text]")
    if not text.is_visible():
        page.click(f"{within} [data-api-line] > summary, {within} details.api-line > summary")
    expect(text).to_contain_text("curl -X")
    # What is filled in is looked at a moment later; until then the line is of what stood there before.
    expect(page.locator(f"{within} [data-api-text][aria-busy=true]")).to_have_count(0)
    return text.inner_text()


def replay(live: LiveConsole, line: str, **secrets: str) -> str:
    """Run the line as it is shown, with a token, and with what it does not show; its answer."""
    assert "$LIBGO_TOKEN" in line
    done = subprocess.run(
        ["bash", "-c", line.replace("curl ", "curl -sS --fail-with-body --max-time 60 ", 1)],
        env={"PATH": "/usr/bin:/bin", "LIBGO_TOKEN": live.token(), **secrets, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout
