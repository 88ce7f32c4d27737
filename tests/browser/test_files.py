"""The files of a container in a real browser: look, read, edit, bring in, take out, tidy up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live import LiveConsole, until


def _inside(name: str, script: str) -> str:
    done = subprocess.run(
        ["docker", "exec", name, "sh", "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout


def _opened(page: Page, live: LiveConsole, name: str) -> None:
    made = live.create(name, "docker")
    until(
        lambda: "files" in live.get(f"/nodes/{made['node']['id']}")["capabilities"], "the node is known", 20
    )
    _inside(
        name,
        "cd /root; mkdir conf; printf 'port = 1\\n' > conf/app.ini; "
        "printf x > '<b>odd'; head -c 999 /dev/urandom > blob",
    )
    page.goto(f"{live.url}/instances/{made['id']}")
    page.click("a:has-text('Files')")
    page.click("tr[data-name=root] .files-name")
    expect(page.locator("tr[data-name=conf]")).to_be_visible()


def test_a_text_is_edited_and_a_change_meanwhile_is_told(page: Page, live: LiveConsole, name: str) -> None:
    _opened(page, live, name)
    expect(page.locator("tr[data-name='<b>odd']")).to_contain_text("<b>odd")
    page.click("tr[data-name=blob] .files-name")
    expect(page.locator("#files-note")).to_contain_text("no text")
    page.click("tr[data-name=conf] .files-name")
    page.click("tr[data-name='app.ini'] .files-name")
    expect(page.locator("#files-text")).to_have_value("port = 1\n")
    page.fill("#files-text", "port = 2\n")
    page.keyboard.press("Control+s")
    expect(page.locator("#files-editor-state")).to_contain_text("Saved")
    assert _inside(name, "cat /root/conf/app.ini") == "port = 2\n"
    _inside(name, "printf 'port = 3\\n' > /root/conf/app.ini")
    page.fill("#files-text", "port = 4\n")
    with page.expect_response(lambda answer: answer.status == 412):
        page.click("#files-save")
    expect(page.locator("#files-editor-note")).to_contain_text("changed in the container")
    assert _inside(name, "cat /root/conf/app.ini") == "port = 3\n"
    page.click("#files-overwrite")
    expect(page.locator("#files-editor-state")).to_contain_text("Saved")
    assert _inside(name, "cat /root/conf/app.ini") == "port = 4\n"


def test_files_go_in_and_come_out_and_are_tidied(
    page: Page, live: LiveConsole, name: str, tmp_path: Path
) -> None:
    _opened(page, live, name)
    one, two = tmp_path / "one.txt", tmp_path / "two ü.bin"
    one.write_text("one")
    two.write_bytes(b"2" * 3_000_000)
    page.set_input_files("#files-input", [one, two])
    expect(page.locator("tr[data-name='two ü.bin']")).to_contain_text("2.9 MiB")
    expect(page.locator("#files-uploads .list-group-item")).to_have_count(0)
    assert _inside(name, "cat /root/one.txt; wc -c < '/root/two ü.bin'").split() == ["one3000000"]
    with page.expect_download() as download:
        _act(page, "two ü.bin", "Download")
    assert Path(download.value.path()).read_bytes() == two.read_bytes()
    assert download.value.suggested_filename == "two ü.bin"
    page.click("button:has-text('New')")
    page.click("#files-new-folder")
    page.fill("#files-ask-name", "made here")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-name='made here']")).to_be_visible()
    _act(page, "one.txt", "Rename")
    page.fill("#files-ask-name", "renamed.txt")
    page.click("#files-ask-yes")
    expect(page.locator("tr[data-name='renamed.txt']")).to_be_visible()
    _act(page, "conf", "Delete")
    expect(page.locator("#files-ask-text")).to_contain_text("all that is in it")
    page.click("#files-ask-yes")
    expect(page.locator("tr[data-name=conf]")).to_have_count(0)
    assert sorted(_inside(name, "cd /root; printf '%s\\n' *").splitlines()) == [
        "<b>odd",
        "blob",
        "made here",
        "renamed.txt",
        "two ü.bin",
    ]


def test_replacing_a_file_is_asked_for_first(
    page: Page, live: LiveConsole, name: str, tmp_path: Path
) -> None:
    _opened(page, live, name)
    (tmp_path / "blob").write_text("new")
    page.set_input_files("#files-input", tmp_path / "blob")
    expect(page.locator("#files-ask-title")).to_contain_text("Replace blob?")
    assert _inside(name, "wc -c < /root/blob").strip() == "999"
    page.click("#files-ask-yes")
    until(lambda: _inside(name, "wc -c < /root/blob").strip() == "3", "the file is replaced", 10)
    expect(page.locator("tr[data-name=blob]")).to_contain_text("3 B")


@pytest.mark.parametrize("width", [390, 1440])
def test_the_tab_fits_any_screen(page: Page, live: LiveConsole, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    _opened(page, live, name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.focus("tr[data-name=conf] .files-name")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-name='app.ini']")).to_be_visible()
    page.go_back()
    expect(page.locator("tr[data-name=conf]")).to_be_visible()


def _act(page: Page, name: str, word: str) -> None:
    row = page.locator(f"tr[data-name='{name}']")
    row.locator(".dropdown > button").click()
    row.get_by_role("button", name=word, exact=True).click()


def test_a_volume_is_looked_into_from_its_page(page: Page, live: LiveConsole, tmp_path: Path) -> None:
    name = f"libgo-t-v{os.getpid()}"
    assert live.api("POST", "/docker/volumes", {"name": name}).status_code == 201
    (tmp_path / "note.txt").write_text("kept")
    try:
        row = live.get(f"/docker/volumes/{name}")
        page.goto(f"{live.url}/docker/volumes/{row['id']}")
        page.click("a:has-text('Browse files')")
        expect(page.locator("#files-state")).to_contain_text("empty")
        page.set_input_files("#files-input", tmp_path / "note.txt")
        page.click("tr[data-name='note.txt'] .files-name", timeout=30000)
        expect(page.locator("#files-text")).to_have_value("kept")
    finally:
        assert live.api("DELETE", f"/docker/volumes/{name}?wait=60").status_code == 200
