"""Secrets of every kind are given to a whole console and then looked for in all that it keeps and writes."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sqlite3
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.live import LiveConsole

# The mirror has variables of containers as the engine has them, and so has the operation that made one; every
# answer masks them.
_MIRRORED = ("a variable", "a token in a variable")


class Planted:
    """``word("…")`` makes one more secret, to be found again by where it was given."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def word(self, where: str) -> str:
        return self.words.setdefault(where, f"Canary-{secrets.token_hex(12)}-9")

    def found(self, where: str, text: bytes, *, without: Container[str] = ()) -> list[str]:
        """Those that stand in it, as they are or encoded."""
        words = {name: word for name, word in self.words.items() if name not in without}
        return [f"{name}: {where}" for name, word in words.items() if _stands(word, text)]


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
    env = {"APP_PASSWORD": word("a variable"), "API_TOKEN": word("a token in a variable")}
    live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none", "env": env})
    _by_mistake(live, planted)
    yield
    for path in reversed(made):
        live.api("DELETE", path)


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


def _database(live: LiveConsole) -> list[bytes]:
    """As statements of SQL: all that is in it, also what only the log of SQLite holds yet."""
    with contextlib.closing(sqlite3.connect(live.var / "libgo.sqlite3")) as database:
        return [line.encode() for line in database.iterdump()]


def _kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and "sqlite3" not in path.name:
                yield str(path.relative_to(folder)), path.read_bytes()


@attack(
    "S15 S76",
    "secrets of each kind, given to a whole console, in a dump of its database, all its logs and other files",
    refused="nowhere, neither as it is nor encoded; variables of containers stand in the mirror",
)
def test_no_secret_stands_in_what_a_console_keeps(live: LiveConsole, given: None, planted: Planted) -> None:
    found = [
        name
        for line in _database(live)
        for name in planted.found(line[:60].decode(errors="replace"), line, without=_MIRRORED)
    ]
    for name, content in _kept(live.var):
        found += planted.found(name, content)
    assert not found, found
    assert any(name.startswith("logs/") for name, _ in _kept(live.var))
