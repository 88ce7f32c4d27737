"""The life of one machine, as its operator tells it: made, told, logged into, saved, spoilt, restored,
grown, taken away as a file and brought back as another one."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.live import LiveConsole, until

_MIB = 1024**2
# Without acceleration and beside other work a guest takes its time.
_BOOT_S = 150
_TOLD = "#!/bin/sh\necho told-by-seed >/data/told; sync\n"


@pytest.fixture
def lan(live: LiveConsole) -> Iterator[str]:
    """A network with DHCP that leads nowhere."""
    name, third = f"libgo-t-{uuid.uuid4().hex[:8]}", random.randrange(1, 250)
    subnet = f"10.214.{third}"
    dhcp = {"enabled": True, "start": f"{subnet}.10", "end": f"{subnet}.99"}
    body = {"name": name, "ip": {"address": f"{subnet}.1", "netmask": "255.255.255.0", "dhcp": dhcp}}
    answer = live.api("POST", "/networks?wait=60", {**body, "forward": {"mode": "none"}})
    assert answer.status_code == 201, answer.text
    yield name
    assert live.api("DELETE", f"/networks/{name}?force=true&wait=60").status_code == 200


@pytest.fixture
def names(live: LiveConsole, lan: str) -> Iterator[tuple[str, str]]:
    """Of the machine and of the one that comes back; both are gone before their network."""
    stem = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield stem, f"{stem}-back"
    for name in (f"{stem}-back", stem):
        if live.shown(name):
            assert live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60").status_code == 200


class _Shell:
    """The serial console of a machine's page."""

    def __init__(self, page: Page, live: LiveConsole, pk: str) -> None:
        self.page = page
        page.goto(f"{live.url}/instances/{pk}/terminal")
        expect(page.locator("#terminal-state")).to_have_text("You write")

    def run(self, command: str, printed: str, within_s: float = 40) -> None:
        self.page.locator("#terminal .xterm-helper-textarea").focus()
        self.page.keyboard.type(command)
        self.page.keyboard.press("Enter")
        until(lambda: printed in self.text(), f"“{command}” prints {printed!r}", within_s)

    def text(self) -> str:
        script = """() => {
            const buffer = libgo.terminal.buffer.active, lines = [];
            for (let n = 0; n < buffer.length; n++) lines.push(buffer.getLine(n).translateToString(true));
            return lines.join("\\n");
        }"""
        return str(self.page.evaluate(script))


def _log(live: LiveConsole, name: str) -> str:
    lines = live.get(f"/compute/instances/{name}/logs?tail=500")["lines"]
    return "\n".join(line["text"] for line in lines)


def _done(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def _address(live: LiveConsole, name: str) -> str:
    shown = live.get(f"/compute/instances/{name}")
    return str(shown["networks"][0]["ip_address"])


def _restore(page: Page, live: LiveConsole, pk: str) -> None:
    """By the page: what its dialog asked for is done."""
    page.goto(f"{live.url}/kvm/machines/{pk}/snapshots")
    page.get_by_role("button", name="Restore").click()
    page.fill("#confirm-restore", live.get(f"/compute/instances/{pk}")["name"])
    page.locator("#dialog button[type=submit]").click()
    query = f"/operations?instance={pk}&action=instance.restore&state=succeeded"
    until(lambda: live.get(query)["total"] == 1, "the snapshot is restored", 60)


@pytest.mark.timeout(900)
def test_a_machine_is_made_used_restored_grown_taken_away_and_brought_back(
    page: Page, live: LiveConsole, lan: str, names: tuple[str, str]
) -> None:
    name, back = names
    seed = {"hostname": "story", "user_data": _TOLD}
    config = {"image": "libgo-demo", "networks": [lan], "cloud_init": seed}
    resources = {"cpu": {"cores": 1}, "memory": {"limit": 192 * _MIB}}
    body = {"name": name, "backend": "kvm", "config": config, "resources": resources}
    made = _done(live.api("POST", "/compute/instances?wait=60", {**body, "labels": {"libgo.test": "live"}}))
    pk = made["instance"]["id"]
    until(lambda: "host=story" in _log(live, name), "it has the host name of its seed", _BOOT_S)
    until(lambda: _address(live, name).startswith("10.214."), "DHCP gave it an address", _BOOT_S)

    shell = _Shell(page, live, pk)
    shell.run("hostname; cat /data/told", "story\ntold-by-seed")
    snapshots = f"/compute/instances/{name}/snapshots"
    _done(live.api("POST", f"{snapshots}?wait=60", {"name": "before", "include_memory": True}))
    shell.run("echo spoilt >/data/told; sync; cat /data/told", "\nspoilt")
    _restore(page, live, pk)
    shell = _Shell(page, live, pk)
    shell.run("echo now: $(cat /data/told)", "now: told-by-seed")

    _done(live.api("PUT", f"/compute/instances/{name}/resources?wait=60", {"cpu": {"cores": 2}}))
    _done(live.api("PUT", f"/kvm/vms/{name}/disks/vda?wait=60", {"size": 64 * _MIB}))
    shell.run("echo cpus $(ls -d /sys/devices/system/cpu/cpu[0-9] | wc -l)", "cpus 2")
    shell.run("echo disk $(cat /sys/block/vda/size)", f"disk {64 * _MIB // 512}")

    exported = _done(live.api("POST", f"/compute/instances/{name}/export?wait=60", {"format": "ova"}))
    export = exported["operation"]["result"]["export"]
    file = live.api("GET", f"/exports/{export}/download").content
    query = f"name={back}&format=ova&network={lan}&wait=60"
    sent = {"Authorization": f"Bearer {live.log_in()}", "Content-Type": "application/octet-stream"}
    url = f"{live.url}/api/v1/compute/instances/import?{query}"
    _done(requests.post(url, data=file, headers=sent, timeout=120))
    assert live.api("DELETE", f"/exports/{export}").status_code == 200
    _done(live.api("PUT", f"/compute/instances/{back}/start?wait=60"))
    until(lambda: "LIBGO GUEST UP" in _log(live, back), "what came back boots", _BOOT_S)
