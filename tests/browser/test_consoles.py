"""One guest as an operator meets it: its serial line, its screen, its agent, and what it was told."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close, log_in
from tests.browser.pictures import HEIGHT, WIDTH, picture
from tests.kvm.agent import agent_image
from tests.live import PASSWORD, LiveConsole, until

SECRET = "s3cret-of-the-guest"
TOLD = f"#!/bin/sh\nROOT_PASSWORD={SECRET}\necho TOLD-$((20+2)) >/dev/ttyS0\n"
BOOT_S = 120


@pytest.fixture(scope="module")
def guest(live: LiveConsole) -> Iterator[dict[str, Any]]:
    """A booted machine with a screen and an agent, for all of this module."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    with agent_image() as image:
        config = {"image": image, "network": "none", "cloud_init": {"user_data": TOLD, "hostname": "inside"}}
        made = live.create(name, "kvm", config=config)
        try:
            until(lambda: "GUEST UP" in _log(live, made["id"]), "the guest is up", BOOT_S)
            yield made
        finally:
            live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


@pytest.fixture
def vm(live: LiveConsole, guest: dict[str, Any]) -> str:
    """Its routes."""
    return f"/kvm/vms/{guest['id']}"


def _log(live: LiveConsole, pk: str) -> str:
    lines = live.get(f"/compute/instances/{pk}/logs?tail=500")["lines"]
    return "\n".join(line["text"] for line in lines)


def _screen_text(page: Page) -> str:
    """What the terminal shows, its scrollback included."""
    script = """() => {
        const buffer = libgo.terminal.buffer.active, lines = [];
        for (let n = 0; n < buffer.length; n++) lines.push(buffer.getLine(n).translateToString(true));
        return lines.join("\\n");
    }"""
    return str(page.evaluate(script))


def _console(page: Page, live: LiveConsole, pk: str) -> None:
    page.goto(f"{live.url}/instances/{pk}/terminal")
    expect(page.locator("#terminal-state")).not_to_have_text("Connecting")


def _type(page: Page, text: str) -> None:
    page.locator("#terminal .xterm-helper-textarea").focus()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_two_browsers_share_the_serial_line_and_one_writes(
    page: Page, chromium: Browser, live: LiveConsole, guest: dict[str, Any]
) -> None:
    pk = guest["id"]
    _console(page, live, pk)
    until(lambda: "TOLD-22" in _screen_text(page), "what was said before anyone looked", 10)
    _type(page, "echo mine-$((40+2)); hostname")
    until(lambda: "mine-42\ninside" in _screen_text(page), "the shell answers", 20)
    expect(page.locator("#terminal-state")).to_have_text("You write")
    context = chromium.new_context()
    other = context.new_page()
    log_in(other, live)
    _console(other, live, pk)
    until(lambda: "mine-42" in _screen_text(other), "the second sees it too", 10)
    expect(other.locator("#terminal-state")).to_have_text("admin writes")
    _type(other, "echo never-$((1+1))")
    other.click("#terminal-take")
    expect(other.locator("#terminal-state")).to_have_text("You write")
    expect(page.locator("#terminal-take")).to_be_visible()
    _type(other, "echo theirs-$((40+3))")
    until(lambda: "theirs-43" in _screen_text(page), "both see what the second writes", 20)
    assert "never-2" not in _screen_text(page), "who looked on wrote nothing"
    context_close(context)
    expect(page.locator("#terminal-state")).to_contain_text("Nobody writes")


def test_a_long_paste_arrives_whole(page: Page, live: LiveConsole, guest: dict[str, Any]) -> None:
    _console(page, live, guest["id"])
    _type(page, "stty -echo; cat >/tmp/pasted")
    page.evaluate("() => libgo.terminal.paste(('x'.repeat(79) + '\\n').repeat(250))")
    page.keyboard.press("Control+d")
    _type(page, "stty echo; wc -c /tmp/pasted")
    until(lambda: "20000 /tmp/pasted" in _screen_text(page), "every byte of it", 40)


def test_a_console_that_was_taken_from_outside_is_noticed_and_taken_back(
    page: Page, live: LiveConsole, guest: dict[str, Any]
) -> None:
    _console(page, live, guest["id"])
    conn = libvirt.open("qemu:///system")
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByUUIDString(guest["id"]).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    expect(page.locator("#terminal-state")).to_contain_text("Another program took")
    page.click("#terminal-again:has-text('Take it over')")
    # A shell that asks the terminal where its cursor is gets the first input from the page itself.
    expect(page.locator("#terminal-state")).to_contain_text(re.compile("Nobody writes|You write"))
    _type(page, "echo back-$((40+4))")
    until(lambda: "back-44" in _screen_text(page), "it is ours again", 20)
    conn.close()


def test_the_screen_shows_and_takes_keys(page: Page, live: LiveConsole, guest: dict[str, Any]) -> None:
    page.goto(f"{live.url}/instances/{guest['id']}/screen")
    expect(page.locator("#screen-state")).to_have_text("Connected")
    script = """() => { const c = document.querySelector('#screen canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return new Set(new Uint32Array(d.buffer)).size; }"""
    until(lambda: page.evaluate(script) > 1, "more than one colour", 15)
    page.locator("#screen canvas").click()
    for letter in "echo KEYS-$((40+5)) >/dev/ttyS0":
        # A guest hears keys, not letters: Shift is one of them.
        with_shift = letter in "$()+>" or letter.isupper()
        page.keyboard.press(f"Shift+{letter}" if with_shift else "Space" if letter == " " else letter)
    page.keyboard.press("Enter")
    until(lambda: "KEYS-45" in _log(live, guest["id"]), "keys reach the guest", 20)
    page.click("text=Clipboard")
    page.fill("#screen-text", 'echo "TYPED_$((40+6))" >/dev/ttyS0\n')
    page.click("#screen-type")
    until(lambda: "TYPED_46" in _log(live, guest["id"]), "text is typed, with Shift where it needs it", 20)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    picture(page, "screen")


def test_pictures_of_the_screen(page: Page, live: LiveConsole, guest: dict[str, Any], vm: str) -> None:
    answer = live.api("GET", f"{vm}/screenshot")
    assert answer.headers["Content-Type"] == "image/png"
    whole = Image.open(io.BytesIO(answer.content))
    assert len(whole.convert("RGB").getcolors(2**24)) > 1
    small = Image.open(io.BytesIO(live.api("GET", f"{vm}/screenshot?width=160").content))
    assert small.format == "PNG" and small.width == 160 < whole.width
    assert live.api("GET", f"{vm}/screenshot?width=161").status_code == 400
    page.goto(f"{live.url}/instances?q={guest['name']}")
    page.locator(f"#row-{guest['id']} .thumb").hover()
    shown = page.locator(".preview img")
    until(
        lambda: shown.evaluate("image => image.naturalWidth") > 160, "its screen while one points at it", 10
    )
    page.locator("h1").hover()
    expect(shown).to_have_count(0)
    page.locator(f"#row-{guest['id']} .thumb").hover()
    expect(shown).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type(" and nothing else")
    expect(shown).to_have_count(0)


def test_the_agent_tells_runs_reads_and_writes(
    page: Page, live: LiveConsole, guest: dict[str, Any], vm: str
) -> None:
    until(lambda: live.api("GET", f"{vm}/guest").status_code == 200, "the agent is up", 30)
    told = live.get(f"{vm}/guest")
    assert told["hostname"] == "inside" and told["os"]["id"] == "libgo-demo"
    assert "/data" in [item["mountpoint"] for item in told["filesystems"]]
    run = {"command": ["sh", "-c", "echo $A; echo no >&2; exit 3"], "env": {"A": "x y"}, "work_dir": "/tmp"}
    ended = live.api("POST", f"/compute/instances/{guest['id']}/exec", run).json()
    assert (ended["exit_code"], ended["stdout"], ended["stderr"]) == (3, "x y\n", "no\n")
    late = {"command": ["sleep", "60"], "timeout": 1}
    assert live.api("POST", f"/compute/instances/{guest['id']}/exec", late).json()["timed_out"]
    data = bytes(range(256)) * 1000
    url = f"{live.url}/api/v1{vm}/guest/files?path=/tmp/file"
    headers = {"Authorization": f"Bearer {live.log_in()}"}
    put = requests.put(url, data=data, headers=headers, timeout=60)
    assert put.json() == {"path": "/tmp/file", "size": len(data)}, put.text
    assert requests.get(url, headers=headers, timeout=60).content == data
    too_large = requests.put(url, data=b"x" * (1024 * 1024 + 1), headers=headers, timeout=60)
    assert too_large.status_code == 413, too_large.text
    missing = live.api("GET", f"{vm}/guest/files?path=/tmp/nope")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "NOT_FOUND"
    rows = live.get(f"/audit?q={guest['name']}&page_size=200")["items"]
    told = [(row["action"].rpartition("_")[2], row["code"]) for row in rows if "guest_file" in row["action"]]
    assert sorted(told) == [("read", "NOT_FOUND"), ("read", "ok"), ("write", "ok")], told
    page.goto(f"{live.url}/kvm/machines/{guest['id']}/guest")
    expect(page.locator("body")).to_contain_text("LibGo demo guest")


def test_what_it_was_told_is_shown_without_secrets_and_changed_with_them(
    page: Page, live: LiveConsole, guest: dict[str, Any], vm: str
) -> None:
    shown = live.get(f"{vm}/cloud-init")
    assert SECRET not in str(shown) and "ROOT_PASSWORD=<hidden:1>" in shown["user_data"]
    assert shown["hostname"] == "inside" and shown["instance_id"] == guest["id"]
    page.goto(f"{live.url}/kvm/machines/{guest['id']}/cloud-init")
    page.fill("#user_data", "#cloud-config\nruncmd:\n  - [a\nhostname: x\n")
    page.click("button:has-text('Save')")
    expect(page.locator("#verdict")).to_contain_text("user_data, line")
    page.fill("#user_data", shown["user_data"].replace("TOLD", "NEWS"))
    page.check("[name=rerun]")
    page.click("button:has-text('Save')")
    expect(page.locator("#verdict")).to_contain_text("It is being written")
    until(lambda: "NEWS" in live.get(f"{vm}/cloud-init")["user_data"], "the seed is written", 15)
    assert live.get(f"{vm}/cloud-init")["instance_id"] != guest["id"]
    bad = live.api("PUT", f"{vm}/cloud-init", {"network_config": "version: 3\n"})
    assert bad.json()["error"]["details"]["fields"] == {"network_config": "line 1: “version” must be 1 or 2."}


def test_the_console_comes_back_by_itself_and_the_guest_reads_its_new_seed(
    page: Page, live: LiveConsole, guest: dict[str, Any]
) -> None:
    pk = guest["id"]
    _console(page, live, pk)
    live.api("PUT", f"/compute/instances/{pk}/stop?wait=60", {"force": True})
    expect(page.locator("#terminal-state")).to_contain_text("comes back when it runs")
    live.api("PUT", f"/compute/instances/{pk}/start?wait=60")
    # Its terminal may have been asked something while the guest booted, and have answered.
    expect(page.locator("#terminal-state")).to_have_text(re.compile("Nobody writes|You write"))
    until(lambda: "NEWS-22" in _screen_text(page), "the new seed is run", BOOT_S)


def test_a_viewer_sees_none_of_it(live: LiveConsole, guest: dict[str, Any], vm: str) -> None:
    name = f"v-{uuid.uuid4().hex[:6]}"
    assert live.api("POST", "/users", {"username": name, "password": PASSWORD}).status_code == 201
    project = guest["project"]["id"]
    live.api("DELETE", f"/projects/{project}/members/{name}")
    live.api("POST", f"/projects/{project}/members", {"user": name, "role": "viewer"})
    headers = {"Authorization": f"Bearer {live.log_in(name)}"}
    for path in ("screenshot", "cloud-init", "guest", "guest/files?path=/etc/passwd"):
        answer = requests.get(f"{live.url}/api/v1{vm}/{path}", headers=headers, timeout=20)
        assert answer.status_code == 403, f"{path}: {answer.text}"
    answer = requests.get(f"{live.url}/api/v1/compute/instances/{guest['id']}", headers=headers, timeout=20)
    assert answer.status_code == 200 and SECRET not in answer.text
