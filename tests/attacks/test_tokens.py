"""Forged, altered, exchanged and stolen words: what opens LibGo, and what only looks like it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.live import ticket_issue
from compute.models import AuditEvent, Instance, SignIn, User
from compute.services import accounts
from compute.states import Outcome
from libgo_site.asgi import websocket_urlpatterns
from tests.attacks.catalogue import attack

BASE = "/api/v1"
PASSWORD = "correct horse battery"


def _pair(username: str) -> accounts.TokenPair:
    answer = APIClient().post(
        f"{BASE}/auth/login", {"username": username, "password": PASSWORD}, format="json"
    )
    assert answer.status_code == 200, answer.content
    told, user = answer.json(), User.objects.get(username=username)
    return accounts.TokenPair(told["access"], told["refresh"], told["expires_at"], user)


def _profile(word: str, scheme: str = "Bearer") -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {word}")
    return int(client.get(f"{BASE}/profile").status_code)


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def _none(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none")


def _signed(claims: dict[str, Any], algorithm: str = "HS256", key: str = "", **header: Any) -> str:
    return jwt.encode(claims, key or settings.SECRET_KEY, algorithm=algorithm, headers=header or None)


def _edited(token: str) -> str:
    head, _, tail = token.split(".")
    claims = {**_claims(token), "ver": 1, "role": "admin"}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{tail}"


_WRONG_KEY = "another key of the length that the algorithm asks for"
FORGED: dict[str, Callable[[str], str]] = {
    "no algorithm": lambda token: _none(_claims(token)),
    "no signature": lambda token: token.rpartition(".")[0] + ".",
    "another algorithm": lambda token: _signed(_claims(token), "HS384"),
    "another key": lambda token: _signed(_claims(token), key=_WRONG_KEY),
    "a key named by the token": lambda token: _signed(_claims(token), key=_WRONG_KEY, kid="../../dev/null"),
    "edited claims": _edited,
    "over": lambda token: _signed({**_claims(token), "exp": int(time.time()) - 120}),
    "without an end": lambda token: _signed({k: v for k, v in _claims(token).items() if k != "exp"}),
    "without an id": lambda token: _signed({k: v for k, v in _claims(token).items() if k != "jti"}),
    "without a session": lambda token: _signed({k: v for k, v in _claims(token).items() if k != "fam"}),
    "of an older password": lambda token: _signed({**_claims(token), "ver": -1}),
    "of nobody": lambda token: _signed({**_claims(token), "user_id": str(uuid.uuid4())}),
    "of another kind": lambda token: _signed({**_claims(token), "token_type": "refresh"}),
    "an id that is none": lambda token: _signed({**_claims(token), "user_id": "1 OR 1=1"}),
}


@attack("S09", "access tokens that are forged, altered, over or incomplete", refused="401 for each")
@pytest.mark.django_db
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_access_token_opens_nothing(admin: Actor, forge: Callable[[str], str]) -> None:
    good = _pair("ada").access
    assert _profile(good) == 200, "the forgery begins with one that holds"
    assert _profile(forge(good)) == 401


@attack(
    "S10",
    "each kind of token in the place of each other",
    refused="401 for each, 400 where its form is wrong already",
)
@pytest.mark.django_db
def test_no_token_stands_for_another(admin: Actor) -> None:
    pair = _pair("ada")
    ticket = ticket_issue({"user": str(admin.user_id)})
    for word in (pair.refresh, ticket):
        assert (_profile(word), _profile(word, "Token")) == (401, 401)
    assert _profile(pair.access, "Token") == 401
    for word in (pair.access, ticket):
        answer = APIClient().post(f"{BASE}/auth/refresh", {"refresh": word}, format="json")
        assert answer.status_code in (400, 401), answer.content
    assert _profile(pair.access) == 200


@attack(
    "S12",
    "a refresh token that was used already, by whoever stole it",
    refused="401; thief and owner are out",
    audit="a row auth.refresh_reused, refused",
)
@pytest.mark.django_db
def test_the_reuse_of_a_refresh_token_is_told(admin: Actor) -> None:
    stolen = _pair("ada").refresh
    again = {"refresh": stolen}
    owner = APIClient().post(f"{BASE}/auth/refresh", again, format="json")
    thief = APIClient(REMOTE_ADDR="192.0.2.66", HTTP_X_REQUEST_ID="stolen-1").post(
        f"{BASE}/auth/refresh", again, format="json"
    )
    assert (owner.status_code, thief.status_code) == (200, 401)
    assert _profile(owner.json()["access"]) == 401
    row = AuditEvent.objects.get(action="auth.refresh_reused")
    assert (row.result, row.username) == ("refused", "ada")
    assert (row.remote_address, row.request_id) == ("192.0.2.66", "stolen-1"), "where the thief sits"


@attack(
    "S19",
    "a session known before the login, used after it",
    refused="the session has a new id; the old is nobody",
)
@pytest.mark.django_db
def test_a_planted_session_is_not_logged_in(admin: Actor) -> None:
    victim, thief = Client(), Client()
    victim.get("/login")
    session = victim.session
    session["planted"] = True
    session.save()
    victim.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert victim.post("/login", {"username": "ada", "password": PASSWORD}).status_code == 302
    cookie = victim.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie.value != session.session_key
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert victim.get("/").status_code == 200
    thief.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert thief.get("/")["Location"].startswith("/login")
    taken = cookie.value
    victim.post("/logout")
    thief.cookies[settings.SESSION_COOKIE_NAME] = taken
    assert thief.get("/")["Location"].startswith("/login"), "what was logged out is gone on the server, too"
    assert SignIn.objects.get().ended_at is not None


@attack(
    "S17",
    "POST, PUT and DELETE with the session's cookie from another site",
    refused="403, or 400 where it is no JSON; nothing is done",
)
@pytest.mark.django_db
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"]
)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example"])
def test_another_site_cannot_use_the_cookie(admin: Actor, content_type: str, origin: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="ada"))
    token = client.get("/").cookies["csrftoken"].value
    body = '{"username": "mallory", "password": "a long password of hers"}'
    for method, path in (
        ("POST", "/api/v1/users"),
        ("PUT", "/api/v1/profile"),
        ("DELETE", "/api/v1/profile/tokens/x"),
    ):
        for headers in ({}, {"x-csrftoken": token, "origin": origin}):
            answer = client.generic(method, path, body, content_type=content_type, headers=headers)
            refused = (403, 405) if content_type == "application/json" else (400, 403, 405)
            assert answer.status_code in refused, f"{method} {headers}: {answer.status_code}"
    assert (
        client.post(
            "/login", {"username": "ada", "password": PASSWORD}, headers={"origin": origin}
        ).status_code
        == 403
    )
    assert client.post("/logout", headers={"origin": origin}).status_code == 403
    assert not User.objects.filter(username="mallory").exists()


_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "localhost:1@evil.example",
    "localhost/../evil",
    "127.0.0.2",
]


@attack("S07", "a foreign Host header", refused="400, and no address is made of it")
@pytest.mark.django_db
@pytest.mark.parametrize("host", _HOSTS)
def test_a_foreign_host_is_refused(host: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    for path in ("/login", "/api/v1/profile"):
        answer = Client(raise_request_exception=False).get(path, headers={"host": host})
        assert answer.status_code == 400 and "evil" not in answer.content.decode(), path


@attack("S07", "a way back after the login that leads elsewhere", refused="it leads to the dashboard")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "way",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "///evil.example",
        "javascript:alert(1)",
        "\t//evil.example",
    ],
)
def test_the_way_back_stays_here(admin: Actor, way: str) -> None:
    answer = Client().post("/login", {"username": "ada", "password": PASSWORD, "next": way})
    assert answer.status_code == 302 and answer["Location"] == "/"


@attack(
    "S08",
    "a new password without the current one, a weak one, the same one",
    refused="400 or 401; the old one holds",
    audit="no row that it was changed",
)
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("wrong", "another long sentence"),
        ("", "another long sentence"),
        (PASSWORD, "short"),
        (PASSWORD, "password123"),
        (PASSWORD, PASSWORD),
    ],
)
def test_a_password_is_not_changed_so(admin: Actor, old: str, new: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {_pair('ada').access}")
    body = {"old_password": old, "new_password": new}
    answer = client.put(f"{BASE}/profile/password", body, format="json")
    assert answer.status_code in (400, 401, 403), answer.content
    assert not AuditEvent.objects.filter(action="profile.password", outcome="ok").exists()
    assert User.objects.get(username="ada").check_password(PASSWORD)


_ORIGINS = [
    b"https://evil.example",
    b"null",
    b"http://libgo.example.evil.example",
    b"http://evil-libgo.example",
    b"http://libgo.example@evil.example",
    b"http://libgo.example:8001",
    b"libgo.example",
    b"",
]


async def _close_code(path: str, headers: list[tuple[bytes, bytes]], user: User | None = None) -> int:
    """Of a socket; 0 when it stays open."""
    route, _, query = path.partition("?")
    scope = {
        "type": "websocket",
        "path": route,
        "query_string": query.encode(),
        "headers": headers,
        "subprotocols": [],
        "user": user,
        "session": None,
    }
    app = ApplicationCommunicator(URLRouter(websocket_urlpatterns), scope)
    await app.send_input({"type": "websocket.connect"})
    try:
        while True:
            message = await app.receive_output(1)
            if message["type"] == "websocket.close":
                return int(message["code"])
    except TimeoutError:
        return 0
    finally:
        if not app.future.done():
            await app.send_input({"type": "websocket.disconnect", "code": 1000})
            await app.wait(3)


@attack(
    "S21",
    "a socket with the session's cookie from other sites, and from names that only look like ours",
    refused="closed with 4401",
)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("origin", _ORIGINS, ids=repr)
async def test_no_other_site_opens_a_socket_with_the_cookie(admin: Actor, origin: bytes) -> None:
    user = await User.objects.aget(pk=admin.user_id)
    headers = [(b"host", b"libgo.example"), *([(b"origin", origin)] if origin else [])]
    assert await _close_code("/ws/v1/events", headers, user) == 4401


@attack(
    "S22",
    "one ticket in 50 sockets at one moment, and in another after its time",
    refused="exactly one opens",
)
@pytest.mark.django_db(transaction=True)
async def test_a_ticket_opens_one_of_many_at_once(admin: Actor) -> None:
    ticket = await sync_to_async(ticket_issue)({"user": str(admin.user_id)})
    path = f"/ws/v1/events?ticket={ticket}"
    codes = await asyncio.gather(*(_close_code(path, [(b"host", b"libgo.example")]) for _ in range(50)))
    assert sorted(codes) == [0] + [4401] * 49
    assert await _close_code("/ws/v1/events?ticket=../../x", []) == 4401


@attack(
    "S22 S23",
    "a good ticket for a socket that its maker may not open, and one of an account that is off by then",
    refused="closed with 4403, 4404 and 4401; the ticket is spent",
    audit="a row with the outcome refused for the viewer",
)
@pytest.mark.django_db(transaction=True)
async def test_a_ticket_opens_no_more_than_its_maker_may(
    admin: Actor,
    viewer: Actor,
    stranger: Actor,
    operator: Actor,
    fake_node: Any,
    make: Callable[..., Instance],
) -> None:
    row = await sync_to_async(make)("web")
    path, host = f"/ws/v1/instances/{row.pk}/exec", [(b"host", b"libgo.example")]

    async def code(actor: Actor, *, is_off: bool = False) -> tuple[int, int]:
        """Of the socket, and of another by the same ticket."""
        ticket = (await sync_to_async(accounts.ws_ticket)(actor))["ticket"]
        if is_off:
            change = {"is_active": False}
            await sync_to_async(accounts.user_update)(admin, str(actor.user_id), change)
        first = await _close_code(f"{path}?ticket={ticket}", host)
        return first, await _close_code(f"/ws/v1/events?ticket={ticket}", host)

    assert await code(viewer) == (4403, 4401)
    assert await code(stranger) == (4404, 4401)
    assert await code(operator, is_off=True) == (4401, 4401)
    rows = AuditEvent.objects.filter(outcome=Outcome.REFUSED.value)
    assert [each.username async for each in rows] == ["vera"]


@attack("S14", "tokens of an account that was switched off or deleted", refused="401 at once")
@pytest.mark.django_db
@pytest.mark.parametrize("end", ["off", "gone"])
def test_an_account_that_ended_opens_nothing(admin: Actor, operator: Actor, end: str) -> None:
    pair = _pair("oscar")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    made = client.post(f"{BASE}/profile/tokens", {"name": "ci", "scopes": ["read"]}, format="json").json()
    page = Client()
    page.force_login(User.objects.get(pk=operator.user_id))
    assert page.get("/").status_code == 200
    if end == "off":
        accounts.user_update(admin, str(operator.user_id), {"is_active": False})
    else:
        accounts.user_delete(admin, str(operator.user_id))
    assert (_profile(pair.access), _profile(made["token"], "Token")) == (401, 401)
    assert (
        APIClient().post(f"{BASE}/auth/refresh", {"refresh": pair.refresh}, format="json").status_code == 401
    )
    assert page.get("/").status_code == 302


@attack(
    "S06",
    "setting up, restoring or registering before or beside the owner",
    refused="there is no such way: 404 or 401",
)
@pytest.mark.django_db
@pytest.mark.parametrize(
    "word", ["setup", "install", "register", "signup", "restore", "init", "wizard", "auth/register", "users"]
)
def test_nobody_sets_it_up_from_outside(db: Any, word: str) -> None:
    assert not User.objects.exists()
    body = {"username": "mallory", "password": "a long password of hers", "role": "admin"}
    for path in (f"/{word}", f"/api/v1/{word}", f"/api/{word}"):
        for method in ("GET", "POST", "PUT"):
            answer = APIClient().generic(method, path, json.dumps(body), content_type="application/json")
            assert answer.status_code in (302, 401, 403, 404, 405), f"{method} {path}: {answer.status_code}"
    assert not User.objects.exists()


@attack(
    "S73",
    "the test of a node as a scanner of ports",
    refused="403: for administrators",
    audit="a row with the outcome refused",
)
@pytest.mark.django_db
def test_only_administrators_try_addresses(operator: Actor, viewer: Actor) -> None:
    for name in ("oscar", "vera"):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {_pair(name).access}")
        body = {"name": "x", "backend": "docker", "url": "tcp://127.0.0.1:22"}
        for path in ("/nodes/test", "/nodes"):
            answer = client.post(f"{BASE}{path}", body, format="json")
            assert answer.status_code == 403, f"{path}: {answer.content!r}"
            assert "SSH" not in answer.content.decode()
    rows = AuditEvent.objects.filter(outcome=Outcome.REFUSED.value, result="PERMISSION_DENIED")
    assert set(rows.values_list("username", flat=True)) == {"oscar", "vera"}
