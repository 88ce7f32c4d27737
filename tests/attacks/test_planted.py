"""Secrets of every kind are given to a whole console and then looked for in all that it keeps and writes."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import libvirt
import pytest
import redis
import requests

from tests.attacks.catalogue import attack
from tests.live import LiveConsole

_COMPOSE = """services:
  web:
    image: libgo/demo:latest
    network_mode: none
    command: [sleep, "600"]
    labels: {{libgo.test: live}}
    environment: {{WRITTEN_PASSWORD: "{inline}", GIVEN_TOKEN: "$GIVEN_SECRET"}}
"""


class Planted:
    """``word("…")`` makes one more secret, to be found again by where it was given."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def word(self, where: str) -> str:
        return self.words.setdefault(where, f"Canary-{secrets.token_hex(12)}-9")

    def found(self, where: str, text: bytes) -> list[str]:
        """Those that stand in it, as they are or encoded."""
        return [f"{name}: {where}" for name, word in self.words.items() if _stands(word, text)]


def _stands(word: str, text: bytes) -> bool:
    inner = word.encode()
    # Base64 depends on where the word begins; the middle of each way is looked for.
    coded = [base64.b64encode(b"x" * shift + inner)[4:-4] for shift in range(3)]
    return any(form in text for form in (inner, inner.hex().encode(), quote(word).encode(), *coded))


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def given(live: LiveConsole, name: str, planted: Planted) -> Iterator[None]:
    """Each kind of secret where it belongs, and some where people put them by mistake."""
    made: list[str] = []

    def give(path: str, body: dict[str, Any], key: str = "id") -> dict[str, Any]:
        answer = live.api("POST", path, body)
        assert answer.status_code == 201, f"{path}: {answer.text}"
        made.append(f"{path}/{answer.json()[key]}")
        return dict(answer.json())

    word, short = planted.word, name.removeprefix("libgo-t-")
    give("/users", {"username": f"u-{short}", "password": word("a password")})
    given_password = planted.words["a password"]
    tokens = live._http.post(
        f"{live.url}/api/v1/auth/login",
        json={"username": f"u-{short}", "password": given_password},
        timeout=30,
    ).json()
    planted.words |= {"an access token": tokens["access"], "a refresh token": tokens["refresh"]}
    give(
        "/docker/registries",
        {"name": short, "url": "registry.example.com", "username": "u", "password": word("a registry's")},
        "name",
    )
    give("/alerts/channels", {"name": short, "kind": "webhook", "url": f"https://x.example/{word('a hook')}"})
    keys = {"access_key": word("an access key"), "secret_key": word("a secret key")}
    give(
        "/backups/targets",
        {
            "name": short,
            "kind": "s3",
            "options": {"bucket": "libgo-t", "endpoint": "https://s3.example"},
            "credentials": keys,
        },
        "name",
    )
    made += _variables(live, name, planted)
    made += _told(live, name, planted)
    _by_mistake(live, planted)
    yield
    for path in reversed(made):
        live.api("DELETE", path)


def _variables(live: LiveConsole, name: str, planted: Planted) -> list[str]:
    """Secrets in variables of containers, by every door that makes or changes one. What is to be deleted
    besides the instance of the name."""
    word, image = planted.word, {"image": "libgo/demo:latest", "network_mode": "none"}

    def done(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = live.api(method, f"{path}?wait=60", body)
        assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    env = {
        "APP_PASSWORD": word("a variable"),
        "DATABASE": f"postgres://app:{word('a password in an address')}@db/app",
    }
    options = {"max-size": "1m", "labels": "x", "env": "y"}
    made = live.create(name, "docker", config={**image, "env": env, "log_options": options})
    changed = {"config": {"env": {**env, "API_TOKEN": word("a variable of a recreate")}}}
    done("POST", f"/docker/containers/{name}/recreate", changed)
    done("POST", f"/compute/instances/{name}/clone", {"name": f"{name}-c"})
    bulk = {"action": "snapshot", "ids": [made["id"]], "options": {}}
    done("POST", "/compute/instances/bulk", bulk)
    body = {"config": {**image, "command": ["sleep", "600"], "env": {"SIGNING_KEY": "${key}"}}}
    parameters = [{"name": "key", "required": True, "secret": True}]
    template = done(
        "POST",
        "/compute/templates",
        {"name": name, "backend": "docker", "body": body, "parameters": parameters},
    )
    wanted = {"name": f"{name}-t", "count": 2, "parameters": {"key": word("a parameter")}}
    done("POST", f"/compute/templates/{template['id']}/instantiate", wanted)
    stack = {"name": f"{name}-s", "compose": _COMPOSE.format(inline=word("a variable in a compose file"))}
    stack["env"] = {"GIVEN_SECRET": word("a variable of a stack")}
    done("POST", "/docker/stacks", stack)
    copies = [f"{name}-c", f"{name}-t-1", f"{name}-t-2"]
    return [
        f"/compute/templates/{template['id']}",
        f"/docker/stacks/{name}-s?volumes=true&wait=60",
        *(f"/compute/instances/{copy}?force=true&wait=60" for copy in copies),
    ]


def _told(live: LiveConsole, name: str, planted: Planted) -> list[str]:
    """Secrets in the texts of cloud-init, and in one that is told anew. What is to be deleted."""
    word = planted.word
    user_data = f"#cloud-config\nchpasswd: {{list: 'root:{word('a password of a guest')}'}}\n"
    key = f"{{x: {{password: '{word('a network key of a guest')}'}}}}"
    network = f"version: 2\nwifis: {{w: {{access-points: {key}}}}}\n"
    config = {
        "image": "libgo-demo",
        "network": "none",
        "cloud_init": {"user_data": user_data, "network_config": network, "hostname": "told"},
    }
    wanted = {"name": f"{name}-v", "backend": "kvm", "config": config, "auto_start": False}
    resources = {"resources": {"memory": {"limit": 192 * 1024**2}}, "labels": {"libgo.test": "live"}}
    answer = live.api("POST", "/compute/instances?wait=60", {**wanted, **resources})
    assert answer.status_code == 201, answer.text
    made = answer.json()["instance"]["id"]
    again = {"user_data": f"#!/bin/sh\nTOKEN={word('a token of a guest told anew')} true\n"}
    answer = live.api("PUT", f"/kvm/vms/{made}/cloud-init?wait=60", again)
    assert answer.status_code in (200, 201), answer.text
    copy = {"name": f"{name}-w", "auto_start": False}
    assert live.api("POST", f"/compute/instances/{made}/clone?wait=60", copy).status_code in (200, 201)
    return [f"/compute/instances/{each}?force=true&wait=60" for each in (f"{name}-v", f"{name}-w")]


def _by_mistake(live: LiveConsole, planted: Planted) -> None:
    """In addresses, in the header that tells where one came from, and as a password that does not fit."""
    word = planted.word
    referrer = f"{live.url}/instances?token={word('a referrer')}"
    for path in ("/api/v1/compute/instances", "/login", "/nowhere"):
        address = f"{live.url}{path}?token={word('an address')}&access={word('an address')}"
        requests.get(address, headers={"Referer": referrer}, timeout=30)
    body = {"username": "admin", "password": word("a wrong password")}
    assert requests.post(f"{live.url}/api/v1/auth/login", json=body, timeout=30).status_code == 401
    headers = {"Authorization": f"Bearer {word('a wrong token')}", "Cookie": f"sessionid={word('a session')}"}
    requests.get(f"{live.url}/api/v1/nodes", headers=headers, timeout=30)


def _database(live: LiveConsole) -> Iterator[tuple[str, bytes]]:
    """As statements of SQL: all that is in it, also what only the log of SQLite holds yet."""
    with contextlib.closing(sqlite3.connect(live.var / "libgo.sqlite3")) as database:
        for line in database.iterdump():
            yield line[:60], line.encode()


def _kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, those of the database too: what was written over or deleted may still lie in them."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()


def _brokered(live: LiveConsole) -> Iterator[tuple[str, bytes]]:
    """Every key of the broker, as it would be carried away."""
    broker = redis.Redis(unix_socket_path=str(live.var / "run" / "broker.sock"))
    for key in broker.keys():
        yield f"broker {key!r}", key + (broker.dump(key) or b"")


@attack(
    "S15 S76",
    "secrets of each kind, variables of containers by each door and cloud-init among them, given to a whole "
    "console; then a dump of its database, its files as they lie on disk, all logs, and the broker",
    refused="nowhere, neither as it is nor encoded",
    audit="not there either",
)
def test_no_secret_stands_in_what_a_console_keeps(
    live: LiveConsole, given: None, planted: Planted, name: str
) -> None:
    places = [*_database(live), *_kept(live.var), *_brokered(live)]
    found = [name for where, content in places for name in planted.found(where, content)]
    assert not found, found
    names = {where.split("/")[0].split(" ")[0] for where, _ in places}
    assert {"logs", "libgo.sqlite3", "libgo.sqlite3-wal", "broker"} <= names, names
    _only_in_the_engine(live, name, planted)


def _only_in_the_engine(live: LiveConsole, name: str, planted: Planted) -> None:
    """Sealed on the way, opened at its end: the containers have what was given, and answers mask it."""
    names = [name, f"{name}-c", f"{name}-t-1", f"{name}-t-2", f"{name}-s-web-1"]
    shown = subprocess.run(["docker", "inspect", *names], check=True, capture_output=True).stdout
    assert {line.split(":")[0] for line in planted.found("", shown)} == {
        "a variable",
        "a password in an address",
        "a variable of a recreate",
        "a parameter",
        "a variable in a compose file",
        "a variable of a stack",
    }
    _only_in_the_seed(live, name, planted)
    for path in ("/compute/instances?page_size=500", f"/docker/containers/{name}", "/operations", "/audit"):
        answer = live.api("GET", path)
        assert answer.status_code == 200 and not planted.found(path, answer.content)


def _only_in_the_seed(live: LiveConsole, name: str, planted: Planted) -> None:
    """What the guest is told lies on its own disk, and the API shows it masked to an administrator even."""
    made = live.get(f"/compute/instances/{name}-v")["id"]
    conn = libvirt.open("qemu:///system")
    try:
        volume = conn.storagePoolLookupByName("default").storageVolLookupByName(f"libgo-vm-{made}-seed.iso")
        told = Path(volume.path()).read_bytes()
    finally:
        conn.close()
    assert "a token of a guest told anew: " in planted.found("", told)
    for path in (f"/kvm/vms/{made}/cloud-init", f"/compute/instances/{made}"):
        answer = live.api("GET", path)
        assert answer.status_code == 200 and not planted.found(path, answer.content), path
