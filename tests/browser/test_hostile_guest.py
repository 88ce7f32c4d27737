"""A guest whose root is hostile: its DHCP client and its agent say what they like."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, until
from tests.people import World

# A guest boots in seconds, and in minutes on a machine that has much else to do.
pytestmark = pytest.mark.timeout(600)
_NAME = "<svg/onload=document.title='owned'>"
_VERSION = "<img src=x onerror=alert(1)>"
# It takes the place of the agent; ``yes`` writes what is too long or has too many pieces.
_GUEST = f"""#!/bin/sh
hostname "{_NAME}"
cat >/data/.agent/ld.so <<'AGENT'
#!/bin/sh
while [ "$1" != -p ]; do shift; done
exec 3<>"$2"
many() {{ yes "$1" | tr -d '\\n' | head -c "$2"; }}
while :; do
  read -r line <&3 || {{ sleep 0.2; continue; }}
  case $line in
    *guest-sync*) id=${{line##*'"id":'}}; printf '{{"return":%s}}\\n' "${{id%%[!0-9]*}}" ;;
    *guest-info*) printf '{{"return":{{"version":"{_VERSION}"}}}}\\n' ;;
    *guest-get-host-name*) printf '{{"return":{{"host-name":"{_VERSION}"}}}}\\n' ;;
    *guest-get-fsinfo*) printf '{{"return":['; many '{{}},' 9000000; printf '{{}}]}}\\n' ;;
    *guest-get-users*)
      if [ -e /tmp/asked ]; then printf '{{"return":["'; many 0123456789abcdef 50000000; fi
      [ -e /tmp/asked ] || printf '{{"return":["'; touch /tmp/asked; printf '"]}}\\n' ;;
    *) printf '{{"error":{{"class":"GenericError","desc":"no"}}}}\\n' ;;
  esac >&3
done
AGENT
"""
_STATUS = Path("/var/lib/libvirt/dnsmasq")


@pytest.fixture
def network(world: World) -> dict[str, Any]:
    second, third = random.randint(100, 250), random.randint(1, 250)
    ip = {"address": f"10.{second}.{third}.1", "netmask": "255.255.255.0", "dhcp": {"enabled": True}}
    return world.admin.ok("POST", "/networks", {"name": world.name("kvm_network"), "ip": ip})


@pytest.fixture
def machine(world: World, network: dict[str, Any]) -> dict[str, Any]:
    """One that has its address: so its script has run."""
    seed = {"user_data": _GUEST}
    made = world.a.machine(world.name("machine"), networks=[network["name"]], cloud_init=seed)
    assert made.status_code == 201, made.text
    until(lambda: _leases(world, network), "it has an address", 240)
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
    world: World, network: dict[str, Any], machine: dict[str, Any], page: Page, live: LiveConsole
) -> None:
    lease = _leases(world, network)[0]
    assert lease["machine"]["name"] == machine["name"] and "<svg" in lease["hostname"]
    _inert(page, f"{live.url}/kvm/networks/{network['id']}", "calls itself <svg")
    # What libvirt reads, as a server would have written it that takes any name.
    told = _STATUS / f"{network['bridge_name']}.status"
    rows = json.loads(told.read_text())
    told.write_text(json.dumps([{**row, "hostname": _NAME, "expiry-time": 2**62} for row in rows]))
    lease = _leases(world, network)[0]
    assert lease["hostname"] == _NAME and lease["expires_at"] is None
    _inert(page, f"{live.url}/kvm/networks/{network['id']}", f"calls itself {_NAME}")
