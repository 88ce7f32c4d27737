"""Who gets in, who may change things, and what the others are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken
from rest_framework_simplejwt.utils import aware_utcnow

from compute.actor import Actor
from compute.live import rate_limit_clear
from compute.models import Instance, Membership, Node, User
from compute.states import Role
from tests.attacks.catalogue import attack

BASE = "/api/v1"
PASSWORD = "correct horse battery"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    for key in ("pair:127.0.0.1:ada", "pair:127.0.0.1:vera", "address:127.0.0.1", "account:ada"):
        rate_limit_clear(f"login:{key}")


def _log_in(client: APIClient, username: str = "ada", password: str = PASSWORD) -> Any:
    return client.post(f"{BASE}/auth/login", {"username": username, "password": password}, format="json")


def _with(client: APIClient, access: str) -> APIClient:
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def _refused(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert error["code"] == code and error["message"] and isinstance(error["details"], dict)


def test_a_login_gives_tokens_and_says_who_one_is(admin: Actor, anonymous: APIClient) -> None:
    answer = _log_in(anonymous).json()
    assert set(answer) == {"access", "refresh", "expires_at", "user"}
    assert answer["user"]["roles"] == ["admin"]
    assert _with(anonymous, answer["access"]).get(f"{BASE}/profile").json()["username"] == "ada"


def test_a_wrong_password_is_401_and_too_many_are_429(admin: Actor, anonymous: APIClient) -> None:
    _refused(_log_in(anonymous, password="wrong"), 401, "UNAUTHENTICATED")
    for _ in range(10):
        last = _log_in(anonymous, password="wrong")
    _refused(last, 429, "RATE_LIMITED")
    assert int(last["Retry-After"]) > 0


@attack("S09", "no token, a garbled one, an expired one", refused="401")
def test_no_token_a_garbled_one_and_an_expired_one_are_401(admin: Actor, anonymous: APIClient) -> None:
    _refused(anonymous.get(f"{BASE}/compute/instances"), 401, "UNAUTHENTICATED")
    _refused(_with(anonymous, "garbage").get(f"{BASE}/compute/instances"), 401, "UNAUTHENTICATED")
    token = AccessToken()
    token["user_id"], token["ver"], token["fam"] = str(admin.user_id), 0, str(admin.user_id)
    token.set_exp(lifetime=timedelta(seconds=-61))
    _refused(_with(anonymous, str(token)).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


@attack("S09", "a token signed by a host whose clock goes wrong by more than a minute", refused="401")
@pytest.mark.parametrize(("ahead_s", "status"), [(50, 200), (-50, 200), (75, 401), (-75, 401)])
def test_clocks_of_hosts_may_differ_by_a_minute(
    admin: Actor, anonymous: APIClient, ahead_s: int, status: int
) -> None:
    """One that is ahead signs tokens of the future; one that is behind ends them sooner than the others."""
    token = AccessToken(_log_in(anonymous).json()["access"])
    there = aware_utcnow() + timedelta(seconds=ahead_s)
    if ahead_s > 0:
        token.set_iat(at_time=there)
    token.set_exp(from_time=there, lifetime=timedelta(minutes=15) if ahead_s > 0 else timedelta())
    answer = _with(anonymous, str(token)).get(f"{BASE}/profile")
    assert answer.status_code == status, answer.content


@attack("S12", "a refresh token that was used already", refused="401, and the whole family ends with it")
def test_a_refresh_token_works_once_and_its_reuse_ends_the_whole_family(
    admin: Actor, anonymous: APIClient
) -> None:
    first = _log_in(anonymous).json()
    again = {"refresh": first["refresh"]}
    second = anonymous.post(f"{BASE}/auth/refresh", again, format="json").json()
    _refused(anonymous.post(f"{BASE}/auth/refresh", again, format="json"), 401, "UNAUTHENTICATED")
    third = anonymous.post(f"{BASE}/auth/refresh", {"refresh": second["refresh"]}, format="json")
    _refused(third, 401, "UNAUTHENTICATED")
    _refused(_with(anonymous, second["access"]).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


@attack("S14", "an access token after the log-out", refused="401")
def test_logging_out_ends_the_access_token_at_once(admin: Actor, anonymous: APIClient) -> None:
    pair = _log_in(anonymous).json()
    client = _with(anonymous, pair["access"])
    ended = client.post(f"{BASE}/auth/logout", {"refresh": pair["refresh"]}, format="json")
    assert ended.status_code == 204
    _refused(client.get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


def test_a_switched_off_account_is_out_at_once(admin: Actor, as_viewer: APIClient) -> None:
    User.objects.filter(username="vera").update(is_active=False)
    _refused(as_viewer.get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


@attack("S17", "a POST with the session's cookie but no CSRF token", refused="403")
def test_a_session_without_its_csrf_token_changes_nothing(admin: Actor) -> None:
    client = APIClient(enforce_csrf_checks=True)
    assert client.login(username="ada", password=PASSWORD)
    _refused(client.post(f"{BASE}/compute/instances", {}, format="json"), 403, "PERMISSION_DENIED")


def test_a_ticket_is_made_for_oneself(as_viewer: APIClient) -> None:
    answer = as_viewer.post(f"{BASE}/auth/ws-ticket").json()
    assert answer["ticket"] and answer["expires_at"]


@attack("S28", "an instance of a project one is no member of", refused="404; lists are empty")
def test_what_one_may_not_see_is_404(as_stranger: APIClient, make: Callable[..., Instance]) -> None:
    row = make("web")
    _refused(as_stranger.get(f"{BASE}/compute/instances/{row.pk}"), 404, "INSTANCE_NOT_FOUND")
    assert as_stranger.get(f"{BASE}/compute/instances").json()["instances"] == []
    assert as_stranger.get(f"{BASE}/operations").json()["total"] == 0
    assert as_stranger.get(f"{BASE}/events").json()["items"] == []


def test_a_viewer_does_not_read_logs_an_operator_does(
    as_viewer: APIClient, as_operator: APIClient, make: Callable[..., Instance]
) -> None:
    path = f"{BASE}/compute/instances/{make('web').pk}/logs"
    _refused(as_viewer.get(path), 403, "PERMISSION_DENIED")
    assert as_operator.get(f"{path}?tail=1").json()["text"] == "web line 5"


def test_an_operator_is_refused_what_is_as_good_as_root(as_operator: APIClient, fake_node: Node) -> None:
    body = {"name": "x", "backend": "fake", "config": {"image": "demo", "privileged": True}}
    answer = as_operator.post(f"{BASE}/compute/instances", body, format="json")
    _refused(answer, 403, "POLICY_DENIED")
    assert answer.json()["error"]["details"]["rule"] == "privileged"


def test_users_are_made_by_admins_and_the_last_admin_stays(as_admin: APIClient, admin: Actor) -> None:
    made = as_admin.post(
        f"{BASE}/users", {"username": "nina", "password": PASSWORD, "role": "viewer"}, format="json"
    )
    assert made.status_code == 201 and made.json()["roles"] == ["viewer"]
    again = as_admin.post(f"{BASE}/users", {"username": "nina", "password": PASSWORD}, format="json")
    _refused(again, 409, "NAME_CONFLICT")
    _refused(as_admin.delete(f"{BASE}/users/{admin.user_id}"), 409, "INVALID_STATE")
    assert as_admin.delete(f"{BASE}/users/{made.json()['id']}").status_code == 204


@attack("S08", "a weak password for a new account", refused="400 naming the field")
def test_a_weak_password_names_its_field(as_admin: APIClient) -> None:
    answer = as_admin.post(f"{BASE}/users", {"username": "nina", "password": "12345"}, format="json")
    _refused(answer, 400, "INVALID_INPUT")
    assert "password" in answer.json()["error"]["details"]["fields"]


@attack(
    "S11",
    "a token from before a change of role",
    refused="the rights are those of the row, at the next request",
)
def test_rights_are_read_at_every_use(
    as_viewer: APIClient, viewer: Actor, make: Callable[..., Instance]
) -> None:
    path = f"{BASE}/compute/instances/{make('web').pk}/stop"
    _refused(as_viewer.put(path), 403, "PERMISSION_DENIED")
    Membership.objects.filter(user_id=viewer.user_id).update(role=Role.OPERATOR.value)
    assert as_viewer.put(path).status_code == 202


@attack("S14", "an access token from before a new password", refused="401")
def test_the_password_may_be_changed_and_other_sessions_end(admin: Actor, anonymous: APIClient) -> None:
    pair = _log_in(anonymous).json()
    client = _with(anonymous, pair["access"])
    body = {"old_password": PASSWORD, "new_password": "another long sentence"}
    assert client.put(f"{BASE}/profile/password", body, format="json").status_code == 204
    _refused(client.get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    anonymous.credentials()
    assert _log_in(anonymous, password="another long sentence").status_code == 200


@pytest.mark.parametrize("name", ["ada", "Ada", "ADA"])
def test_a_name_that_differs_only_in_its_letters_case_is_taken(as_admin: APIClient, name: str) -> None:
    body = {"username": name, "password": "a long sentence of words"}
    answer = as_admin.post(f"{BASE}/users", body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NAME_CONFLICT")
    assert "“ada”" in answer.json()["error"]["message"]
