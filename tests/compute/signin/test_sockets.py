"""Sockets are opened by credentials and end with them: tokens, tickets made with one, sessions of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.test import Client as Browser
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import Instance
from compute.services.accounts import password_change
from compute.services.tokens import token_create
from tests.compute import test_sockets as plain
from tests.compute.signin.conftest import BASE, PASSWORD, bearer, token_client

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = "/ws/v1/events"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.sockets._RECHECK_EVERY_S", 0.2)


@pytest.fixture
async def connect(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    monkeypatch.setattr(plain, "APPLICATION", AuthMiddlewareStack(plain.APPLICATION))
    opened: list[plain.Client] = []

    async def _connect(path: str, **options: Any) -> plain.Client:
        client = plain.Client(path, **options)
        opened.append(client)
        return await client.open()

    yield _connect
    for client in opened:
        await client.leave()


@pytest.fixture
async def machine(operator: Actor, fake_node: Any, project: Any) -> Instance:
    return await sync_to_async(Instance.objects.create)(
        node=fake_node,
        project=project,
        name="web",
        type="vm",
        engine_id="e1",
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )


def _token(actor: Actor, *scopes: str) -> tuple[str, str]:
    shape, text = token_create(actor, {"name": "-".join(scopes), "scopes": scopes})
    return shape["id"], text


async def test_a_token_opens_what_its_scope_allows(connect: Any, operator: Actor, machine: Instance) -> None:
    _, read = await sync_to_async(_token)(operator, "read")
    words = ["libgo.v1", f"token.{read}"]
    stats = await connect(f"/ws/v1/instances/{machine.pk}/stats", subprotocols=words)
    assert await stats.is_quiet()
    for what in ("logs", "exec", "console"):
        refused = await connect(f"/ws/v1/instances/{machine.pk}/{what}", subprotocols=words)
        assert await refused.closed_with() == 4403
    bad = await connect(EVENTS, subprotocols=["libgo.v1", f"token.{read}x"])
    assert await bad.closed_with() == 4401
    swapped = await connect(EVENTS, subprotocols=["libgo.v1", f"bearer.{read}"])
    assert await swapped.closed_with() == 4401


async def test_a_ticket_made_with_a_token_reaches_no_further(
    connect: Any, operator: Actor, machine: Instance
) -> None:
    def ticket() -> str:
        _, text = _token(operator, "read")
        return str(token_client(text).post(f"{BASE}/auth/ws-ticket").json()["ticket"])

    given = await sync_to_async(ticket)()
    refused = await connect(f"/ws/v1/instances/{machine.pk}/console?ticket={given}")
    assert await refused.closed_with() == 4403


async def test_a_revoked_token_closes_its_sockets(connect: Any, operator: Actor) -> None:
    token_id, text = await sync_to_async(_token)(operator, "read")
    _, other = await sync_to_async(_token)(operator, "operate")
    open_ = await connect(EVENTS, subprotocols=["libgo.v1", f"token.{text}"])
    stays = await connect(EVENTS, subprotocols=["libgo.v1", f"token.{other}"])
    assert await open_.is_quiet()
    answer = await sync_to_async(token_client(text).delete)(f"{BASE}/profile/tokens/{token_id}")
    assert answer.status_code == 204
    assert await open_.closed_with() == 4401
    assert await stays.is_quiet()


async def test_logging_out_closes_what_the_session_opened(connect: Any, operator: Actor) -> None:
    def log_in() -> dict[str, str]:
        body = {"username": "oscar", "password": PASSWORD}
        return dict(APIClient().post(f"{BASE}/auth/login", body, format="json").json())

    pair, other = await sync_to_async(log_in)(), await sync_to_async(log_in)()
    words = ["libgo.v1", f"bearer.{pair['access']}"]
    by_token = await connect(EVENTS, subprotocols=words)
    ticket = (await sync_to_async(bearer(pair["access"]).post)(f"{BASE}/auth/ws-ticket")).json()["ticket"]
    by_ticket = await connect(f"{EVENTS}?ticket={ticket}")
    stays = await connect(EVENTS, subprotocols=["libgo.v1", f"bearer.{other['access']}"])
    assert await by_ticket.is_quiet()
    client, refresh = bearer(pair["access"]), {"refresh": pair["refresh"]}
    answer = await sync_to_async(client.post)(f"{BASE}/auth/logout", refresh, format="json")
    assert answer.status_code == 204
    assert await by_token.closed_with() == 4401
    assert await by_ticket.closed_with() == 4401
    assert await stays.is_quiet()


@pytest.mark.parametrize("how", ["log out", "password"])
async def test_the_end_of_a_page_session_closes_its_sockets(connect: Any, operator: Actor, how: str) -> None:
    def log_in() -> Browser:
        browser = Browser()
        browser.post("/login", {"username": "oscar", "password": PASSWORD})
        return browser

    browser = await sync_to_async(log_in)()
    cookie = f"sessionid={browser.cookies['sessionid'].value}".encode()
    ours = [(b"origin", b"http://libgo.example"), (b"host", b"libgo.example"), (b"cookie", cookie)]
    socket = await connect(EVENTS, headers=ours)
    assert await socket.is_quiet()
    if how == "log out":
        await sync_to_async(browser.post)("/logout")
    else:
        await sync_to_async(password_change)(operator, PASSWORD, "another long sentence")
    assert await socket.closed_with() == 4401
    assert await (await connect(EVENTS, headers=ours)).closed_with() == 4401
