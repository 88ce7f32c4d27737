"""Backups as a person makes them: a place for them, one of a container with a volume, checked, brought back
as another container with the same bytes, and a schedule that keeps only the newest."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.shots import pictured
from tests.live import LiveConsole, until

# What is brought back is not filled anew.
_FILL = (
    "[ -e /data/big ] || dd if=/dev/urandom of=/data/big bs=1k count=600; echo LIBGO FILLED; exec sleep 3600"
)
_SLOW_MS = 60_000


def _sum(live: LiveConsole, name: str) -> str:
    body = {"command": ["md5sum", "/data/big"]}
    answer = live.api("POST", f"/compute/instances/{name}/exec", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["stdout"]).split()[0]


@pytest.fixture
def stored(live: LiveConsole, name: str) -> Iterator[str]:
    """A container with a volume full of bytes; what the test makes beside it goes with it."""
    volume = f"{name}-data"
    config = {
        "image": "libgo/demo:latest",
        "network_mode": "none",
        "command": ["/bin/sh", "-c", _FILL],
        "volumes": [f"{volume}:/data"],
    }
    live.create(name, "docker", config=config)
    until(lambda: "FILLED" in live.get(f"/compute/instances/{name}/logs")["text"], "the volume is filled", 30)
    yield name
    for each in (f"{name}-2", name):
        live.api("DELETE", f"/compute/instances/{each}?force=true&wait=60")
    found = subprocess.run(
        ["docker", "volume", "ls", "-q", "--filter", f"name={volume}"],
        capture_output=True,
        text=True,
        check=True,
    )
    for each in found.stdout.split():
        live.api("DELETE", f"/docker/volumes/{each}?force=true&wait=60")


def test_from_a_target_to_a_container_brought_back(page: Page, live: LiveConsole, stored: str) -> None:
    target, name = f"disk-{uuid.uuid4().hex[:6]}", stored
    instance = live.get(f"/compute/instances/{name}")["id"]
    dialog = page.locator("#dialog-box")

    _target_made(page, live, target)
    page.goto(f"{live.url}/instances/{instance}/backups")
    expect(page.locator("#backups")).to_contain_text("No backups")
    page.click("a:has-text('Back up')")
    dialog.locator("#backup-target").select_option(target)
    dialog.locator("#backup-description").fill("before the upgrade")
    page.wait_for_timeout(400)
    pictured(page, "backup-new")
    dialog.locator("button:has-text('Back up')").click()
    made = page.locator(f"#backups tr[data-name='{name}']")
    expect(made).to_contain_text("ready", timeout=_SLOW_MS)
    expect(made).to_contain_text("before the upgrade")
    made.locator("a").first.click()

    detail = page.locator("#backup")
    expect(detail).to_contain_text("not yet")
    detail.locator("button:has-text('Verify')").click()
    expect(detail.locator(".datagrid-item:has-text('Verified')")).not_to_contain_text(
        "not yet", timeout=_SLOW_MS
    )
    expect(detail).to_contain_text("What is in it")
    pictured(page, "backup-one")
    detail.locator("a:has-text('Restore')").click()
    dialog.locator("button:has-text('Restore')").click()
    expect(dialog.locator(".alert-danger")).to_contain_text("already an instance")
    dialog.locator("#restore-name").fill(f"{name}-2")
    page.wait_for_timeout(400)
    pictured(page, "backup-restore")
    dialog.locator("button:has-text('Restore')").click()
    until(lambda: (live.shown(f"{name}-2") or {}).get("state") == "running", "it is back", 60)
    assert _sum(live, f"{name}-2") == _sum(live, name)

    _kept_by_schedule(page, live, name, target)
    page.goto(f"{live.url}/backups?target={target}")
    pictured(page, "backups-of-a-target")
    for each in live.get(f"/backups?target={target}")["items"]:
        assert live.api("DELETE", f"/backups/{each['id']}?wait=60").status_code in (200, 204)
    page.goto(f"{live.url}/backups/targets")
    row = page.locator(f"#backup-targets tr[data-name='{target}']")
    row.locator("a:has-text('Remove')").click()
    dialog.locator("button:has-text('Remove')").click()
    expect(row).to_have_count(0)


def _kept_by_schedule(page: Page, live: LiveConsole, name: str, target: str) -> None:
    """Two runs of a schedule that keeps one; the backup made by hand is none of its business."""
    by_hand = {each["id"] for each in live.get(f"/backups?target={target}")["items"]}
    page.goto(f"{live.url}/schedules/new")
    page.fill("#id_name", f"keep {name}")
    page.fill("#id_cron", "30 2 * * *")
    page.select_option("#id_action", "backup")
    page.fill("#id_q", name)
    page.click("button:has-text('Make it')")
    expect(page.locator("#id_backup_target")).to_have_attribute("aria-invalid", "true")
    page.select_option("#id_backup_target", target)
    page.select_option("#id_instances", live.get(f"/compute/instances/{name}")["id"])
    page.click("summary:has-text('Further settings')")
    page.fill("#id_keep_last", "1")
    pictured(page, "schedule-of-backups")
    page.click("button:has-text('Make it')")
    expect(page.locator("h1.page-title")).to_have_text(f"keep {name}")
    for count in (1, 2):
        page.click("button:has-text('Run now')")
        done = page.locator("table .badge:has-text('succeeded')")
        expect(done).to_have_count(count, timeout=_SLOW_MS)

    def by_schedule() -> set[str]:
        return {each["id"] for each in live.get(f"/backups?target={target}")["items"]} - by_hand

    until(lambda: len(by_schedule()) == 1, "only the newest of the schedule is left", 60)
    assert by_hand <= {each["id"] for each in live.get(f"/backups?target={target}")["items"]}
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Delete')")
    expect(page.locator("h1.page-title")).to_have_text("Schedules")


def _target_made(page: Page, live: LiveConsole, target: str) -> None:
    """A folder; one that the site does not open is refused with the reason."""
    dialog = page.locator("#dialog-box")
    page.goto(f"{live.url}/backups/targets")
    page.click("a:has-text('Add a target')")
    dialog.locator("#target-name").fill(target)
    dialog.locator("#target-folder").fill(str(live.var / "elsewhere"))
    dialog.locator("button:has-text('Add')").click()
    expect(dialog.locator(".alert-danger")).to_contain_text("localRoots")
    dialog.locator("#target-folder").fill(str(live.var / "backups" / target))
    dialog.locator("button:has-text('Add')").click()
    row = page.locator(f"#backup-targets tr[data-name='{target}']")
    expect(row).to_contain_text("none")
    row.locator("button:has-text('Test')").click()
    expect(row).to_contain_text("worked")
    pictured(page, "backup-targets-one")
