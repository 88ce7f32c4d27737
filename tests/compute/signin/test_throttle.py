"""Wrong passwords: how many, from where, and who is not shut out by others' tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from rest_framework.test import APIClient

from compute import live
from compute.actor import Actor
from compute.models import AuditEvent, SignIn, User
from libgo_site.settings.base import PASSWORD_HASHERS as PRODUCTION_HASHERS
from tests.attacks.catalogue import attack
from tests.compute.signin.conftest import BASE, PASSWORD, bearer, refused

pytestmark = pytest.mark.django_db


@attack(
    "S02",
    "11 wrong passwords for one account from one address",
    refused="429 with Retry-After; the owner comes in from elsewhere",
    audit="10 rows auth.login, refused",
)
def test_after_ten_wrong_ones_the_address_waits_and_the_owner_comes_in_elsewhere(
    admin: Actor, log_in: Callable[..., Any]
) -> None:
    for _ in range(10):
        refused(log_in(password="wrong"), 401, "UNAUTHENTICATED")
    answer = log_in(password=PASSWORD)
    error = refused(answer, 429, "RATE_LIMITED")
    assert 0 < int(answer["Retry-After"]) <= 300 and str(error["details"]["retry_after"]) in error["message"]
    assert log_in(address="10.0.0.9").status_code == 200
    assert AuditEvent.objects.filter(action="auth.login", result="refused").count() == 10


@attack(
    "S02",
    "one password on 60 accounts from one address",
    refused="429 after 50; others come in",
    audit="50 rows auth.login, refused",
)
def test_one_address_cannot_try_a_password_on_everyone(admin: Actor, log_in: Callable[..., Any]) -> None:
    answers = [log_in(f"user-{number}", "wrong").status_code for number in range(60)]
    assert answers == [401] * 50 + [429] * 10
    assert AuditEvent.objects.filter(action="auth.login", result="refused").count() == 50
    assert log_in(address="10.0.0.9").status_code == 200


@attack(
    "S02",
    "one account from many addresses",
    refused="429 after 100",
    audit="100 rows auth.login, refused, each with its address",
)
def test_many_addresses_cannot_try_one_account_for_ever(admin: Actor, log_in: Callable[..., Any]) -> None:
    answers = [log_in(password="wrong", address=f"10.0.{n % 7}.{n}").status_code for n in range(101)]
    assert answers == [401] * 100 + [429]
    rows = AuditEvent.objects.filter(action="auth.login", result="refused")
    assert rows.count() == 100 and rows.values("remote_address").distinct().count() > 50


def test_right_passwords_are_not_counted(admin: Actor, log_in: Callable[..., Any]) -> None:
    assert {log_in().status_code for _ in range(60)} == {200}


def test_without_a_broker_the_process_counts_itself(
    admin: Actor, log_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = redis.Redis.from_url("unix:///nowhere/broker.sock")
    monkeypatch.setattr(live, "_redis", lambda: gone)
    monkeypatch.setattr(live, "_own_counts", live._OwnCounts())
    assert [log_in(password="wrong").status_code for _ in range(11)] == [401] * 10 + [429]


def test_the_page_says_how_long_to_wait(admin: Actor, client: Any) -> None:
    for _ in range(10):
        client.post("/login", {"username": "ada", "password": "wrong"})
    answer = client.post("/login", {"username": "ada", "password": "wrong"})
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    assert b"Too many tries to log in. Wait" in answer.content


@attack(
    "S04",
    "an unknown account, a wrong password, a switched-off account",
    refused="the same status and the same bytes",
)
def test_unknown_wrong_and_switched_off_look_the_same(
    admin: Actor, viewer: Actor, log_in: Callable[..., Any]
) -> None:
    User.objects.filter(username="vera").update(is_active=False)
    answers = [log_in("nobody"), log_in("ada", "wrong"), log_in("vera")]
    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {401}


@attack(
    "S04",
    "the time of an unknown account, a wrong password, a switched-off account, one without a password",
    refused="the same work: the least of three tries within 20 %",
)
def test_unknown_wrong_and_switched_off_cost_the_same(
    admin: Actor, viewer: Actor, operator: Actor, log_in: Callable[..., Any], settings: Any
) -> None:
    settings.PASSWORD_HASHERS = PRODUCTION_HASHERS
    for user in User.objects.all():
        user.set_password(PASSWORD)
        user.save()
    User.objects.filter(username="vera").update(is_active=False)
    bare = User.objects.create(username="bare")
    bare.set_unusable_password()
    bare.save()
    # Work and not seconds: what else the machine does must not decide.
    costs: dict[str, list[float]] = {"nobody": [], "ada": [], "vera": [], "bare": []}
    for _ in range(3):
        for name, taken in costs.items():
            began = time.process_time()
            refused(log_in(name, "wrong"), 401, "UNAUTHENTICATED")
            taken.append(time.process_time() - began)
    least = sorted(min(taken) for taken in costs.values())
    assert least[-1] < 1.2 * least[0], costs


@attack("S03", "another X-Forwarded-For with each wrong password", refused="not believed: 429 all the same")
def test_a_forged_header_is_not_an_address(admin: Actor, client: Any) -> None:
    body = {"username": "ada", "password": "wrong"}
    answers = [
        client.post("/login", body, headers={"x-forwarded-for": f"10.9.9.{n}"}).status_code for n in range(11)
    ]
    assert answers[-1] == 429


def test_a_sign_in_is_recorded_with_where_and_by_what(admin: Actor, client: Any) -> None:
    client.post("/login", {"username": "ada", "password": PASSWORD}, headers={"user-agent": "Browser/1"})
    row = SignIn.objects.get()
    assert (row.kind, row.method, row.remote_address, row.user_agent) == (
        "page",
        "password",
        "127.0.0.1",
        "Browser/1",
    )
    assert row.session_key == client.session.session_key
    client.post("/logout")
    assert SignIn.objects.get().ended_at is not None


def test_passwords_may_be_kept_to_administrators(
    admin: Actor, viewer: Actor, log_in: Callable[..., Any], settings: Any
) -> None:
    settings.LIBGO["access"]["password_login"] = "admins"
    try:
        assert refused(log_in("vera"), 403, "POLICY_DENIED")["details"]["rule"] == "password_login"
        assert log_in("ada").status_code == 200
    finally:
        settings.LIBGO["access"]["password_login"] = "everyone"


def test_logging_out_as_nobody_ends_nobodys_session(
    admin: Actor, log_in: Callable[..., Any], client: Any
) -> None:
    log_in()
    assert client.post("/logout").status_code == 302
    assert SignIn.objects.get().ended_at is None


@attack("S02", "guessing the password from a session that was left open", refused="429 after 10 tries")
def test_a_session_is_no_way_to_find_out_the_password(admin: Actor, log_in: Callable[..., Any]) -> None:
    own = bearer(log_in().json()["access"])

    def change(old: str) -> Any:
        body = {"old_password": old, "new_password": "another long sentence"}
        return own.put(f"{BASE}/profile/password", body, format="json")

    refused(change("wrong"), 400, "INVALID_INPUT")
    for _ in range(9):
        change("wrong")
    error = refused(change(PASSWORD), 429, "RATE_LIMITED")
    assert error["details"]["retry_after"] > 0
    assert log_in().status_code == 200, "who signs in anew is not kept out"


def test_every_try_to_come_in_is_audited_with_its_request(admin: Actor) -> None:
    client = APIClient(HTTP_USER_AGENT="curl/8", REMOTE_ADDR="192.0.2.7")
    for number, password in enumerate((PASSWORD, "wrong")):
        body = {"username": "ada", "password": password}
        answer = client.post(f"{BASE}/auth/login", body, format="json", HTTP_X_REQUEST_ID=f"try-{number}")
        assert answer["X-Request-ID"] == f"try-{number}"
    rows = AuditEvent.objects.filter(action="auth.login").order_by("id")
    told = [(row.request_id, row.result, row.remote_address, row.user_agent) for row in rows]
    assert told == [("try-0", "ok", "192.0.2.7", "curl/8"), ("try-1", "refused", "192.0.2.7", "curl/8")]
