"""Images and registries in a browser: dialogs that follow their work, many at once, uploads."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live import LiveConsole

DEMO = "libgo/demo:latest"


@pytest.fixture
def word(live: LiveConsole) -> Iterator[str]:
    """Part of the names of this test's images, which go afterwards."""
    made = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield made
    for row in live.get(f"/docker/images?q={made}")["items"]:
        live.api("DELETE", f"/docker/images/{row['id']}?force=true&wait=60")


def _tag(name: str) -> None:
    """An image of its own behind the console's back, so that removing it removes an image."""
    dockerfile = f"FROM {DEMO}\nENV NAME={name}\n".encode()
    command = ["docker", "build", "-q", "-t", name, "--label", "libgo.test=browser", "-"]
    subprocess.run(
        command, input=dockerfile, check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": "0"}
    )


def test_many_images_go_at_once_with_a_result_for_each(page: Page, live: LiveConsole, word: str) -> None:
    names = [f"{word}/{letter}:1" for letter in "abc"]
    for name in names:
        _tag(name)
    page.goto(f"{live.url}/docker/images?q={word}")
    rows = {name: page.locator(f"tr[data-name='{name}']") for name in names}
    for row in rows.values():
        expect(row).to_be_visible()
    for name in names[:2]:
        rows[name].locator("[data-bulk-item]").check()
    bar = page.locator("[data-bulk-bar=images]")
    expect(bar).to_contain_text("2 selected")
    _tag(f"{word}/d:1")
    expect(page.locator(f"tr[data-name='{word}/d:1']")).to_be_visible()
    # What is chosen survives a live swap.
    expect(bar).to_contain_text("2 selected")
    bar.get_by_role("button", name="Remove").press("Enter")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("Remove the chosen images (2)?")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog).to_contain_text("2 of 2 done")
    dialog.get_by_role("button", name="Close").click()
    expect(rows[names[0]]).to_have_count(0)
    expect(rows[names[2]]).to_be_visible()
    expect(bar).to_be_hidden()


def test_what_a_container_uses_stays_and_the_bar_says_why(
    page: Page, live: LiveConsole, word: str, name: str
) -> None:
    _tag(f"{word}/used:1")
    live.create(name, "docker", config={"image": f"{word}/used:1", "network_mode": "none"})
    page.goto(f"{live.url}/docker/images?q={word}")
    page.locator("[data-bulk-all]").check()
    page.locator("[data-bulk-action=remove]").click()
    page.locator("dialog .btn-danger").click()
    expect(page.locator("dialog")).to_contain_text("uses “")
    expect(page.locator("dialog")).to_contain_text(name)
    page.keyboard.press("Escape")
    expect(page.locator("[data-bulk-bar=images]")).to_contain_text("1 selected")


def test_a_pull_is_followed_in_its_dialog(page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/docker/images")
    page.get_by_role("button", name="Pull").click()
    page.fill("#pull-image", "127.0.0.1:1/absent:1")
    page.locator("#dialog").get_by_role("button", name="Pull").click()
    expect(page.locator("#image-progress")).to_contain_text("cannot reach the registry")


def test_a_typed_dockerfile_ends_on_the_page_of_its_operation(
    page: Page, live: LiveConsole, word: str
) -> None:
    page.goto(f"{live.url}/docker/images/build")
    page.fill("#text-file", f"FROM {DEMO}\nRUN echo said by {word}\n")
    page.fill("#text-tag", f"default/{word}:1")
    page.locator("#build-text button[type=submit]").click()
    page.wait_for_url("**/operations/*")
    expect(page.locator("main")).to_contain_text("succeeded")
    expect(page.locator("pre.log")).to_contain_text(f"said by {word}")


def test_a_context_is_uploaded_and_built(page: Page, live: LiveConsole, word: str, tmp_path: Path) -> None:
    context = tmp_path / "context.tar"
    with tarfile.open(context, "w") as tar:
        for name, text in (("Dockerfile", f"FROM {DEMO}\nCOPY x /x\nRUN cat /x"), ("x", f"in {word}")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    page.goto(f"{live.url}/docker/images/build")
    page.get_by_role("tab", name="Context").click()
    page.set_input_files("#tar-file", context)
    page.fill("#tar-tag", f"default/{word}:2")
    page.locator("#build-tar button[type=submit]").click()
    page.wait_for_url("**/operations/*")
    expect(page.locator("main")).to_contain_text("succeeded")
    expect(page.locator("pre.log")).to_contain_text(f"in {word}")


def test_an_image_says_what_it_is_and_takes_another_name(page: Page, live: LiveConsole, word: str) -> None:
    _tag(f"{word}/one:1")
    page.goto(f"{live.url}/docker/images?q={word}")
    page.locator(f"tr[data-name='{word}/one:1'] a.fw-bold").click()
    expect(page.locator("main")).to_contain_text("linux/amd64")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.fill("#tag-name", f"{word}/two:2")
    page.locator("#dialog").get_by_role("button", name="Tag").click()
    expect(page.locator("code", has_text=f"{word}/two:2")).to_be_visible()
    page.get_by_role("link", name="Run").click()
    expect(page.locator("#id_image")).to_have_value(f"{word}/one:1")


def test_cleaning_up_shows_first_what_would_go(page: Page, live: LiveConsole, word: str) -> None:
    _tag(f"{word}/unused:1")
    page.goto(f"{live.url}/docker/images")
    page.get_by_role("button", name="Clean up").click()
    page.locator("#dialog input[value=all]").check(force=True)
    page.locator("#dialog").get_by_role("button", name="Look").click()
    expect(page.locator(".prune-list")).to_contain_text(f"{word}/unused:1")
    page.locator("#dialog").get_by_role("button", name="Keep them").click()
    assert live.get(f"/docker/images/{word}/unused:1")["name"] == f"{word}/unused:1"


def test_a_registry_is_added_tested_and_removed(page: Page, live: LiveConsole, word: str) -> None:
    page.goto(f"{live.url}/docker/registries")
    page.get_by_role("button", name="Add a registry").click()
    page.fill("#registry-name", word)
    page.fill("#registry-url", "127.0.0.1:1")
    page.fill("#registry-user", "oscar")
    page.fill("#registry-password", "canary-of-a-password")
    page.locator("#dialog").get_by_role("button", name="Add").click()
    row = page.locator(f"tr[data-name='{word}']")
    expect(row).to_be_visible()
    expect(page.locator("#dialog")).to_be_hidden()
    row.get_by_role("button", name="Test").click()
    expect(page.locator("#dialog .alert-danger")).to_contain_text("cannot reach")
    page.locator("#dialog .btn-primary").click()
    expect(page.locator("#dialog")).to_be_hidden()
    row.get_by_role("button", name="Change").click()
    expect(page.locator("#registry-password")).to_have_value("")
    assert "canary-of-a-password" not in page.content()
    page.locator("#dialog .modal-footer").get_by_role("button", name="Cancel").click()
    expect(page.locator("#dialog")).to_be_hidden()
    row.get_by_role("button", name="Remove").click()
    page.locator("#dialog .btn-danger").click()
    expect(row).to_have_count(0)
