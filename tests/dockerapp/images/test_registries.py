"""Registries with accounts: who may use them, where their passwords go, and where they never are."""

from __future__ import annotations

import io
import os
import sqlite3
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from docker import APIClient

from compute.backends.types import NodeConfig
from compute.errors import BackendError, ImageNotFound, OperationCancelled
from dockerapp.backend import DockerBackend
from dockerapp.credentials import Credentials
from tests.attacks.catalogue import attack
from tests.dockerapp.conftest import REGISTRY_USER
from tests.dockerapp.images.conftest import DEMO, As, context, ended, lines_of
from tests.live import LiveConsole, until
from tests.reporter import MemoryReporter

USER, PASSWORD = REGISTRY_USER
_MIB = 1024**2


@pytest.fixture
def account(ask: As, guarded_registry: str) -> Iterator[dict[str, Any]]:
    """The guarded registry, known to the console."""
    name = f"t-{uuid.uuid4().hex[:6]}"
    body = {"name": name, "url": f"http://{guarded_registry}/", "username": USER, "password": PASSWORD}
    made = ask("admin", "POST", "/registries", body)
    assert made.status_code == 201, made.text
    yield made.json()
    assert ask("admin", "DELETE", f"/registries/{name}").status_code in (204, 404)


@pytest.fixture(scope="module")
def large(engine: APIClient, registry: str) -> Iterator[str]:
    """An image that only the registry has: three layers that do not compress."""
    name = f"{registry}/libgo-t-large:1"
    letters = "abc"
    files = {letter: os.urandom(20 * _MIB) for letter in letters}
    files["Dockerfile"] = "\n".join(["FROM scratch", *[f"COPY {x} /{x}" for x in letters]]).encode()
    made = engine.build(
        fileobj=io.BytesIO(context(files)), custom_context=True, tag=name, rm=True, decode=True
    )
    assert not [event for event in made if "error" in event]
    report = MemoryReporter()
    backend = DockerBackend(NodeConfig("t-large", "docker", "docker", "unix:///var/run/docker.sock"))
    assert backend.images.push(name, report)["size_bytes"] > 0
    backend.close()
    _steady(report)
    engine.remove_image(name)
    yield name
    if engine.images(name=name):
        engine.remove_image(name, force=True)


def _steady(report: MemoryReporter) -> None:
    assert report.percents == sorted(report.percents) and report.percents[-1] <= 99
    assert [percent for percent in report.percents if 5 < percent < 95], f"no steps: {report.percents}"


def test_an_account_is_kept_but_never_told(ask: As, account: dict[str, Any], guarded_registry: str) -> None:
    assert account["url"] == guarded_registry and account["has_password"] and "password" not in account
    shown = ask("viewer", "GET", f"/registries/{account['id']}")
    assert shown.status_code == 200 and PASSWORD not in shown.text
    assert PASSWORD not in ask("admin", "GET", "/registries").text
    for role in ("viewer", "operator"):
        assert ask(role, "POST", "/registries", {"name": "x", "url": "x.io"}).status_code == 403
        assert ask(role, "PUT", f"/registries/{account['id']}", {"url": "evil.example"}).status_code == 403
        assert ask(role, "POST", f"/registries/{account['id']}/test").status_code == 403
        assert ask(role, "DELETE", f"/registries/{account['id']}").status_code == 403
    again = ask("admin", "POST", "/registries", {"name": account["name"], "url": "x.io"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "NAME_CONFLICT")
    for body in ({"name": "x"}, {"name": "x", "url": "a b"}, {"name": "x", "url": "x.io", "password": "p"}):
        assert ask("admin", "POST", "/registries", body).status_code == 400, body


def test_the_test_tells_a_wrong_password_from_an_absent_registry(ask: As, account: dict[str, Any]) -> None:
    path = f"/registries/{account['id']}"
    good = ask("admin", "POST", f"{path}/test").json()
    assert good["ok"] is True and USER in good["message"], good
    ask("admin", "PUT", path, {"password": "wrong"})
    wrong = ask("admin", "POST", f"{path}/test").json()
    assert wrong["ok"] is False and "refuses this user name and password" in wrong["message"], wrong
    moved = ask("admin", "PUT", path, {"url": "127.0.0.1:1"}).json()
    assert moved["has_password"] is False, "a password is not carried to another registry"
    away = ask("admin", "POST", f"{path}/test").json()
    assert away["ok"] is False and "cannot reach" in away["message"], away


@attack(
    "S71 S76",
    "the password of a registry: in answers, database and logs after pulls and pushes, and sent to a "
    "registry at another address by its account's name",
    refused="nowhere; 400",
    audit="it does not hold the password either",
)
def test_pull_and_push_use_it_by_host_and_by_name_and_nobody_finds_it(
    ask: As, account: dict[str, Any], guarded_registry: str, space: str, live: LiveConsole, engine: APIClient
) -> None:
    name = f"{guarded_registry}/{space}/app:1"
    ask("operator", "POST", f"/images/{DEMO}/tag", {"repository": name})
    pushed = ask("operator", "POST", "/images/push?wait=60", {"image": name})
    assert pushed.status_code == 200 and pushed.json()["operation"]["result"]["digest"].startswith("sha256:")
    engine.remove_image(name)
    pulled = ask("operator", "POST", "/images/pull?wait=60", {"image": name.removesuffix(":1"), "tag": "1"})
    assert pulled.status_code == 200, pulled.text
    assert name in pulled.json()["operation"]["result"]["image"]["tags"]
    assert ask("viewer", "GET", f"/images/{name}/history").json()["items"]
    engine.remove_image(name)
    by_name = {"image": f"{space}/app:1", "registry": account["name"]}
    again = ask("operator", "POST", "/images/pull?wait=60", by_name)
    assert again.status_code == 200 and again.json()["operation"]["target"] == name, again.text
    digest = pushed.json()["operation"]["result"]["digest"]
    pinned = {"image": f"{guarded_registry}/{space}/app@{digest}"}
    assert ask("operator", "POST", "/images/pull?wait=60", pinned).status_code == 200
    elsewhere = {"image": "other.example/x", "registry": account["id"]}
    assert ask("operator", "POST", "/images/pull", elsewhere).status_code == 400
    assert ask("operator", "POST", "/images/pull", {"image": "x", "registry": "nobody"}).status_code == 404
    foreign = ask("operator", "POST", "/images/push", {"image": f"{guarded_registry}/nginx:1"})
    assert foreign.json()["error"]["details"]["rule"] == "image_name_space"
    log = "\n".join(lines_of(live, pulled.json()["operation"]))
    assert f"Logged in at {guarded_registry}" in log and PASSWORD not in log
    assert PASSWORD not in ask("admin", "GET", "/registries").text + again.text
    assert PASSWORD not in live.api("GET", "/audit?page_size=500").text
    _nowhere(live, PASSWORD)


def _nowhere(live: LiveConsole, secret: str) -> None:
    """Neither in the database nor in the logs of any process."""
    with sqlite3.connect(f"file:{live.var}/libgo.sqlite3?mode=ro", uri=True) as database:
        dump = "\n".join(database.iterdump())
    assert "dockerapp_registry" in dump and secret not in dump
    for file in (live.var / "logs").glob("*.log"):
        assert secret not in file.read_text(errors="replace"), file.name


def test_an_instance_is_made_of_a_guarded_image(
    ask: As,
    account: dict[str, Any],
    guarded_registry: str,
    space: str,
    live: LiveConsole,
    engine: APIClient,
    name: str,
) -> None:
    image = f"{guarded_registry}/{space}/base:1"
    ask("admin", "POST", f"/images/{DEMO}/tag", {"repository": image})
    assert ask("admin", "POST", "/images/push?wait=60", {"image": image}).status_code == 200
    engine.remove_image(image)
    config = {"image": f"{space}/base:1", "registry": account["name"], "network_mode": "none"}
    made = live.create(name, "docker", config=config)
    assert made["image"] == image and made["state"] == "running"


def test_without_an_account_a_guarded_registry_says_so(ask: As, guarded_registry: str, space: str) -> None:
    refused = ask("operator", "POST", "/images/pull?wait=60", {"image": f"{guarded_registry}/{space}/x:1"})
    assert refused.status_code == 502 and "user name and the password" in refused.json()["error"]["message"]


def test_a_build_pulls_its_base_with_the_account(
    ask: As, account: dict[str, Any], guarded_registry: str, space: str, engine: APIClient
) -> None:
    base = f"{guarded_registry}/{space}/base:1"
    ask("admin", "POST", f"/images/{DEMO}/tag", {"repository": base})
    assert ask("admin", "POST", "/images/push?wait=60", {"image": base}).status_code == 200
    engine.remove_image(base)
    body = {"tag": f"{space}/built:1", "dockerfile": f"FROM {base}\nENV a=1\n", "pull": True}
    assert ask("operator", "POST", "/images/build?wait=60", body).status_code == 200


def test_a_cancelled_pull_by_api_leaves_no_image(
    ask: As, large: str, live: LiveConsole, engine: APIClient
) -> None:
    operation = ask("operator", "POST", "/images/pull", {"image": large}).json()["operation"]
    until(lambda: live.get(f"/operations/{operation['id']}")["progress"] > 0, "the pull has begun", 20)
    assert live.api("DELETE", f"/operations/{operation['id']}").status_code == 200
    assert ended(live, operation)["state"] == "cancelled"
    assert ask("admin", "GET", f"/images/{large}").status_code == 404
    assert engine.images(name=large) == []


# -- below the console: progress, and what the engine does not tell by itself ------------------


def test_pulls_move_steadily_and_leave_nothing_when_they_are_given_up(
    backend: DockerBackend, large: str, engine: APIClient
) -> None:
    half = MemoryReporter()
    half.cancel_at = 30
    with pytest.raises(OperationCancelled):
        backend.images.pull(large, half)
    assert engine.images(name=large) == []
    with pytest.raises(ImageNotFound, match="linux/arm64"):
        backend.images.pull(large, MemoryReporter(), platform="linux/arm64")
    assert engine.images(name=large) == [], "what is of another platform does not stay"
    whole = MemoryReporter()
    backend.images.pull(large, whole)
    _steady(whole)
    assert any("Pull complete" in line for line in whole.lines)
    engine.remove_image(large)


def test_an_account_that_is_wrong_is_refused_by_the_registry(
    backend: DockerBackend, guarded_registry: str
) -> None:
    known = Credentials(guarded_registry, USER, PASSWORD)
    assert PASSWORD not in repr(known)
    assert "Succeeded" in backend.images.log_in(known)
    with pytest.raises(BackendError, match="refuses"):
        backend.images.log_in(Credentials(guarded_registry, USER, "wrong"))
    assert requests.get(f"http://{guarded_registry}/v2/", timeout=2).status_code == 401
