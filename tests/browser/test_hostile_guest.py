"""A guest whose root is hostile: its DHCP client and its agent say what they like."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, strain, until
from tests.people import Caller, World

# A guest boots in seconds, and in minutes on a machine that has much else to do.
pytestmark = pytest.mark.timeout(600)
_NAME = "<svg/onload=document.title='owned'>"
_VERSION = "<img src=x onerror=alert(1)>"
# It takes the place of the agent. What it says too much is doubled until it is long: a guest without KVM
# writes it quickly then.
_GUEST = f"""#!/bin/sh
hostname "{_NAME}"
cat >/data/.agent/ld.so <<'AGENT'
#!/bin/sh
while [ "$1" != -p ]; do shift; done
exec 3<>"$2"
double() {{
  printf "$2" >"$1"
  for _ in $(seq "$3"); do cat "$1" "$1" >/tmp/twice; mv /tmp/twice "$1"; done
}}
double /tmp/pieces '{{}},' 20
double /tmp/long 0123456789abcdef 21
while :; do
  read -r line <&3 || {{ sleep 0.2; continue; }}
  case $line in
    *guest-sync*) id=${{line##*'"id":'}}; printf '{{"return":%s}}\\n' "${{id%%[!0-9]*}}" ;;
    *guest-info*) printf '{{"return":{{"version":"{_VERSION}"}}}}\\n' ;;
    *guest-get-host-name*) printf '{{"return":{{"host-name":"{_VERSION}"}}}}\\n' ;;
    *guest-get-fsinfo*) printf '{{"return":['; cat /tmp/pieces; printf '{{}}]}}\\n' ;;
    *guest-get-timezone*) printf '{{"return":{{"zone":"'; head -c 6000000 /tmp/long; printf '"}}}}\\n' ;;
    *guest-get-users*) printf '{{"return":["'; cat /tmp/long /tmp/long | head -c 50000000; printf '"]}}\\n' ;;
    *) printf '{{"error":{{"class":"GenericError","desc":"no"}}}}\\n' ;;
  esac >&3
done
AGENT
"""
_MIB = 1024**2
_STATUS = Path("/var/lib/libvirt/dnsmasq")


@pytest.fixture(scope="module")
def own(people: World) -> Iterator[World]:
    """The same people; what is made here stays until the last test of this file."""
    made = replace(people, made=[])
    yield made
    made.clean()


@pytest.fixture(scope="module")
def network(own: World) -> dict[str, Any]:
    second, third = random.randint(100, 250), random.randint(1, 250)
    ip = {"address": f"10.{second}.{third}.1", "netmask": "255.255.255.0", "dhcp": {"enabled": True}}
    return own.admin.ok("POST", "/networks", {"name": own.name("kvm_network"), "ip": ip})


@pytest.fixture(scope="module")
def machine(own: World, network: dict[str, Any]) -> dict[str, Any]:
    """One that has its address: so its script has run."""
    seed = {"user_data": _GUEST}
    made = own.a.machine(own.name("machine"), networks=[network["name"]], cloud_init=seed)
    assert made.status_code == 201, made.text
    until(lambda: _leases(own, network), "it has an address", 240)
    return dict(made.json()["instance"])


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def _leases(world: World, network: dict[str, Any]) -> list[dict[str, Any]]:
    return list(world.a.ok("GET", f"/networks/{network['name']}/leases")["items"])


def _inert(page: Page, url: str, words: str) -> None:
    """The page shows them, as text."""
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(url)
    expect(page.locator("main")).to_contain_text(words, timeout=40000)
    assert page.locator("main img[src=x], main svg[onload]").count() == 0
    assert page.title() != "owned" and asked == []


@attack(
    "S67",
    "a guest that calls itself markup when it asks for an address; and a DHCP server that believes it, and "
    "says that the lease ends after all calendars",
    refused="text on the page, and no more than a line; the lease has no end",
)
def test_the_name_that_a_guest_gives_its_dhcp_server_is_text(
    own: World, network: dict[str, Any], machine: dict[str, Any], page: Page, live: LiveConsole
) -> None:
    lease = _leases(own, network)[0]
    assert lease["machine"]["name"] == machine["name"] and "<svg" in lease["hostname"]
    _inert(page, f"{live.url}/kvm/networks/{network['id']}", "calls itself <svg")
    # What libvirt reads, as a server would have written it that takes any name.
    told = _STATUS / f"{network['bridge_name']}.status"
    rows = json.loads(told.read_text())
    told.write_text(json.dumps([{**row, "hostname": _NAME, "expiry-time": 2**62} for row in rows]))
    lease = _leases(own, network)[0]
    assert lease["hostname"] == _NAME and lease["expires_at"] is None
    _inert(page, f"{live.url}/kvm/networks/{network['id']}", f"calls itself {_NAME}")


@attack(
    "S70",
    "an agent in a guest that answers with 50 MB, with 6, with a million empty pieces, and with markup",
    refused="what is too much is null, the rest is text; libvirt hangs up on it after 10 MB; others are "
    "answered meanwhile, and the web process grows by less than 100 MiB",
)
def test_an_agent_that_answers_without_end_is_not_heard_out(
    own: World, machine: dict[str, Any], live: LiveConsole
) -> None:
    before, path = _held_at_most(live), f"/kvm/vms/{machine['id']}/guest"
    others: list[float] = []
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(_told, own.a, path)
        while not asked.done():
            answer = own.b.call("GET", "/compute/instances")
            assert answer.json()["instances"] == [], "it is another project's"
            others.append(answer.elapsed.total_seconds())
            time.sleep(0.1)
    told = asked.result()
    assert told["agent"]["version"] == told["hostname"] == _VERSION
    assert told["filesystems"] is None, "a million empty pieces"
    assert told["timezone"] is None, "6 MB, and it goes on to the next"
    assert told["users"] is None, "50 MB"
    assert own.a.call("GET", path).status_code in (409, 502), "libvirt hung up on it"
    assert max(others) < 3 * strain(), others
    assert _held_at_most(live) - before < 100 * _MIB


def _told(who: Caller, path: str) -> dict[str, Any]:
    """What the guest says, as soon as its agent is there."""
    told: dict[str, Any] = {}

    def is_told() -> bool:
        answer = who.call("GET", path)
        told.update(answer.json())
        return answer.ok

    until(is_told, "its agent is there", 60)
    return told


def _held_at_most(live: LiveConsole) -> int:
    """The most memory that the web process ever held, in bytes."""
    status = Path(f"/proc/{live.pid('web')}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
