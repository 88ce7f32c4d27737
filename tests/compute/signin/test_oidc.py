"""Coming in through real OpenID providers over the real code flow: one of another's making, and one that
checks more than it and lies on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.test import Client
from django.utils import timezone
from oidc_provider_mock import run_server_in_thread
from rest_framework.test import APIClient

from compute.actor import Credential
from compute.directories.oidc import oidc_forget, oidc_look
from compute.errors import Unauthenticated
from compute.models import AuditEvent, DirectoryIdentity, Project, SignIn, User
from compute.selectors.access import actor_for
from compute.services.sign_ins import actor_again
from compute.services.tokens import token_create, tokens_alive
from tests.attacks.catalogue import attack
from tests.oidc_provider import CLIENT, SECRET, OidcProvider, secret_key

pytestmark = pytest.mark.django_db
HOST = "http://testserver"
GROUPS = [
    {"group": "admins", "role": "admin", "project": ""},
    {"group": "web", "role": "operator", "project": "web"},
]


@pytest.fixture
def switch(settings: Any, project: Project) -> Iterator[Callable[..., None]]:
    """``switch(issuer)``: this provider from now on."""
    before = dict(settings.LIBGO["oidc"])

    def _switch(issuer: str, **changes: Any) -> None:
        oidc_forget()
        own = {"issuer": issuer, "client_id": CLIENT, "client_secret": SECRET, "groups": GROUPS}
        settings.LIBGO["oidc"].update({**own, **changes})

    yield _switch
    settings.LIBGO["oidc"].clear()
    settings.LIBGO["oidc"].update(before)
    oidc_forget()


@pytest.fixture
def provider(switch: Callable[..., None]) -> Iterator[OidcProvider]:
    provider = OidcProvider()
    switch(provider.issuer)
    try:
        yield provider
    finally:
        provider.stop()


def _go(client: Client, target: str = "/login/oidc") -> str:
    """Where the provider sends the browser back to, as a path of ours."""
    start = client.get(target)
    assert start.status_code == 302, start.content
    answer = requests.get(start["Location"], allow_redirects=False, timeout=5)
    back = answer.headers["Location"]
    assert back.startswith(f"{HOST}/login/oidc/back?")
    return back.removeprefix(HOST)


def _enter(client: Client, target: str = "/login/oidc") -> Any:
    return client.get(_go(client, target))


def test_through_a_provider_of_anothers_making(switch: Callable[..., None], client: Client) -> None:
    with run_server_in_thread(require_nonce=True) as server:
        issuer = f"http://localhost:{server.server_port}"
        switch(issuer)
        claims = {"preferred_username": "alice", "email": "alice@example.org", "groups": ["web"]}
        requests.put(f"{issuer}/users/42", json=claims, timeout=5).raise_for_status()
        assert b'id="oidc"' in client.get("/login").content
        start = client.get("/login/oidc?next=/nodes")
        back = requests.post(start["Location"], data={"sub": "42"}, allow_redirects=False, timeout=5)
        answer = client.get(back.headers["Location"].removeprefix(HOST))
        assert answer.status_code == 302 and answer["Location"] == "/nodes", answer.content
        out = client.post("/logout")
        page = client.get(out["Location"])
        elsewhere = page.context["elsewhere"]
        assert elsewhere.startswith(f"{issuer}/oauth2/end_session?") and b'id="elsewhere"' in page.content
        query = parse_qs(urlsplit(elsewhere).query)
        assert query["post_logout_redirect_uri"] == [f"{HOST}/logged-out"] and query["id_token_hint"]
        assert requests.get(elsewhere, timeout=5).status_code == 200
    user = User.objects.get()
    assert (user.username, user.email, user.directory.subject) == ("alice", "alice@example.org", "42")
    assert not user.has_usable_password() and user.second_factor == "provider"
    assert SignIn.objects.get().method == "oidc"


def test_what_is_asked_is_bound_by_state_nonce_and_pkce(provider: OidcProvider, client: Client) -> None:
    _enter(client)
    _enter(Client())
    first, second = provider.asked
    assert first["code_challenge_method"] == "S256" and first["response_type"] == "code"
    for word in ("state", "nonce", "code_challenge"):
        assert len(first[word]) >= 20 and first[word] != second[word]
    assert User.objects.count() == 1


def test_groups_are_roles_and_follow_the_provider(
    provider: OidcProvider, project: Project, admin: Any
) -> None:
    Project.objects.create(name="web")
    provider.who["groups"] = ["admins", "web", "others"]
    assert _enter(Client()).status_code == 302
    user = User.objects.get(username="alice")
    assert user.is_superuser and [row.role for row in user.memberships.all()] == ["operator"]
    provider.who |= {"groups": ["web"], "preferred_username": "renamed"}
    _enter(Client())
    user = User.objects.get(username="alice")
    assert not user.is_superuser and user.memberships.count() == 1
    del provider.who["groups"]
    _enter(Client())
    assert user.memberships.count() == 0


@pytest.mark.parametrize("how", ["username", "case", "email"])
def test_an_account_that_is_here_is_never_taken_over(provider: OidcProvider, how: str) -> None:
    name = {"username": "alice", "case": "ALICE", "email": "other"}[how]
    own = User.objects.create_superuser(name, "alice@example.org", "correct horse battery")
    answer = _enter(Client())
    assert not DirectoryIdentity.objects.filter(user=own).exists()
    if how == "email":
        assert answer.status_code == 302 and User.objects.count() == 2
    else:
        assert answer.status_code == 403 and b"not the directory" in answer.content
        assert AuditEvent.objects.get(action="auth.login").details["reason"] == "account_taken"


def test_another_subject_with_the_same_name_is_another_person(provider: OidcProvider) -> None:
    assert _enter(Client()).status_code == 302
    provider.who["sub"] = "2"
    assert _enter(Client()).status_code == 403


def test_only_members_of_named_groups_if_so_wished(
    provider: OidcProvider, switch: Callable[..., None]
) -> None:
    switch(provider.issuer, allow_all=False)
    assert _enter(Client()).status_code == 403 and not User.objects.exists()


def test_a_switched_off_account_stays_out(provider: OidcProvider) -> None:
    _enter(Client())
    User.objects.update(is_active=False)
    client = Client()
    assert _enter(client).status_code == 401 and "_auth_user_id" not in client.session


def test_keys_may_rotate(provider: OidcProvider) -> None:
    assert _enter(Client()).status_code == 302
    provider.rotate()
    assert _enter(Client()).status_code == 302
    assert provider.keys_read == 2


LIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "issuer": lambda header, claims: claims.update(iss="http://127.0.0.1:1"),
    "audience": lambda header, claims: claims.update(aud="somebody-else"),
    "audiences": lambda header, claims: claims.update(aud=[CLIENT, "other"], azp="other"),
    "nonce": lambda header, claims: claims.update(nonce="of another sign-in"),
    "no nonce": lambda header, claims: claims.pop("nonce") and None,
    "expired": lambda header, claims: claims.update(exp=claims["iat"] - 3600),
    "future": lambda header, claims: claims.update(iat=claims["iat"] + 7200, exp=claims["iat"] + 9000),
    "no subject": lambda header, claims: claims.pop("sub") and None,
    "shared secret": lambda header, claims: header.update(alg="HS256") or secret_key(SECRET),
    "no token": lambda header, claims: "no token",
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_token_that_does_not_hold_lets_nobody_in(provider: OidcProvider, lie: str) -> None:
    provider.lie = LIES[lie]
    client = Client()
    answer = _enter(client)
    assert answer.status_code == 401, lie
    assert b"cannot be trusted" in answer.content or b"did not say who you are" in answer.content
    assert not User.objects.exists() and "_auth_user_id" not in client.session
    assert AuditEvent.objects.get(action="auth.login").result == "refused"


def test_a_token_signed_by_another_key_lets_nobody_in(provider: OidcProvider) -> None:
    other = OidcProvider()
    try:
        provider.lie = lambda header, claims: other._key
        assert _enter(Client()).status_code == 401
    finally:
        other.stop()


@attack("S09", "an identity token without a signature", refused="nobody comes in")
def test_a_token_without_signature_lets_nobody_in(
    provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = provider.token

    def unsigned(form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        answer = made(form, authorization)
        assert answer is not None
        _, claims, _ = answer["id_token"].split(".")
        return {**answer, "id_token": f"eyJhbGciOiJub25lIn0.{claims}."}

    monkeypatch.setattr(provider, "token", unsigned)
    assert _enter(Client()).status_code == 401


def test_what_was_begun_elsewhere_ends_nowhere(provider: OidcProvider) -> None:
    """Login CSRF: the way back of somebody else's sign-in, and one's own once more."""
    theirs = _go(Client())
    victim = Client()
    answer = victim.get(theirs)
    assert answer.status_code == 401 and b"was not begun here" in answer.content
    own = _go(victim)
    assert victim.get(own).status_code == 302
    assert Client().get(own).status_code == 401
    again = Client()
    replayed = _go(again)
    assert again.get(replayed).status_code == 302
    again.post("/logout")
    assert again.get(replayed).status_code == 401


def test_who_is_refused_there_is_told_so(provider: OidcProvider, client: Client) -> None:
    provider.refuse = True
    answer = _enter(client)
    assert answer.status_code == 401 and b"did not let you in" in answer.content


@attack("S07", "a way back after the login that leads elsewhere", refused="stays here")
def test_the_way_back_stays_here(provider: OidcProvider) -> None:
    assert _enter(Client(), "/login/oidc?next=//evil.example/")["Location"] == "/"


def test_a_provider_that_is_away_is_said_so_and_passwords_go_on(
    switch: Callable[..., None], admin: Any, client: Client
) -> None:
    switch("http://127.0.0.1:1")
    answer = client.get("/login/oidc")
    assert answer.status_code == 503 and b"cannot be reached" in answer.content
    assert client.post("/login", {"username": "ada", "password": "correct horse battery"}).status_code == 302


def test_a_provider_of_another_name_is_not_believed(
    provider: OidcProvider, switch: Callable[..., None], client: Client
) -> None:
    switch(provider.issuer.replace("127.0.0.1", "localhost"))
    assert client.get("/login/oidc").status_code == 503


def test_without_a_provider_there_is_no_door(client: Client, db: Any) -> None:
    assert client.get("/login/oidc").status_code == 404
    assert client.get("/login/oidc/back?code=x&state=y").status_code == 404
    assert b'id="oidc"' not in client.get("/login").content


def test_doctor_names_what_is_wrong(provider: OidcProvider, settings: Any) -> None:
    config = dict(settings.LIBGO["oidc"])
    assert oidc_look(config) == ""
    other = provider.issuer.replace("127.0.0.1", "localhost")
    assert "calls itself" in oidc_look({**config, "issuer": other})
    assert oidc_look({**config, "issuer": "http://127.0.0.1:1"})


def test_the_way_out_names_the_session_there(provider: OidcProvider, client: Client) -> None:
    _enter(client)
    client.post("/logout")
    elsewhere = urlsplit(client.get("/logged-out").context["elsewhere"])
    query = parse_qs(elsewhere.query)
    assert elsewhere.path == "/logout" and query["client_id"] == [CLIENT] and query["id_token_hint"]


def test_a_password_is_no_way_around_the_providers_second_factor(provider: OidcProvider) -> None:
    _enter(Client())
    user = User.objects.get(username="alice")
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    answer = client.post("/login", {"username": "alice", "password": "correct horse battery"})
    assert answer.status_code == 403 and b"single sign-on" in answer.content
    assert "_auth_user_id" not in client.session


def _later(monkeypatch: pytest.MonkeyPatch, **time: int) -> None:
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(**time))


@attack(
    "S14",
    "staying signed in after one has left the provider's groups",
    refused="asked again; the role is gone",
)
def test_the_provider_is_asked_again_and_lost_groups_are_lost_roles(
    provider: OidcProvider, project: Project, admin: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.LIBGO["oidc"]["session_max_s"] = 3600.0
    Project.objects.create(name="web")
    provider.who["groups"] = ["admins", "web"]
    client = Client()
    assert _enter(client).status_code == 302
    user = User.objects.get(username="alice")
    row = SignIn.objects.get(user=user)
    assert timedelta(minutes=59) < row.expires_at - row.created_at <= timedelta(minutes=61)
    assert client.get("/users").status_code == 200
    opened = actor_for(user, credential=Credential(session_key=client.session.session_key or ""))
    assert actor_again(opened).is_admin
    # Using it makes it no longer.
    session = client.session
    session["anything"] = 1
    session.save()
    _later(monkeypatch, minutes=61)
    provider.who["groups"] = []
    answer = client.get("/users")
    assert answer.status_code == 302 and answer["Location"].startswith("/login")
    with pytest.raises(Unauthenticated):
        actor_again(opened)
    assert _enter(client).status_code == 302
    user.refresh_from_db()
    assert not user.is_superuser and not user.memberships.filter(project__name="web").exists()
    assert client.get("/users").status_code == 403


def test_tokens_of_people_who_do_not_come_back_rest(
    provider: OidcProvider, project: Project, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    _enter(client)
    alice = actor_for(User.objects.get(username="alice"))
    body = {"name": "ci", "scopes": ["read"]}
    (_, token), (_, local) = token_create(alice, body), token_create(operator, body)
    asked = {word: bearer_of(word) for word in (token, local)}
    assert [each.get("/api/v1/profile").status_code for each in asked.values()] == [200, 200]
    assert tokens_alive().count() == 2
    _later(monkeypatch, days=31)
    refused = asked[token].get("/api/v1/profile")
    assert refused.status_code == 401 and "token rests" in refused.json()["error"]["message"]
    assert asked[local].get("/api/v1/profile").status_code == 200
    assert [row.user_id for row in tokens_alive()] == [operator.user_id]
    _enter(Client())
    assert asked[token].get("/api/v1/profile").status_code == 200


def bearer_of(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client
