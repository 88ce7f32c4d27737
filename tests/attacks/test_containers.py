"""What an operator may try with containers of its own, on a whole console over a real engine; and what the
audit says of it."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from typing import Any

import requests

from tests.attacks.catalogue import attack
from tests.dockerapp.files.tars import entry, packed
from tests.live import until
from tests.people import World


def _engine_has(name: str) -> bool:
    return not subprocess.run(["docker", "inspect", name], capture_output=True, check=False).returncode


def _denied(world: World, rule: str, since: int) -> list[dict[str, Any]]:
    """Rows of the audit since then that tell of the refusal."""
    rows = world.admin.ok("GET", "/audit?page_size=100")["items"]
    told = [row for row in rows if row["id"] > since and row["result"] == "refused"]
    return [row for row in told if rule in str(row["details"]) or row["code"] == "POLICY_DENIED"]


@attack(
    "S43",
    "as an operator: LibGo's own port, also by a range around it, and ranges of 60,000 ports, by a container "
    "and by a compose file",
    refused="403 naming the rule, 400 naming the field; nothing is made",
    audit="rows with the result refused",
)
def test_ports_are_few_and_never_libgos_own(world: World) -> None:
    since = world.last_audit_row()
    own = world.name("container")
    answer = world.a.container(own, ports=[f"{world.a.live.port}:80"])
    assert answer.status_code == 403 and answer.json()["error"]["details"]["rule"] == "own_port", answer.text
    many = world.name("container")
    for ports in ([f"{port}:{port}" for port in range(1000, 61000)], ["1000-60999:1000-60999"]):
        answer = world.a.container(many, ports=ports, network_mode="bridge")
        assert answer.status_code == 400 and "ports" in str(answer.json()["error"]["details"]), answer.text[
            :300
        ]
    near = f"{{target: 80, published: '{world.a.live.port - 1}-{world.a.live.port + 1}'}}"
    for port in ("'1000-60999:1000-60999'", f"'{world.a.live.port}:80'", near):
        compose = f"services: {{web: {{image: 'libgo/demo:latest', ports: [{port}]}}}}\n"
        answer = world.a.call(
            "POST", "/docker/stacks", {"name": many, "compose": compose, "project": world.a.project}
        )
        assert answer.status_code in (400, 403), answer.text[:300]
    assert not _engine_has(own) and not _engine_has(many) and not _engine_has(f"{many}-web-1")
    until(lambda: _denied(world, "own_port", since), "the audit tells it", 10)


_UNPIGZ = "#!/bin/sh\ntouch /ran\nexec cat\n"


@attack(
    "S49",
    "compressed archives into a container that has unpigz, xz and zstd of its own",
    refused="400 before the engine hears of it; the container's programs never run",
    audit="a row for the upload that went in alone",
)
def test_no_program_of_the_container_unpacks_anything(world: World) -> None:
    name = world.name("container")
    assert world.a.container(name, network_mode="none").status_code == 201
    own = [
        entry(f"usr/bin/{word}", _UNPIGZ.encode(), mode=0o755) for word in ("unpigz", "gzip", "xz", "zstd")
    ]
    plain = packed(*own)
    since = world.last_audit_row()

    def put(data: bytes, **headers: str) -> requests.Response:
        path = f"{world.a.live.url}/api/v1/docker/containers/{name}/archive?path=/"
        sent = {"Authorization": f"Bearer {world.a.token}", "Content-Type": "application/x-tar", **headers}
        return requests.put(path, data=data, headers=sent, timeout=60)

    assert put(plain).status_code == 200
    later = packed(entry("root/later", b"x"))
    packings = [
        gzip.compress(later),
        lzma.compress(later),
        b"\x28\xb5\x2f\xfd" + later,
        gzip.compress(gzip.compress(later)),
    ]
    for data in packings:
        for headers in ({}, {"Content-Encoding": "gzip"}):
            answer = put(data, **headers)
            assert answer.status_code in (400, 415), f"{answer.status_code} {answer.text}"
    inside = ["docker", "exec", name, "sh", "-c", "ls /ran /root/later; ls /usr/bin/unpigz"]
    shown = subprocess.run(inside, capture_output=True, text=True, check=False).stdout.split()
    assert shown == ["/usr/bin/unpigz"]
    rows = [row for row in world.admin.ok("GET", "/audit?page_size=100")["items"] if row["id"] > since]
    wrote = [row["result"] for row in rows if row["action"] == "container.archive.write"]
    assert wrote.count("ok") == 1, rows


_RANGES = [
    "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)),
    "bytes=0-1,0-1,0-1",
    "bytes=9-2",
    "bytes=--5",
    "bytes=-",
    "bytes=100-200",
    "bytes=" + "9" * 400 + "-",
    "bytes=-" + "9" * 18,
    "lines=0-1",
    "bytes=0-0x5",
]


@attack(
    "S55",
    "a file of a container by thousands of ranges, backwards, negative and overlapping ones",
    refused="one range of it, or the whole; never more than its length",
)
def test_no_range_is_larger_than_the_file(world: World) -> None:
    name, whole = world.name("container"), bytes(range(100))
    assert world.a.container(name, network_mode="none").status_code == 201
    url = f"{world.a.live.url}/api/v1/docker/containers/{name}/files?path=/root/f"
    own = {"Authorization": f"Bearer {world.a.token}"}
    put = requests.put(
        url, data=whole, headers={**own, "Content-Type": "application/octet-stream"}, timeout=60
    )
    assert put.status_code in (200, 201), put.text
    for wish in _RANGES:
        answer = requests.get(url, headers={**own, "Range": wish}, timeout=60)
        if len(wish) > 16 * 1024:
            assert answer.status_code in (200, 400, 431), f"{wish[:40]}: {answer.status_code}"
            continue
        assert answer.status_code in (200, 206, 416), f"{wish[:40]}: {answer.status_code} {answer.text[:200]}"
        assert (answer.content in whole and answer.content) or answer.status_code == 416, wish[:40]
        if answer.status_code == 206:
            first, last = map(int, answer.headers["Content-Range"].split()[1].split("/")[0].split("-"))
            assert answer.content == whole[first : last + 1], wish[:40]
