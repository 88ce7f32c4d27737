"""Coming in through a real LDAP server: slapd, started by the test."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.actor import Actor
from compute.directories.ldap import ldap_look
from compute.models import AuditEvent, DirectoryGrant, DirectoryIdentity, Membership, Project, User
from compute.sign_in_tasks import directory_refresh
from tests.authority import Authority
from tests.compute.signin.conftest import BASE as API
from tests.compute.signin.conftest import bearer, refused, token_client
from tests.ldap_server import BASE, PASSWORD, LdapServer
from tests.live import strain

pytestmark = pytest.mark.django_db
GROUPS = [
    {"group": "libgo-admins", "role": "admin", "project": ""},
    {"group": f"cn=web,ou=groups,{BASE}", "role": "operator", "project": "web"},
    {"group": "auditors", "role": "viewer", "project": ""},
    {"group": "web-readers", "role": "viewer", "project": "web"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LdapServer]:
    server = LdapServer(tmp_path_factory.mktemp("ldap") / "server").start()
    server.person("alice")
    server.person("mallory")
    server.person("gone", shadowExpire="1")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def ldap(server: LdapServer, settings: Any, project: Project) -> Iterator[Callable[..., None]]:
    """Switched on; ``ldap(key=value)`` changes the configuration."""
    before = dict(settings.LIBGO["ldap"])

    def change(**changes: Any) -> None:
        settings.LIBGO["ldap"].update(server.config(groups=GROUPS, **changes))

    change()
    yield change
    settings.LIBGO["ldap"].clear()
    settings.LIBGO["ldap"].update(before)


@pytest.fixture
def enter(log_in: Callable[..., Any]) -> Callable[..., Any]:
    def _enter(username: str = "alice", password: str = PASSWORD) -> Any:
        return log_in(username, password)

    return _enter


def test_the_first_sign_in_makes_the_account_and_the_second_finds_it(
    ldap: Callable[..., None], enter: Callable[..., Any]
) -> None:
    first = enter()
    assert first.status_code == 200, first.content
    assert first.json()["user"]["email"] == "alice@example.org"
    user = User.objects.get(username="alice")
    assert not user.has_usable_password() and user.directory.provider == "ldap"
    assert user.directory.subject != "alice"
    assert enter("ALICE").json()["user"]["id"] == str(user.pk)
    assert AuditEvent.objects.filter(action="auth.login", details__method="ldap").count() == 2
    body = {"old_password": PASSWORD, "new_password": "another long sentence"}
    own = bearer(first.json()["access"])
    refused(own.put(f"{API}/profile/password", body, format="json"), 409, "INVALID_STATE")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", "wrong"),
        ("nobody", PASSWORD),
        ("*", PASSWORD),
        ("ali*", PASSWORD),
        ("alice)(uid=*", PASSWORD),
        ("*)(objectClass=*", PASSWORD),
        ("gone", PASSWORD),
        (f"uid=alice,ou=people,{BASE}", PASSWORD),
    ],
    ids=["password", "unknown", "star", "prefix", "filter", "all", "expired", "dn"],
)
def test_who_is_not_let_in(
    ldap: Callable[..., None], enter: Callable[..., Any], username: str, password: str
) -> None:
    refused(enter(username, password), 401, "UNAUTHENTICATED")
    assert not User.objects.exists()


def test_an_empty_password_is_nobody(ldap: Callable[..., None], client: Any) -> None:
    answer = client.post("/login", {"username": "alice", "password": ""})
    assert answer.status_code == 401 and not User.objects.exists()


def test_a_local_account_of_the_name_is_never_taken_over(
    ldap: Callable[..., None], enter: Callable[..., Any]
) -> None:
    own = User.objects.create_superuser("alice", "alice@example.org", "correct horse battery")
    refused(enter(), 401, "UNAUTHENTICATED")
    User.objects.filter(pk=own.pk).update(username="Alice")
    refused(enter(), 401, "UNAUTHENTICATED")
    assert enter("Alice", "correct horse battery").status_code == 200
    assert not DirectoryIdentity.objects.exists()


def test_groups_give_roles_and_take_back_only_their_own(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer, project: Project, admin: Actor
) -> None:
    web, other = Project.objects.create(name="web"), Project.objects.create(name="other")
    alice = f"uid=alice,ou=people,{BASE}"
    server.group("web", alice)
    server.group("web-readers", alice)
    server.group("auditors", alice)
    user = enter().json()["user"]
    roles = {row["name"]: row["role"] for row in user["projects"]}
    assert roles == {"web": "operator", project.name: "viewer"} and not user["is_admin"]
    Membership.objects.create(user_id=user["id"], project=other, role="operator")
    server.group("web")
    server.group("libgo-admins", alice)
    user = enter().json()["user"]
    roles = {row["name"]: row["role"] for row in user["projects"]}
    assert roles == {"web": "viewer", project.name: "viewer", "other": "operator"} and user["is_admin"]
    Membership.objects.filter(user_id=user["id"], project=web).update(role="admin")
    for name in ("libgo-admins", "web-readers", "auditors"):
        server.group(name)
    user = enter().json()["user"]
    roles = {row["name"]: row["role"] for row in user["projects"]}
    assert roles == {"web": "admin", "other": "operator"} and not user["is_admin"]
    assert not DirectoryGrant.objects.filter(user_id=user["id"]).exists()
    changes = AuditEvent.objects.filter(action="directory.roles").order_by("pk")
    after = [f"operator of {web.name}", f"viewer of {project.name}"]
    assert changes[0].details == {"before": [], "after": after}


def test_only_members_of_named_groups_if_so_wished(
    ldap: Callable[..., None], enter: Callable[..., Any]
) -> None:
    ldap(allow_all=False)
    error = refused(enter("mallory"), 403, "POLICY_DENIED")
    assert error["details"]["rule"] == "groups" and not User.objects.exists()
    assert AuditEvent.objects.get(result="refused").details["reason"] == "groups"


def test_an_account_switched_off_here_stays_out(ldap: Callable[..., None], enter: Callable[..., Any]) -> None:
    enter()
    User.objects.update(is_active=False)
    refused(enter(), 401, "UNAUTHENTICATED")


def test_a_reused_name_is_another_person(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer
) -> None:
    dn = server.person("temp")
    first = enter("temp").json()["user"]["id"]
    server.remove(dn)
    server.person("temp")
    assert refused(enter("temp"), 403, "POLICY_DENIED")["details"]["rule"] == "account_taken"
    assert str(User.objects.get(username="temp").pk) == first
    server.remove(dn)


def test_who_leaves_the_directory_loses_what_is_open_here(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer, admin: Actor
) -> None:
    dn, stays = server.person("leaver"), enter("alice").json()["access"]
    access = enter("leaver").json()["access"]
    body = {"name": "ci", "scopes": ["read"]}
    token = bearer(access).post(f"{API}/profile/tokens", body, format="json").json()["token"]
    server.group("libgo-admins", dn)
    directory_refresh()
    assert bearer(access).get(f"{API}/users").status_code == 200, "groups are followed meanwhile, too"
    server.group("libgo-admins")
    server.remove(dn)
    directory_refresh()
    refused(bearer(access).get(f"{API}/profile"), 401, "UNAUTHENTICATED")
    refused(token_client(token).get(f"{API}/profile"), 401, "UNAUTHENTICATED")
    assert bearer(stays).get(f"{API}/profile").status_code == 200
    assert AuditEvent.objects.filter(action="directory.gone").count() == 1
    directory_refresh()
    assert AuditEvent.objects.filter(action="directory.gone").count() == 1


def test_a_directory_that_is_away_or_knows_nobody_any_more_ends_nothing(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer
) -> None:
    for name in ("anna", "bert", "carl"):
        server.person(name)
    accesses = [enter(name).json()["access"] for name in ("anna", "bert", "carl")]
    for change in ({"uri": "ldaps://127.0.0.1:1"}, {"base_dn": f"ou=nowhere,{BASE}"}, {"id_attribute": "cn"}):
        ldap(**change)
        directory_refresh()
        ldap(uri=f"ldaps://127.0.0.1:{server.tls_port}", base_dn=BASE, id_attribute="entryUUID")
    assert {bearer(access).get(f"{API}/profile").status_code for access in accesses} == {200}


def test_start_tls_is_verified_like_ldaps(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer, tmp_path: Path
) -> None:
    ldap(uri=f"ldap://127.0.0.1:{server.port}")
    assert enter().status_code == 200
    for uri in (f"ldap://127.0.0.1:{server.port}", f"ldaps://127.0.0.1:{server.tls_port}"):
        stranger = tmp_path / uri.partition(":")[0]
        ldap(uri=uri, ca_path=Authority(stranger).ca)
        refused(enter(), 503, "BACKEND_UNAVAILABLE")
        ldap(uri=uri.replace("127.0.0.1", "localhost"))
        refused(enter(), 503, "BACKEND_UNAVAILABLE")
        ldap(uri=uri, ca_path="")
        refused(enter(), 503, "BACKEND_UNAVAILABLE")


def test_a_server_that_does_not_answer_holds_nobody_up(
    ldap: Callable[..., None], enter: Callable[..., Any], server: LdapServer, admin: Actor
) -> None:
    ldap(timeout_s=0.5)
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        refused(enter(), 503, "BACKEND_UNAVAILABLE")
        assert time.monotonic() - began < 5 * strain()
        assert enter("ada", "correct horse battery").status_code == 200, "local accounts go on"
    finally:
        server.signal(signal.SIGCONT)


def test_doctor_names_what_is_wrong(ldap: Callable[..., None], server: LdapServer) -> None:
    assert ldap_look(settings_of(server)) == ""
    assert "ldap.bindDn" in ldap_look(settings_of(server, bind_password="wrong"))
    assert "ldap.baseDn" in ldap_look(settings_of(server, base_dn="dc=nowhere,dc=org"))
    assert ldap_look(settings_of(server, uri="ldaps://127.0.0.1:1"))


def settings_of(server: LdapServer, **changes: Any) -> dict[str, Any]:
    return {"group_base_dn": "", **server.config(**changes)}
