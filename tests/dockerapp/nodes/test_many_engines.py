"""Two engines in one console, one of them behind certificates: what is told apart, kept, and kept secret."""

from __future__ import annotations

import os
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import OVER, Authority
from tests.dockerapp.scripted import ScriptedEngine
from tests.engines import TlsEngine
from tests.live import LiveConsole, until

CONFIG = {"image": "libgo/demo:latest", "network_mode": "none"}


@pytest.fixture(scope="module")
def node(live: LiveConsole, far: TlsEngine, authority: Authority) -> Iterator[str]:
    """The name of the node behind TLS."""
    name = f"far-{os.getpid()}"
    tls = authority.texts("libgo")
    made = live.api("POST", "/nodes", {"name": name, "backend": "docker", "url": far.tls_url, "tls": tls})
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "online" and made.json()["version"] and not made.json()["insecure"]
    assert "BEGIN" not in made.text
    yield name
    live.api("DELETE", f"/nodes/{name}")


def _tried(live: LiveConsole, url: str, tls: dict[str, Any] | None) -> dict[str, Any]:
    body = {"backend": "docker", "url": url} | ({"tls": tls} if tls is not None else {})
    answer = live.api("POST", "/nodes/test", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
def impostors(tmp_path: Path) -> Iterator[dict[str, ScriptedEngine]]:
    """Engines of a trusted authority whose own certificates are wrong."""
    authority = Authority(tmp_path / "impostors")
    engines = {}
    for name, more in (("old", {"valid": OVER}), ("misnamed", {"address": "10.9.8.7"})):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(name, **more))  # type: ignore[arg-type]
        engines[name] = ScriptedEngine(None, context)
    engines["ca"] = authority  # type: ignore[assignment]
    yield engines
    for name in ("old", "misnamed"):
        engines[name].stop()


def test_each_cause_has_its_own_words(
    live: LiveConsole,
    far: TlsEngine,
    authority: Authority,
    elsewhere: Authority,
    impostors: dict[str, Any],
) -> None:
    good = authority.texts("causes")
    ca = Path(impostors["ca"].ca).read_text()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    plain = ScriptedEngine(None)  # speaks no TLS
    cases = {
        "tls_authority": (far.tls_url, {**good, "ca": Path(elsewhere.ca).read_text()}),
        "tls_expired": (impostors["old"].url, {"ca": ca}),
        "tls_hostname": (impostors["misnamed"].url, {"ca": ca}),
        "tls_client": (far.tls_url, {"ca": good["ca"]}),
        "refused": (f"tcp://127.0.0.1:{free}", good),
        "not_tls": (plain.url, good),
        "wants_tls": (far.tls_url, None),
        "dns": ("tcp://nowhere.invalid:2376", good),
    }
    said = {word: _tried(live, *case) for word, case in cases.items()}
    plain.stop()
    assert {word: answer["reason"] for word, answer in said.items()} == {word: word for word in cases}
    assert len({answer["message"] for answer in said.values()}) == len(cases), "no two say the same"
    stranger = {**elsewhere.texts("stranger"), "ca": good["ca"]}
    assert _tried(live, far.tls_url, stranger)["reason"] == "tls_client"
    refused = live.api(
        "POST", "/nodes", {"name": "never", "backend": "docker", "url": far.tls_url, "tls": {"ca": ca}}
    )
    assert refused.status_code == 503 and refused.json()["error"]["details"]["reason"] == "tls_authority"
    assert "never" not in [row["name"] for row in live.get("/nodes")["items"]]


def test_both_in_one_list_and_what_is_made_goes_where_it_was_asked(live: LiveConsole, node: str) -> None:
    here, there = f"libgo-t-h{os.getpid()}", f"libgo-t-f{os.getpid()}"
    live.create(here, "docker", node="local-docker", config=CONFIG)
    live.create(there, "docker", node=node, config=CONFIG)
    shown = {row["name"]: row for row in live.get("/compute/instances?page_size=500")["instances"]}
    assert (shown[here]["node"]["name"], shown[there]["node"]["name"]) == ("local-docker", node)
    assert {shown[here]["state"], shown[there]["state"]} == {"running"}
    until(lambda: "CONTAINER UP" in live.get(f"/compute/instances/{there}/logs")["text"], "its log", 10)
    assert live.get(f"/compute/instances/{there}/usage")["memory_bytes"] > 0, "measured there"


def test_credentials_are_rotated_only_for_such_as_open(
    live: LiveConsole, node: str, authority: Authority, elsewhere: Authority
) -> None:
    wrong = elsewhere.texts("wrong")
    refused = live.api("PUT", f"/nodes/{node}", {"tls": {"cert": wrong["cert"], "key": wrong["key"]}})
    assert refused.status_code == 503, refused.text
    fresh = authority.texts("fresh")
    done = live.api("PUT", f"/nodes/{node}", {"tls": {"cert": fresh["cert"], "key": fresh["key"]}})
    assert done.status_code == 200 and live.api("POST", f"/nodes/{node}/test").json()["ok"] is True


def test_nothing_that_opens_it_lies_about(live: LiveConsole, node: str) -> None:
    """Not in a dump of the database, not in what the API tells, not in a log or another file."""
    with sqlite3.connect(live.var / "libgo.sqlite3") as database:
        dump = "\n".join(database.iterdump())
    assert node in dump
    for mark in ("PRIVATE KEY", "BEGIN CERTIFICATE", "MIGHAgEA"):
        assert mark not in dump
    for path in (f"/nodes/{node}", "/nodes", "/events?limit=500", "/operations", "/compute/cluster/status"):
        assert "BEGIN" not in live.api("GET", path).text
    until(lambda: not _files_with_keys(live.var), "no file holds a key", 15)


def _files_with_keys(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


def test_when_one_engine_is_killed_only_its_instances_are_stale(
    live: LiveConsole, node: str, far: TlsEngine
) -> None:
    here, there = f"libgo-t-h{os.getpid()}", f"libgo-t-f{os.getpid()}"
    far.kill()
    until(lambda: live.get(f"/nodes/{node}")["status"] == "unreachable", "it is noticed", 10)
    until(lambda: "was refused" in live.get(f"/nodes/{node}")["error"], "the node says why", 10)
    assert live.get(f"/compute/instances/{there}")["stale"] is True
    assert live.get(f"/compute/instances/{here}")["stale"] is False
    assert live.get("/nodes/local-docker")["status"] == "online"
    live.api("DELETE", f"/compute/instances/{here}?force=true&wait=60")
