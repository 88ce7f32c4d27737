"""Personal tokens: made once, kept as a hash, never more than their account and their scopes allow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.execution.resources import grants_of
from compute.models import ApiToken, AuditEvent, Instance, Membership, Operation, Project, User
from compute.selectors.access import operation_actor
from compute.services.accounts import user_update
from tests.attacks.catalogue import attack
from tests.compute.signin.conftest import BASE, PASSWORD, bearer, refused, token_client

pytestmark = pytest.mark.django_db
TOKENS = f"{BASE}/profile/tokens"


@pytest.fixture
def token(log_in: Callable[..., Any]) -> Callable[..., str]:
    """``token("oscar", "read")``: the text of a new token."""

    def _token(username: str, *scopes: str, **more: Any) -> str:
        client = bearer(log_in(username).json()["access"])
        body = {"name": f"t{ApiToken.objects.count()}", "scopes": list(scopes), **more}
        answer = client.post(TOKENS, body, format="json")
        assert answer.status_code == 201, answer.content
        return str(answer.json()["token"])

    return _token


@attack(
    "S16 S76",
    "reading an API token again, in lists and in the database",
    refused="shown once; only its hash is kept",
)
def test_it_is_shown_once_and_only_its_hash_is_kept(operator: Actor, log_in: Callable[..., Any]) -> None:
    client = bearer(log_in("oscar").json()["access"])
    made = client.post(TOKENS, {"name": "ci", "scopes": ["operate"]}, format="json")
    text = made.json()["token"]
    secret = text.split("_", 2)[2]
    assert made["Cache-Control"] == "no-store" and text.startswith(made.json()["prefix"])
    listed = client.get(TOKENS).json()
    assert listed["total"] == 1 and "token" not in listed["items"][0]
    row = ApiToken.objects.get()
    assert secret not in str(vars(row)) and len(row.digest) == 64
    assert not [event for event in AuditEvent.objects.all() if secret in str(vars(event))]
    assert token_client(text).get(f"{BASE}/profile").json()["username"] == "oscar"
    refused(client.post(TOKENS, {"name": "ci", "scopes": ["read"]}, format="json"), 409, "NAME_CONFLICT")


@attack("S16", "altered and invented API tokens", refused="401")
@pytest.mark.parametrize("change", ["wrong", "prefix", "empty", "word", "bearer"])
def test_what_is_not_a_token_is_401(operator: Actor, token: Callable[..., str], change: str) -> None:
    text = token("oscar", "read")
    word, prefix, secret = text.split("_", 2)
    texts = {
        "wrong": f"{word}_{prefix}_{secret[:-1]}{'a' if secret[-1] != 'a' else 'b'}",
        "prefix": f"{word}_{prefix}_",
        "empty": "",
        "word": f"other_{prefix}_{secret}",
    }
    client = bearer(text) if change == "bearer" else token_client(texts[change])
    refused(client.get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


@attack("S15", "a token in the address", refused="not read: 401")
def test_a_token_in_the_query_is_not_read(operator: Actor, token: Callable[..., str]) -> None:
    text = token("oscar", "read")
    for name in ("token", "access", "access_token"):
        refused(APIClient().get(f"{BASE}/profile?{name}={text}"), 401, "UNAUTHENTICATED")


def test_read_looks_and_changes_nothing(
    operator: Actor, token: Callable[..., str], make: Callable[..., Instance]
) -> None:
    row, client = make("web"), token_client(token("oscar", "read"))
    assert client.get(f"{BASE}/compute/instances/{row.pk}").status_code == 200
    refused(client.put(f"{BASE}/compute/instances/{row.pk}/stop"), 403, "PERMISSION_DENIED")
    refused(client.delete(f"{BASE}/compute/instances/{row.pk}"), 403, "PERMISSION_DENIED")
    refused(client.get(f"{BASE}/compute/instances/{row.pk}/logs"), 403, "PERMISSION_DENIED")


def test_one_permission_is_a_scope(
    operator: Actor, token: Callable[..., str], make: Callable[..., Instance]
) -> None:
    row, client = make("web"), token_client(token("oscar", "stop"))
    assert client.put(f"{BASE}/compute/instances/{row.pk}/stop").status_code == 202
    refused(client.put(f"{BASE}/compute/instances/{row.pk}/start"), 403, "PERMISSION_DENIED")


def test_operate_of_an_administrator_is_no_administrator(
    admin: Actor, token: Callable[..., str], make: Callable[..., Instance]
) -> None:
    row, client = make("web"), token_client(token("ada", "operate"))
    assert client.get(f"{BASE}/compute/instances").json()["total"] == 1
    assert client.put(f"{BASE}/compute/instances/{row.pk}/stop").status_code == 202
    refused(client.get(f"{BASE}/users"), 403, "PERMISSION_DENIED")
    body = {"name": "x", "backend": "fake", "config": {"image": "demo", "privileged": True}}
    refused(client.post(f"{BASE}/compute/instances", body, format="json"), 403, "POLICY_DENIED")


@attack("S16", "an operator's token with an administrator's scope", refused="no more than its owner may")
def test_an_admin_scope_never_lifts_an_operator(operator: Actor, token: Callable[..., str]) -> None:
    refused(token_client(token("oscar", "admin")).get(f"{BASE}/users"), 403, "PERMISSION_DENIED")


def test_projects_narrow_it(
    admin: Actor, token: Callable[..., str], make: Callable[..., Instance], project: Project
) -> None:
    row, other = make("web"), Project.objects.create(name="other")
    elsewhere = token_client(token("ada", "admin", projects=["other"]))
    refused(elsewhere.get(f"{BASE}/compute/instances/{row.pk}"), 404, "INSTANCE_NOT_FOUND")
    refused(elsewhere.get(f"{BASE}/users"), 403, "PERMISSION_DENIED")
    assert [each["name"] for each in elsewhere.get(f"{BASE}/projects").json()["items"]] == ["other"]
    here = token_client(token("ada", "operate", projects=[str(project.pk)]))
    assert here.get(f"{BASE}/compute/instances/{row.pk}").status_code == 200
    other.delete()
    assert elsewhere.get(f"{BASE}/projects").json()["total"] == 0


def test_foreign_projects_cannot_be_named(operator: Actor, log_in: Callable[..., Any]) -> None:
    Project.objects.create(name="other")
    client = bearer(log_in("oscar").json()["access"])
    body = {"name": "x", "scopes": ["read"], "projects": ["other"]}
    error = refused(client.post(TOKENS, body, format="json"), 400, "INVALID_INPUT")
    assert "projects" in error["details"]["fields"]


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"},
        {"scopes": ["read"], "expires_at": "2999-01-01T00:00:00Z"},
        {"scopes": ["read"], "projects": []},
    ],
    ids=str,
)
def test_bad_wishes_name_their_field(operator: Actor, log_in: Callable[..., Any], body: Any) -> None:
    client = bearer(log_in("oscar").json()["access"])
    refused(client.post(TOKENS, {"name": "x", **body}, format="json"), 400, "INVALID_INPUT")
    assert not ApiToken.objects.exists()


@attack("S16", "a token that makes further tokens", refused="refused")
def test_a_token_makes_no_tokens_and_shuts_nobody_out(
    admin: Actor, token: Callable[..., str], log_in: Callable[..., Any]
) -> None:
    first, second = token("ada", "admin"), token("ada", "admin")
    client, other = token_client(first), ApiToken.objects.order_by("created_at").last()
    assert other is not None
    asks = [
        ("post", "/profile/tokens", {"name": "x", "scopes": ["read"]}),
        ("delete", f"/profile/tokens/{other.pk}", None),
        ("put", "/profile/password", {"old_password": PASSWORD, "new_password": "another long sentence"}),
        ("put", "/profile", {"email": "x@example.test"}),
        ("put", f"/users/{admin.user_id}", {"password": "another long sentence"}),
        ("post", "/profile/second-factor", {"password": PASSWORD}),
        ("post", "/auth/logout", {}),
        ("delete", f"/users/{admin.user_id}/second-factor", None),
    ]
    for method, path, body in asks:
        answer = getattr(client, method)(f"{BASE}{path}", body, format="json")
        assert refused(answer, 403, "PERMISSION_DENIED")["details"]["rule"] == "token"
    assert log_in("ada").status_code == 200
    own = ApiToken.objects.get(prefix=first.split("_")[1])
    assert client.delete(f"{TOKENS}/{own.pk}").status_code == 204, "it may end itself"
    refused(client.get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    assert token_client(second).get(f"{BASE}/users").status_code == 200


def test_others_tokens_are_404(admin: Actor, viewer: Actor, token: Callable[..., str], log_in: Any) -> None:
    token("vera", "read")
    client = bearer(log_in("ada").json()["access"])
    refused(client.delete(f"{TOKENS}/{ApiToken.objects.get().pk}"), 404, "NOT_FOUND")
    refused(client.delete(f"{TOKENS}/nonsense"), 404, "NOT_FOUND")


def test_it_ends_by_its_date_by_revocation_and_with_its_account(
    admin: Actor, operator: Actor, token: Callable[..., str]
) -> None:
    soon = token("oscar", "read", expires_at=(timezone.now() + timedelta(minutes=5)).isoformat())
    assert token_client(soon).get(f"{BASE}/profile").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refused(token_client(soon).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    lasting = token("oscar", "read")
    user_update(admin, str(operator.user_id), {"is_active": False})
    refused(token_client(lasting).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    user_update(admin, str(operator.user_id), {"is_active": True})
    refused(token_client(lasting).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    again = token("oscar", "read")
    User.objects.get(pk=operator.user_id).delete()
    refused(token_client(again).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")


@attack("S14 S16", "API tokens and sessions after a new password", refused="401")
def test_a_new_password_ends_every_token_and_session(
    operator: Actor, token: Callable[..., str], log_in: Callable[..., Any]
) -> None:
    text, pair, other = token("oscar", "read"), log_in("oscar").json(), log_in("oscar").json()
    body = {"old_password": PASSWORD, "new_password": "another long sentence"}
    answer = bearer(pair["access"]).put(f"{BASE}/profile/password", body, format="json")
    assert answer.status_code == 204
    refused(token_client(text).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    refused(bearer(other["access"]).get(f"{BASE}/profile"), 401, "UNAUTHENTICATED")
    spent = APIClient().post(f"{BASE}/auth/refresh", {"refresh": other["refresh"]}, format="json")
    refused(spent, 401, "UNAUTHENTICATED")


def test_rights_are_those_of_now(
    operator: Actor, token: Callable[..., str], make: Callable[..., Instance]
) -> None:
    row, client = make("web"), token_client(token("oscar", "operate"))
    Membership.objects.filter(user_id=operator.user_id).update(role="viewer")
    refused(client.put(f"{BASE}/compute/instances/{row.pk}/stop"), 403, "PERMISSION_DENIED")


def test_the_last_use_is_written_once_a_minute(operator: Actor, token: Callable[..., str]) -> None:
    client = token_client(token("oscar", "read"))
    client.get(f"{BASE}/profile")
    row = ApiToken.objects.get()
    assert row.last_used_at is not None and row.last_address == "127.0.0.1"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for _ in range(5):
            client.get(f"{BASE}/profile")
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    client.get(f"{BASE}/profile")
    assert ApiToken.objects.get().last_used_at >= row.last_used_at  # type: ignore[operator]


def test_the_list_costs_the_same_for_one_and_many(
    admin: Actor, token: Callable[..., str], log_in: Callable[..., Any], project: Project
) -> None:
    client = bearer(log_in("ada").json()["access"])
    counts = []
    for _ in range(2):
        token("ada", "read", projects=[str(project.pk)])
        token("ada", "read")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(TOKENS).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_what_a_token_did_is_audited_with_it(admin: Actor, token: Callable[..., str]) -> None:
    client = token_client(token("ada", "admin"))
    assert client.post(f"{BASE}/projects", {"name": "by-token"}, format="json").status_code == 201
    event = AuditEvent.objects.get(action="project.create")
    assert event.username == "ada" and event.details["by_token"] == str(ApiToken.objects.get().pk)


def test_an_operation_does_no_more_than_the_token_that_asked_for_it(
    admin: Actor, token: Callable[..., str], make: Callable[..., Instance]
) -> None:
    """Workers read rights again: not those that the token did not reach."""
    row, asked = make("web"), {}
    for scope in ("operate", "admin"):
        client = token_client(token("ada", scope))
        answer = client.put(f"{BASE}/compute/instances/{row.pk}/{'stop' if scope == 'operate' else 'pause'}")
        assert answer.status_code == 202, answer.content
        operation = Operation.objects.get(pk=answer.json()["operation"]["id"])
        asked[scope] = operation_actor(operation)
        assert operation.token_uid == ApiToken.objects.get(scopes=[scope]).pk
        assert grants_of(operation, row.project_id).everything is (scope == "admin")
        Operation.objects.filter(pk=operation.pk).update(state="succeeded")
    assert (asked["operate"].is_admin, asked["admin"].is_admin) == (False, True)
    User.objects.filter(pk=admin.user_id).update(is_superuser=False)
    operation = Operation.objects.get(token_uid=asked["admin"].credential.token_id)
    assert operation_actor(operation).is_admin is False


def test_what_an_operation_did_is_audited_with_its_token_and_from_where(
    operator: Actor,
    token: Callable[..., str],
    make: Callable[..., Instance],
    django_capture_on_commit_callbacks: Any,
) -> None:
    row, client = make("web"), token_client(token("oscar", "operate"))
    with django_capture_on_commit_callbacks(execute=True):
        assert client.put(f"{BASE}/compute/instances/{row.pk}/stop").status_code == 202
    event = AuditEvent.objects.get(action="instance.stop")
    assert (event.username, event.remote_address) == ("oscar", "127.0.0.1")
    assert event.details["by_token"] == str(ApiToken.objects.get().pk)
