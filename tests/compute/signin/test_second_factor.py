"""The second factor: set up, asked for, spent once, lost and taken away."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from django.test import Client
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import AuditEvent, RecoveryCode, SecondFactor, SignIn, User
from compute.sealing import unseal
from compute.services import second_factor
from tests.attacks.catalogue import attack
from tests.compute.access.test_german import english_left, texts_of
from tests.compute.signin.conftest import BASE, PASSWORD, bearer, refused

pytestmark = pytest.mark.django_db
FACTOR = f"{BASE}/profile/second-factor"


class Clock:
    """Moves from one half-minute to the next, in which another code holds."""

    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def later(self, seconds: float = 30) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(second_factor, "time", clock)
    return clock


class App:
    """The authenticator app of a person."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._totp, self._clock = pyotp.TOTP(secret), clock

    @property
    def code(self) -> str:
        return self._totp.at(int(self._clock.now))


@pytest.fixture
def enrolled(admin: Actor, log_in: Callable[..., Any], clock: Clock) -> tuple[APIClient, App, list[str]]:
    client = bearer(log_in().json()["access"])
    begun = client.post(FACTOR, {"password": PASSWORD}, format="json")
    assert begun.status_code == 201 and begun["Cache-Control"] == "no-store"
    app = App(begun.json()["secret"], clock)
    answer = client.post(f"{FACTOR}/confirm", {"code": app.code}, format="json")
    assert answer.status_code == 200, answer.content
    clock.later()
    return client, app, answer.json()["recovery_codes"]


def _finish(challenge: str, code: str) -> Any:
    body = {"challenge": challenge, "code": code}
    return APIClient().post(f"{BASE}/auth/second-factor", body, format="json")


def _challenge(answer: Any) -> str:
    return str(refused(answer, 401, "UNAUTHENTICATED")["details"]["second_factor"]["challenge"])


def test_a_login_takes_two_steps(enrolled: Any, log_in: Callable[..., Any]) -> None:
    _, app, _ = enrolled
    answer = log_in()
    challenge = _challenge(answer)
    assert "access" not in answer.content.decode()
    refused(_finish(challenge, "000000"), 401, "UNAUTHENTICATED")
    assert bearer(_finish(challenge, app.code).json()["access"]).get(f"{BASE}/profile").status_code == 200
    newest = SignIn.objects.order_by("-created_at").first()
    assert newest is not None and newest.method == "password+totp"


def test_a_login_with_the_code_takes_one(enrolled: Any, log_in: Callable[..., Any]) -> None:
    _, app, _ = enrolled
    assert log_in(code=app.code).status_code == 200


def test_a_code_works_once_and_the_one_before_it_no_more(
    enrolled: Any, log_in: Callable[..., Any], clock: Clock
) -> None:
    _, app, _ = enrolled
    old = app.code
    clock.later()
    code = app.code
    assert log_in(code=code).status_code == 200
    refused(log_in(code=code), 401, "UNAUTHENTICATED")
    refused(log_in(code=old), 401, "UNAUTHENTICATED")
    clock.later()
    assert log_in(code=app.code).status_code == 200


def test_the_code_of_the_minute_before_is_too_old(
    enrolled: Any, log_in: Callable[..., Any], clock: Clock
) -> None:
    _, app, _ = enrolled
    old = app.code
    clock.later(61)
    refused(log_in(code=old), 401, "UNAUTHENTICATED")


def test_guessing_is_ended_after_a_few_tries(enrolled: Any, log_in: Callable[..., Any]) -> None:
    _, app, _ = enrolled
    challenge = _challenge(log_in())
    statuses = [_finish(challenge, f"{n:06}").status_code for n in range(second_factor.CODE_TRIES + 1)]
    assert statuses == [401] * second_factor.CODE_TRIES + [429]
    answer = _finish(challenge, app.code)
    refused(answer, 429, "RATE_LIMITED")
    assert int(answer["Retry-After"]) > 0
    assert (
        AuditEvent.objects.filter(action="auth.login", result="refused").count() == second_factor.CODE_TRIES
    )


def test_a_recovery_code_works_once(enrolled: Any, log_in: Callable[..., Any]) -> None:
    client, _, codes = enrolled
    assert len(set(codes)) == 10
    assert log_in(code=codes[0].lower()).status_code == 200
    refused(log_in(code=codes[0]), 401, "UNAUTHENTICATED")
    assert client.get(FACTOR).json()["recovery_codes_left"] == 9
    assert not RecoveryCode.objects.filter(digest__in=codes).exists()


def test_new_recovery_codes_void_the_old_ones(enrolled: Any, log_in: Callable[..., Any]) -> None:
    client, app, codes = enrolled
    answer = client.post(f"{FACTOR}/recovery-codes", {"code": app.code}, format="json")
    refused(log_in(code=codes[0]), 401, "UNAUTHENTICATED")
    assert log_in(code=answer.json()["recovery_codes"][0]).status_code == 200


@attack("S76", "the secret of a second factor in the database and the answers", refused="sealed; told once")
def test_the_secret_is_sealed_and_told_to_nobody_again(enrolled: Any) -> None:
    client, _, codes = enrolled
    row = SecondFactor.objects.get()
    secret = unseal(row.secret)
    assert secret not in row.secret
    answer = client.get(FACTOR)
    assert secret not in answer.content.decode() and answer.json()["is_enabled"] is True
    assert client.get(f"{FACTOR}/picture").status_code == 404
    texts = [str(vars(event)) for event in AuditEvent.objects.all()]
    assert not [text for text in texts if secret in text or any(code in text for code in codes)]


def test_the_picture_is_there_until_the_first_code(
    admin: Actor, log_in: Callable[..., Any], clock: Clock
) -> None:
    client = bearer(log_in().json()["access"])
    assert client.get(f"{FACTOR}/picture").status_code == 404
    client.post(FACTOR, {"password": PASSWORD}, format="json")
    picture = client.get(f"{FACTOR}/picture")
    assert picture["Content-Type"] == "image/svg+xml" and picture.content.startswith(b"<?xml")
    assert log_in().status_code == 200, "until then the password is enough"


def test_it_begins_with_the_password(admin: Actor, log_in: Callable[..., Any]) -> None:
    client = bearer(log_in().json()["access"])
    error = refused(client.post(FACTOR, {"password": "wrong"}, format="json"), 400, "INVALID_INPUT")
    assert "password" in error["details"]["fields"]


def test_it_is_switched_off_with_a_code(enrolled: Any, log_in: Callable[..., Any]) -> None:
    client, app, _ = enrolled
    refused(client.post(f"{FACTOR}/off", {"code": "000000"}, format="json"), 400, "INVALID_INPUT")
    assert client.post(f"{FACTOR}/off", {"code": app.code}, format="json").status_code == 204
    assert log_in().status_code == 200
    assert not SecondFactor.objects.exists() and not RecoveryCode.objects.exists()
    refused(client.post(f"{FACTOR}/off", {"code": app.code}, format="json"), 409, "INVALID_STATE")


def test_another_administrator_takes_a_lost_one_away(
    enrolled: Any, viewer: Actor, log_in: Callable[..., Any]
) -> None:
    client, _, _ = enrolled
    own = User.objects.get(username="ada")
    refused(client.delete(f"{BASE}/users/{own.pk}/second-factor"), 409, "INVALID_STATE")
    other = User.objects.create_superuser("olga", "", PASSWORD)
    stranger = bearer(log_in("vera").json()["access"])
    refused(stranger.delete(f"{BASE}/users/{own.pk}/second-factor"), 403, "PERMISSION_DENIED")
    access = log_in(other.username).json()["access"]
    assert bearer(access).delete(f"{BASE}/users/{own.pk}/second-factor").status_code == 204
    assert log_in().status_code == 200
    assert AuditEvent.objects.filter(action="user.second_factor_reset", username="olga").exists()


def test_a_challenge_ends_with_the_password_it_came_from(enrolled: Any, log_in: Callable[..., Any]) -> None:
    _, app, _ = enrolled
    challenge = _challenge(log_in())
    User.objects.filter(username="ada").update(token_version=7)
    refused(_finish(challenge, app.code), 401, "UNAUTHENTICATED")
    refused(_finish("garbage", app.code), 401, "UNAUTHENTICATED")


@pytest.mark.usefixtures("clock")
def test_where_it_is_asked_of_administrators_they_are_none_without_it(
    admin: Actor, log_in: Callable[..., Any], settings: Any, clock: Clock, client: Any
) -> None:
    settings.LIBGO["access"]["second_factor"] = "admins"
    try:
        api = bearer(log_in().json()["access"])
        refused(api.get(f"{BASE}/users"), 403, "PERMISSION_DENIED")
        assert api.get(FACTOR).json()["is_missing"] is True
        client.post("/login", {"username": "ada", "password": PASSWORD})
        answer = client.get("/admin/", follow=True)
        assert answer.redirect_chain[-1][0].startswith("/profile")
        secret = api.post(FACTOR, {"password": PASSWORD}, format="json").json()["secret"]
        code = App(secret, clock).code
        assert api.post(f"{FACTOR}/confirm", {"code": code}, format="json").status_code == 200
        assert api.get(f"{BASE}/users").status_code == 200
        assert client.get("/admin/").status_code == 200
    finally:
        settings.LIBGO["access"]["second_factor"] = "optional"


@attack("S86", "the admin site's own login", refused="the same door, throttle and second factor")
def test_the_admin_site_has_no_door_of_its_own(enrolled: Any, client: Any) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/login?next=/admin/"
    posted = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert posted.status_code == 302 and "sessionid" not in client.cookies


def test_the_page_asks_for_the_code(enrolled: Any, client: Any) -> None:
    _, app, _ = enrolled
    asked = client.post("/login", {"username": "ada", "password": PASSWORD, "next": "/nodes"})
    assert b"Code of your second factor" in asked.content and "_auth_user_id" not in client.session
    challenge = asked.context["challenge"]
    wrong = client.post("/login", {"challenge": challenge, "code": "000000", "next": "/nodes"})
    assert wrong.status_code == 401 and wrong.context["challenge"] == challenge
    right = client.post("/login", {"challenge": challenge, "code": app.code, "next": "/nodes"})
    assert right.status_code == 302 and right["Location"] == "/nodes"


def test_a_password_set_in_the_admin_site_ends_what_was_open(
    admin: Actor, operator: Actor, log_in: Callable[..., Any], client: Any
) -> None:
    access = log_in("oscar").json()["access"]
    client.post("/login", {"username": "ada", "password": PASSWORD})
    body = {
        "usable_password": "true",
        "password1": "another long sentence",
        "password2": "another long sentence",
    }
    answer = client.post(f"/admin/compute/user/{operator.user_id}/password/", body)
    assert answer.status_code == 302, answer.content
    refused(bearer(access).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    assert client.get("/admin/compute/signin/").status_code == 200
    assert AuditEvent.objects.filter(action="user.update", username="ada", target="oscar").exists()


def test_the_admin_site_takes_a_lost_one_away(enrolled: Any, log_in: Callable[..., Any], client: Any) -> None:
    other = User.objects.create_superuser("olga", "", PASSWORD)
    client.post("/login", {"username": "olga", "password": PASSWORD})
    lost = User.objects.get(username="ada")
    body = {"action": "second_factor_reset", "_selected_action": [str(lost.pk), str(other.pk)]}
    answer = client.post("/admin/compute/user/", body, follow=True)
    said = answer.content.decode()
    assert "The second factor of ada is off." in said and "with a code. (olga)" in said
    assert log_in().status_code == 200


def test_the_page_that_asks_for_it_is_german_to_who_reads_german(enrolled: Any, settings: Any) -> None:
    """When it asks, and when it refuses a code; English to who reads English."""
    settings.ALLOWED_HOSTS = ["testserver"]
    texts: dict[str, list[str]] = {}
    for language in ("en", "de"):
        browser = Client(headers={"Accept-Language": language})
        asked = browser.post("/login", {"username": "ada", "password": PASSWORD})
        challenge = re.search(r'name="challenge" value="([^"]+)"', asked.content.decode())
        assert asked.status_code in (200, 401) and challenge, asked.content.decode()
        wrong = {"username": "ada", "challenge": challenge[1], "code": "not one"}
        refused_page = browser.post("/login", wrong)
        assert 'role="alert"' in refused_page.content.decode()
        texts[language] = texts_of(asked) + texts_of(refused_page)
    assert "Code of your second factor" in texts["en"] and "Code des zweiten Faktors" in texts["de"], texts
    assert list(english_left(texts["en"], texts["de"])) == []
