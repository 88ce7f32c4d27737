"""The page of one's own account: each of its forms, and what it never shows again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.actor import Actor
from compute.models import ApiToken, Membership, Project, SecondFactor, SignIn, User
from compute.sealing import unseal
from tests.attacks.catalogue import attack
from tests.compute.signin.conftest import BASE, PASSWORD, bearer, refused, token_client

pytestmark = pytest.mark.django_db


@pytest.fixture
def own(operator: Actor) -> Client:
    client = Client()
    assert client.post("/login", {"username": "oscar", "password": PASSWORD}).status_code == 302
    return client


def test_a_token_is_made_shown_once_and_revoked(own: Client) -> None:
    answer = own.post("/profile/tokens/new", {"name": "ci", "scopes": "read", "days": "30"})
    text = answer.context["made"]["token"]
    assert text in answer.content.decode() and answer["Cache-Control"] == "no-store"
    assert token_client(text).get(f"{BASE}/profile").status_code == 200
    assert text not in own.get("/profile").content.decode()
    own.post(f"/profile/tokens/{ApiToken.objects.get().pk}/revoke")
    refused(token_client(text).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


def test_what_is_wrong_with_a_token_is_said_and_what_was_typed_stays(own: Client) -> None:
    answer = own.post("/profile/tokens/new", {"name": "ci", "scopes": "nonsense"})
    assert answer.status_code == 400 and b"scopes: must be one or more of" in answer.content
    assert b'value="ci"' in answer.content


def test_sessions_are_listed_and_ended(own: Client, log_in: Callable[..., Any]) -> None:
    pair = log_in("oscar").json()
    other = Client()
    other.post("/login", {"username": "oscar", "password": PASSWORD})
    rows = own.get("/profile").context["sessions"]
    assert [row["kind"] for row in rows].count("page") == 2 and sum(row["is_current"] for row in rows) == 1
    for row in rows:
        if not row["is_current"]:
            own.post(f"/profile/sessions/{row['id']}/end")
    refused(bearer(pair["access"]).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    assert other.get("/profile").status_code == 302
    assert own.get("/profile").status_code == 200


def test_others_sessions_are_404(own: Client, admin: Actor, log_in: Callable[..., Any]) -> None:
    log_in("ada")
    row = SignIn.objects.get(user__username="ada")
    assert own.post(f"/profile/sessions/{row.pk}/end").status_code == 404
    assert SignIn.objects.get(pk=row.pk).ended_at is None


def test_the_password_is_changed_and_this_session_stays(own: Client) -> None:
    body = {
        "old_password": PASSWORD,
        "new_password": "another long sentence",
        "again": "another long sentence",
    }
    wrong = own.post("/profile/password", {**body, "again": "something else"})
    assert wrong.status_code == 400 and User.objects.get(username="oscar").check_password(PASSWORD)
    assert own.post("/profile/password", body).status_code == 302
    rows = own.get("/profile").context["sessions"]
    assert [row["is_current"] for row in rows] == [True]
    assert User.objects.get(username="oscar").check_password("another long sentence")


def test_the_second_factor_is_set_up_with_its_picture(own: Client) -> None:
    own.post("/profile/second-factor/begin", {"password": PASSWORD})
    shown = own.get("/profile").content.decode()
    secret = unseal(SecondFactor.objects.get().secret)
    assert secret in shown and own.get("/profile/second-factor/picture.svg").status_code == 200
    wrong = own.post("/profile/second-factor/confirm", {"code": "1"})
    assert wrong.status_code == 400
    done = own.post("/profile/second-factor/confirm", {"code": pyotp.TOTP(secret).now()})
    codes = done.context["codes"]
    assert len(codes) == 10 and codes[0] in done.content.decode()
    later = own.get("/profile").content.decode()
    assert secret not in later and codes[0] not in later
    own.post("/profile/second-factor/off", {"code": codes[0]})
    assert User.objects.get(username="oscar").second_factor == ""


def test_refused_sign_ins_are_among_the_recent(own: Client) -> None:
    Client().post("/login", {"username": "oscar", "password": "wrong"})
    assert [row["result"] for row in own.get("/profile").context["recent"]] == ["refused", "ok"]


@attack("S67", "markup in the name of a token and in the name of the program that signs in", refused="text")
def test_what_programs_call_themselves_is_text(own: Client) -> None:
    made = own.post("/profile/tokens/new", {"name": "<script>x</script>", "scopes": "read"})
    assert made.status_code == 200 and ApiToken.objects.get().name == "<script>x</script>"
    agent = {"user-agent": "<script>y</script>"}
    Client().post("/login", {"username": "oscar", "password": PASSWORD}, headers=agent)
    shown = own.get("/profile").content
    assert b"&lt;script&gt;x" in shown and b"&lt;script&gt;y" in shown
    assert b"<script>x" not in shown and b"<script>y" not in shown


def test_the_list_of_users_costs_the_same_for_two_and_many(
    admin: Actor, operator: Actor, log_in: Callable[..., Any], project: Project
) -> None:
    client, counts = bearer(log_in("ada").json()["access"]), []
    for number in range(2):
        with CaptureQueriesContext(connection) as queries:
            rows = client.get(f"{BASE}/users").json()["items"]
        counts.append(len(queries))
        assert {row["second_factor"] for row in rows} == {""} and {row["directory"] for row in rows} == {""}
        for each in range(5):
            user = User.objects.create_user(f"u-{number}-{each}")
            Membership.objects.create(user=user, project=project, role="viewer")
    assert counts[0] == counts[1]
