"""An engine behind ssh, from the question for its host key to its containers' shells."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.attacks.catalogue import attack
from tests.engines import SshServer, TlsEngine
from tests.live import LiveConsole, strain, until

CONFIG = {"image": "libgo/demo:latest", "network_mode": "none"}


def _draft(far: TlsEngine, sshd: SshServer, **ssh: Any) -> dict[str, Any]:
    url = f"ssh://root@127.0.0.1:{sshd.port}{far.socket}"
    return {"backend": "docker", "url": url, "ssh": {"key": sshd.key, **ssh}}


def _tried(live: LiveConsole, draft: dict[str, Any]) -> dict[str, Any]:
    answer = live.api("POST", "/nodes/test", draft)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
def node(live: LiveConsole, far: TlsEngine, sshd: SshServer) -> Iterator[str]:
    name = f"ssh-{os.getpid()}"
    body = {"name": name, **_draft(far, sshd, host_key=sshd.host_key)}
    made = live.api("POST", "/nodes", body)
    assert made.status_code == 201, made.text
    assert "PRIVATE" not in made.text
    yield name
    live.api("DELETE", f"/nodes/{name}")


def test_an_unknown_host_is_shown_and_not_trusted(live: LiveConsole, far: TlsEngine, sshd: SshServer) -> None:
    asked = _tried(live, _draft(far, sshd))
    assert not asked["ok"] and asked["reason"] == "ssh_host_key_unknown"
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.folder / "host.pub")], capture_output=True, text=True, check=True
    ).stdout
    assert asked["host_key"]["fingerprint"] in shown and asked["host_key"]["fingerprint"] in asked["message"]
    assert _tried(live, _draft(far, sshd, host_key=asked["host_key"]["key"]))["ok"] is True


def test_each_cause_has_its_own_words(live: LiveConsole, far: TlsEngine, sshd: SshServer) -> None:
    good = _draft(far, sshd, host_key=sshd.host_key)
    host = (sshd.folder / "host").read_text()
    cases = {
        "ssh_auth": {**good, "ssh": {**good["ssh"], "key": host}},
        "ssh_host_key_changed": _draft(far, sshd, host_key=sshd.public("client")),
        "ssh_socket": {**good, "url": f"ssh://root@127.0.0.1:{sshd.port}/run/absent.sock"},
        "refused": {**good, "url": f"ssh://root@127.0.0.1:1{far.socket}"},
        "dns": {**good, "url": f"ssh://root@nowhere.invalid{far.socket}"},
    }
    said = {word: _tried(live, draft) for word, draft in cases.items()}
    assert {word: answer["reason"] for word, answer in said.items()} == {word: word for word in cases}
    known = _tried(live, _draft(far, sshd, known_hosts=f"[127.0.0.1]:{sshd.port} {sshd.host_key}"))
    assert known["ok"] is True, known["message"]


def test_a_container_is_made_followed_and_entered(live: LiveConsole, node: str) -> None:
    name = f"libgo-t-x{os.getpid()}"
    row = live.create(name, "docker", node=node, config=CONFIG)
    try:
        with _socket(live, f"/ws/v1/instances/{row['id']}/logs?tail=10") as logs:
            assert "CONTAINER UP" in _heard(logs, "CONTAINER UP")
        with _socket(live, f"/ws/v1/instances/{row['id']}/exec") as shell:
            shell.send(b"echo $((6*7))-there\n")
            assert "42-there" in _heard(shell, "42-there")
        assert live.get(f"/compute/instances/{name}/usage")["memory_bytes"] > 0
        assert live.api("PUT", f"/compute/instances/{name}/stop?wait=60", {"timeout": 5}).status_code == 200
        until(lambda: live.shown(name)["state"] == "stopped", "its events come over", 5)  # type: ignore[index]
    finally:
        live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


def test_the_private_files_are_private_and_hold_no_key_once_logged_in(live: LiveConsole, node: str) -> None:
    folder = live.var / "run" / "nodes"
    assert folder.stat().st_mode & 0o777 == 0o700
    sockets = [path for path in folder.rglob("s") if path.is_socket()]
    assert sockets, "each process that speaks to it has a forwarder"
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    assert not list(folder.rglob("key"))


def test_a_lost_line_is_noticed_and_mended(live: LiveConsole, node: str, sshd: SshServer) -> None:
    sshd.stop()
    until(lambda: live.get(f"/nodes/{node}")["status"] == "unreachable", "the loss is noticed", 10)
    until(lambda: "refused" in live.get(f"/nodes/{node}")["error"], "the node says why", 10)
    sshd.start()
    until(lambda: live.get(f"/nodes/{node}")["status"] == "online", "it is back", 15)


@attack("S74", "another host key at a known address", refused="refused, with an alarm")
def test_another_host_key_later_is_an_alarm(live: LiveConsole, node: str, sshd: SshServer) -> None:
    """The new key must be confirmed before anything goes there again."""
    sshd.stop()
    fresh = sshd.renew()
    sshd.start()
    until(lambda: "not the one that was confirmed" in live.get(f"/nodes/{node}")["error"], "the alarm", 15)
    kept = live.api("PUT", f"/nodes/{node}", {"ssh": {"host_key": fresh}})
    assert kept.status_code == 200 and kept.json()["status"] == "online", kept.text


def test_a_forwarder_ends_with_its_process(live: LiveConsole, node: str) -> None:
    until(lambda: _forwarders(live), "forwarders run", 10)
    before = _forwarders(live)
    live.kill("watcher")
    until(lambda: len(_forwarders(live) & before) < len(before), "one has ended with the watcher", 5)
    until(lambda: live.get(f"/nodes/{node}")["status"] == "online", "the next watcher has its own", 15)


def _forwarders(live: LiveConsole) -> set[int]:
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ssh\0") and str(live.var).encode() in command:
                found.add(int(folder.name))
    return found


def _socket(live: LiveConsole, path: str) -> ClientConnection:
    address = live.url.replace("http://", "ws://")
    token = live.log_in()
    return connect(f"{address}{path}", subprotocols=["libgo.v1", f"bearer.{token}"], open_timeout=10)  # type: ignore[list-item]


def _heard(connection: ClientConnection, words: str) -> str:
    said, deadline = "", time.monotonic() + 15 * strain()
    while words not in said:
        assert time.monotonic() < deadline, f"heard only {said!r}"
        piece = connection.recv(timeout=15)
        said += piece.decode(errors="replace") if isinstance(piece, bytes) else json.dumps(json.loads(piece))
    return said
