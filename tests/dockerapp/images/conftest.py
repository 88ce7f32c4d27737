"""A whole console, a name for images of one test, and an operator to try the doors."""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from docker import APIClient
from docker.errors import APIError

from tests.live import PASSWORD, LiveConsole, until

DEMO = "libgo/demo:latest"
As = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def engine(engines: None) -> Iterator[APIClient]:
    """The machine's engine itself, to look behind the console's back."""
    client = APIClient(base_url="unix:///var/run/docker.sock", version="auto")
    yield client
    client.close()


@pytest.fixture
def space(engine: APIClient) -> Iterator[str]:
    """A name space of the test's own, ``default/libgo-t-…``; what is called so goes afterwards."""
    word = f"default/libgo-t-{uuid.uuid4().hex[:8]}"
    yield word
    for row in engine.images():
        for tag in row.get("RepoTags") or []:
            if word in tag:
                with contextlib.suppress(APIError):
                    engine.remove_image(tag, force=True)


@pytest.fixture(scope="module")
def users(live: LiveConsole) -> dict[str, str]:
    """Names of accounts by role: an operator and a viewer of the default project, and the admin."""
    found = {"admin": "admin"}
    for role in ("operator", "viewer"):
        name = f"{role}-{uuid.uuid4().hex[:6]}"
        made = live.api("POST", "/users", {"username": name, "password": PASSWORD})
        assert made.status_code == 201, made.text
        member = live.api("POST", "/projects/default/members", {"user": name, "role": role})
        assert member.status_code in (200, 201), member.text
        found[role] = name
    return found


@pytest.fixture
def ask(live: LiveConsole, users: dict[str, str]) -> As:
    """``ask("operator", "POST", path, body)``; ``data`` sends bytes instead."""

    def send(role: str, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        headers.setdefault("Authorization", f"Bearer {live.token(users[role])}")
        url = f"{live.url}/api/v1/docker{path}"
        return live._http.request(method, url, json=body, headers=headers, timeout=90, **more)

    return send


def context(files: dict[str, bytes]) -> bytes:
    """A build context as tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def ended(live: LiveConsole, operation: dict[str, Any], within_s: float = 30) -> dict[str, Any]:
    """The operation once it is over."""
    until(
        lambda: live.get(f"/operations/{operation['id']}")["finished_at"],
        f"{operation['action']} ends",
        within_s,
    )
    return dict(live.get(f"/operations/{operation['id']}"))


def lines_of(live: LiveConsole, operation: dict[str, Any]) -> list[str]:
    return [row["line"] for row in live.get(f"/operations/{operation['id']}/log")["items"]]
