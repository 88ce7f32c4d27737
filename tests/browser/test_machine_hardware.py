"""The hardware of a machine and its definition, changed in the pages as a person changes them."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.live import LiveConsole, until


def test_hardware_is_added_changed_and_taken_out_in_the_pages(
    page: Page, live: LiveConsole, name: str
) -> None:
    page.on("dialog", lambda asked: asked.accept())
    _made(page, live, name)
    _devices(page, live, name)
    _definition(page)


def _made(page: Page, live: LiveConsole, name: str) -> None:
    page.goto(f"{live.url}/instances/new?backend=kvm")
    page.fill("[name=name]", name)
    page.fill("[name=image]", "libgo-demo")
    page.click("summary:has-text('System and network')")
    page.fill("[name=network]", "none")
    page.uncheck("[name=auto_start]")
    page.click("summary:has-text('Hardware')")
    page.check("[name=secure_boot]")
    page.click("form button[type=submit]:has-text('Create')")
    expect(page.locator("[data-field=secure_boot]")).to_contain_text("needs the firmware")
    page.uncheck("[name=secure_boot]")
    page.click("summary:has-text('Disks')")
    page.fill("[name=disks]", "0.01")
    page.click("summary:has-text('About it')")
    page.fill("[name=description]", "<i>mine</i>")
    page.click("form button[type=submit]:has-text('Create')")
    expect(page.locator("#state")).to_have_text("stopped")


def _is_busy(live: LiveConsole, name: str) -> bool:
    return bool(live.get(f"/compute/instances/name/{name}")["active_operation"])


def _devices(page: Page, live: LiveConsole, name: str) -> None:
    page.click("text=Hardware")
    expect(page.locator("text=<i>mine</i>")).to_be_visible()
    expect(page.locator("[data-device=vdb]")).to_be_visible()
    page.click("text=Add a disk")
    page.click("#dialog button[type=submit]")
    expect(page.locator("#dialog [data-field=size_gib]")).to_be_visible()
    page.fill("#dialog [name=size_gib]", "0.02")
    page.click("#dialog button[type=submit]")
    disk = page.locator("[data-device=vdc]")
    expect(disk).to_be_visible()
    expect(page.locator("#dialog")).to_be_hidden()

    disk.locator("text=Change").click()
    page.fill("#dialog [name=read_iops]", "77")
    page.click("#dialog button[type=submit]")
    expect(disk).to_contain_text("77")
    until(lambda: not _is_busy(live, name), "the change is over", 15)
    disk.locator("text=Unplug").click()
    expect(disk).to_have_count(0)

    page.click("text=Add a NIC")
    page.fill("#dialog [name=network]", "libgo-t-none")
    page.click("#dialog button[type=submit]")
    expect(page.locator("#dialog")).to_contain_text("there is no network")
    page.fill("#dialog [name=network]", "default")
    page.click("#dialog button[type=submit]")
    expect(page.locator("[data-device^='52:54:00']")).to_contain_text("default")

    page.click("text=Settings")
    page.fill("#dialog [name=description]", "changed & kept")
    page.check("#dialog [name=autostart]")
    page.click("#dialog button[type=submit]")
    expect(page.locator("text=changed & kept")).to_be_visible()


def _definition(page: Page) -> None:
    page.click("text=Definition")
    text = page.locator("[name=xml]")
    text.fill(text.input_value().replace("<on_crash>destroy", "<on_crash>restart"))
    changed = text.input_value()
    page.click("button:has-text('Show what will change')")
    expect(page.locator("#xml-diff .add")).to_contain_text("<on_crash>restart")
    text.fill("<domain>")
    page.click("button:has-text('Define it')")
    expect(page.locator("#xml-diff .alert-danger")).to_contain_text("not what was looked at")
    page.click("button:has-text('Show what will change')")
    expect(page.locator("#xml-diff .alert-danger")).to_contain_text("not well formed")
    text.fill(changed)
    page.click("button:has-text('Show what will change')")
    page.click("button:has-text('Define it')")
    expect(page.locator("#xml-diff .alert-success")).to_be_visible()
