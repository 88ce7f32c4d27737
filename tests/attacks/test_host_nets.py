"""What an operator may try against the networks of the host, on a whole console over a real engine: to take
their subnets, and to have the engine ask in them."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.live import until
from tests.people import DEMO, Caller, World


class Canary(BaseHTTPRequestHandler):
    """A service of the host that nobody else should reach."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"of the host alone")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def canary() -> Iterator[ThreadingHTTPServer]:
    """``asked``: the paths that somebody asked it for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _build(who: Caller, tag: str, dockerfile: str) -> requests.Response:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile.encode()))
    where = f"{who.live.url}/api/v1/docker/images/build"
    return requests.post(
        where,
        params={"tag": tag, "wait": 60, **({"project": who.project} if who.project else {})},
        data=data.getvalue(),
        headers={"Authorization": f"Bearer {who.token}", "Content-Type": "application/x-tar"},
        timeout=90,
    )


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True)


@pytest.fixture
def trap(engines: None, canary: ThreadingHTTPServer) -> Iterator[str]:
    """An image that has every build which stands on it ask the host, as it may come from any registry."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}:1"
    step = f"ONBUILD ADD http://127.0.0.1:{canary.server_port}/onbuild /x"
    _docker("create", "--name", name[:-2], "--label", "libgo.test=live", "--network", "none", DEMO)
    try:
        _docker("commit", "--change", step, name[:-2], name)
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name[:-2]], check=False, capture_output=True)
        subprocess.run(["docker", "rmi", name], check=False, capture_output=True)


def _refused(world: World, since: int) -> list[dict[str, Any]]:
    rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=100")["items"]
    return [row for row in rows if row["id"] > since and "POLICY_DENIED" in (row["code"], row["result"])]


@attack(
    "S46 S71",
    "as an operator: builds that ask a service of the host, by ADD behind each space that the builder knows, "
    "and by a step that the base image brings along",
    refused="403; nothing was asked; an administrator may",
    audit="a row with POLICY_DENIED for each",
)
def test_no_build_asks_the_host(world: World, canary: ThreadingHTTPServer, trap: str) -> None:
    since, url = world.last_audit_row(), f"http://127.0.0.1:{canary.server_port}"
    files = [f"FROM {DEMO}\nADD{space}{url}/add /x\n" for space in " \t\v\f\r"]
    files += [f"FROM {DEMO}\nRUN true \\\n\x1c\nADD {url}/hidden /x\n", f"FROM {trap}\n"]
    for number, dockerfile in enumerate(files):
        answer = _build(world.a, f"{world.a.project}/t:{number}", dockerfile)
        assert answer.status_code == 403, f"{dockerfile!r}: {answer.text}"
        assert answer.json()["error"]["code"] == "POLICY_DENIED"
    assert canary.asked == [], "the engine asked the host"  # type: ignore[attr-defined]
    until(lambda: len(_refused(world, since)) >= len(files), "the audit tells of each", 10)
    tag = f"{trap[:-2]}-made:1"
    try:
        assert _build(world.admin, tag, f"FROM {trap}\n").status_code == 200
        assert canary.asked == ["/onbuild"], "it would have been asked"  # type: ignore[attr-defined]
    finally:
        subprocess.run(["docker", "rmi", tag], check=False, capture_output=True)


@attack(
    "S45",
    "as an operator: networks of containers, by themselves and in a stack, on a part of a subnet that the "
    "host reaches others by, on public subnets, on half of all addresses",
    refused="403 naming the rule; the engine has no such network",
    audit="a row with POLICY_DENIED for each",
)
def test_no_network_takes_what_is_the_hosts(world: World) -> None:
    second, third = random.randint(100, 250), random.randint(1, 250)
    ip = {"address": f"10.{second}.{third}.1", "netmask": "255.255.255.0"}
    world.admin.ok("POST", "/networks", {"name": world.name("kvm_network"), "ip": ip})
    since, name, asked = world.last_audit_row(), world.name("network"), 0
    for subnet in (f"10.{second}.{third}.0/25", "8.8.8.0/24", "0.0.0.0/1"):
        body = {"name": name, "ipam": [{"subnet": subnet}]}
        compose = (
            f"services: {{web: {{image: '{DEMO}'}}}}\n"
            f"networks: {{default: {{name: {name}, ipam: {{config: [{{subnet: '{subnet}'}}]}}}}}}\n"
        )
        stack = {"name": name, "compose": compose, "project": world.a.project}
        for path, wanted in (("/docker/networks", body), ("/docker/stacks", stack)):
            error = world.a.refused(403, "POLICY_DENIED", "POST", path, wanted)
            assert error["details"]["rule"] == "network_subnet", error
            asked += 1
    assert subprocess.run(["docker", "network", "inspect", name], check=False, capture_output=True).returncode
    until(lambda: len(_refused(world, since)) >= asked, "the audit tells of each", 10)
