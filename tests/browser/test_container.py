"""What an operator does with a container beyond starting and stopping it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.live import LiveConsole, until

DEMO = "libgo/demo:latest"


@pytest.fixture
def pair(live: LiveConsole) -> Iterator[list[str]]:
    names = [f"libgo-t-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        live.create(name, "docker", config={"image": DEMO, "network_mode": "none"})
    yield names
    for name in names:
        if live.shown(name):
            live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


def test_settings_are_changed_after_a_look_at_what_will_change(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(
        name,
        "docker",
        config={"image": DEMO, "network_mode": "none", "env": {"API_TOKEN": "s3cr3t", "A": "1"}},
    )
    page.goto(f"{live.url}/instances/{made['id']}/configuration")
    page.click("a:has-text('Edit and recreate')")
    expect(page.locator("#id_env")).to_have_value("API_TOKEN=********\nA=1\nPATH=/bin")
    page.fill("#id_env", "API_TOKEN=********\nA=2\nPATH=/bin")
    page.fill("#id_user", "nobody")
    page.click("button:has-text('Show what will change')")
    expect(page.locator("#diff")).to_contain_text("A=2")
    expect(page.locator("#diff")).to_contain_text("nobody")
    page.fill("#confirm-recreate", name)
    page.click("button:has-text('Recreate it')")
    until(lambda: live.get(f"/compute/instances/{name}")["engine_id"] != made["engine_id"], "a new one", 30)
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "it runs", 15)
    shown = subprocess.run(
        ["docker", "exec", name, "sh", "-c", "echo $API_TOKEN $A; id -un"], capture_output=True
    )
    assert shown.stdout.decode().split() == ["s3cr3t", "2", "nobody"], "what was masked stayed as it was"
    assert "s3cr3t" not in page.content()


def test_processes_and_changed_files_are_shown_and_kept_as_an_image(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config={"image": DEMO, "network_mode": "none"})
    subprocess.run(["docker", "exec", name, "touch", "/tmp/left-behind"], check=True)
    page.goto(f"{live.url}/docker/instances/{made['id']}/processes")
    expect(page.locator("table")).to_contain_text("sleep 3600")
    page.click("a.nav-link:has-text('Changes')")
    expect(page.locator("table")).to_contain_text("/tmp/left-behind")
    image = f"default/{name}:kept"
    page.fill("#commit-reference", image)
    page.click("button:has-text('Make the image')")
    try:
        until(lambda: live.get(f"/docker/images?q={name}")["total"] == 1, "the image is listed", 20)
    finally:
        subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)


def test_many_are_stopped_at_once_with_a_result_for_each(
    page: Page, live: LiveConsole, pair: list[str]
) -> None:
    page.goto(f"{live.url}/instances?q=libgo-t-")
    for name in pair:
        page.check(f"tr[data-name='{name}'] [data-bulk-item]")
    bar = page.locator("[data-bulk-bar=instances]")
    expect(bar).to_contain_text("2 selected")
    bar.locator("button:has-text('Stop')").click()
    dialog = page.locator("dialog.bulk-dialog")
    expect(dialog).to_contain_text(pair[0])
    dialog.locator("button.btn-primary:has-text('Stop')").click()
    for name in pair:
        expect(dialog.locator(f".list-group-item:has-text('{name}')")).to_contain_text("done")
    dialog.locator("a:has-text('Open the operation')").click()
    expect(page.locator("#children")).to_contain_text(pair[1])
    expect(page.locator("body")).to_contain_text("2 of 2 done")
    page.goto(f"{live.url}/instances?q=libgo-t-")
    for name in pair:
        expect(page.locator(f"tr[data-name='{name}']")).to_contain_text("stopped")


def test_an_instance_is_renamed_where_it_stands(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker", config={"image": DEMO, "network_mode": "none"})
    page.goto(f"{live.url}/instances/{made['id']}/configuration")
    page.fill("#rename", f"{name}-b")
    page.click("button:has-text('Rename')")
    until(lambda: live.get(f"/compute/instances/{made['id']}")["name"] == f"{name}-b", "the new name", 15)
    live.api("DELETE", f"/compute/instances/{made['id']}?force=true&wait=60")
