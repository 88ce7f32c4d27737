"""Storage and images in a browser: a pool with its room, a volume by dialogs, an upload in pieces."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live import LiveConsole

MIB = 1024**2


@pytest.fixture
def pool(live: LiveConsole) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-", dir="/var/lib/libvirt"))
    folder.chmod(0o755)
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    answer = live.api("POST", "/storage/pools", {"name": name, "type": "dir", "path": str(folder)})
    assert answer.status_code == 201, answer.text
    yield name
    live.api("DELETE", f"/storage/pools/{name}?force=true")
    shutil.rmtree(folder, ignore_errors=True)


def test_a_volume_is_made_grown_and_deleted_by_dialogs(pool: str, page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/kvm/storage?q={pool}")
    row = page.locator(f"tr[data-name='{pool}']")
    expect(row).to_contain_text("free")
    row.get_by_role("link").first.click()
    page.get_by_role("button", name="New volume").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Name").fill("bad name")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.locator("[data-field=name]")).to_contain_text("letters")
    dialog.get_by_label("Name").fill("data")
    dialog.get_by_label("Size in GiB").fill("1")
    dialog.get_by_role("button", name="Create").click()
    volume = page.locator("tr[data-name=data]")
    expect(volume).to_contain_text("1.0 GiB")
    for word, button in (("Resize", "Resize"), ("Delete", "Delete")):
        expect(dialog).to_be_hidden()
        volume.get_by_role("button", name="Actions").click()
        volume.get_by_role("button", name=word).click()
        if word == "Resize":
            dialog.get_by_label("Size in GiB").fill("0.5")
            dialog.get_by_role("button", name=button).click()
            expect(dialog.get_by_role("alert")).to_contain_text("never made smaller")
            dialog.get_by_label("Size in GiB").fill("2")
        dialog.get_by_role("button", name=button).click()
        if word == "Resize":
            expect(volume).to_contain_text("2.0 GiB")
    expect(volume).to_have_count(0)
    live.api("DELETE", f"/storage/pools/{pool}")
    page.wait_for_url(f"{live.url}/kvm/storage")


def test_an_image_is_uploaded_in_pieces(pool: str, page: Page, live: LiveConsole, tmp_path: Path) -> None:
    file, name = tmp_path / "disk.raw", f"libgo-t-{uuid.uuid4().hex[:8]}"
    file.write_bytes(os.urandom(17 * MIB))
    page.goto(f"{live.url}/kvm/images")
    page.get_by_role("button", name="Upload").click()
    form = page.locator("[data-pieces]")
    form.get_by_label("File").set_input_files(file)
    form.get_by_label("Name").fill(name)
    form.get_by_label("Pool").select_option(pool)
    form.get_by_role("button", name="Upload").click()
    page.wait_for_url(re.compile("/operations/"), timeout=60000)
    expect(page.locator("body")).to_contain_text("succeeded")
    page.goto(f"{live.url}/kvm/images?q={name}")
    row = page.locator(f"tr[data-name='{name}']")
    expect(row).to_contain_text("17.0 MiB")
    row.get_by_role("button", name="Delete").click()
    page.locator("#dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
