"""The Django admin: it asks the matrix, changes by the services, and tells the audit what was before."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Permission as DjangoPermission
from django.test import Client

from compute.actor import SYSTEM, Actor
from compute.admin_site import MatrixAdmin
from compute.audit import audit
from compute.models import AuditEvent, Instance, Membership, Project, User
from compute.permissions import ACTIONS
from tests.attacks.catalogue import attack
from tests.compute.access.ground import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]


def _client(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


def _lists() -> list[str]:
    models = [model._meta for model in django_admin.site._registry]
    return [f"/admin/{each.app_label}/{each.model_name}/" for each in models]


def _last(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).order_by("-id")[0]


def _form(answer: Any, **changed: Any) -> dict[str, Any]:
    """What the page's own form would send, with some of it changed."""
    form = answer.context["adminform"].form
    found = {name: form[name].value() for name in form.fields if name != "password"}
    for inline in answer.context["inline_admin_formsets"]:
        formset = inline.formset
        management = formset.management_form
        found |= {management.add_prefix(name): management[name].value() for name in management.fields}
        for row in formset.initial_forms:
            found |= {row.add_prefix(name): row[name].value() for name in row.fields}
    found |= changed
    return {name: value for name, value in found.items() if value is not None and value is not False}


_ASKS = ("has_view_permission", "has_add_permission", "has_change_permission", "has_module_permission")


_CHANGED_THERE = {User, Project, Membership}


@attack(
    "S86",
    "adding, changing and deleting by hand, as a site administrator, what the admin site only shows: states, "
    "engine ids, operations, the audit",
    refused="403 for each; every row is as it was",
    audit="as it was",
)
def test_what_is_only_shown_is_not_changed(admin: Actor, make: Callable[..., Instance]) -> None:
    web, client, tried = make("web"), _client(admin), 0
    audit(SYSTEM, "test.one", "web")
    kept = [dict(row) for row in (*Instance.objects.values(), *AuditEvent.objects.values())]
    for model in set(django_admin.site._registry) - _CHANGED_THERE:
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert client.post(f"{path}add/", {"name": "planted"}).status_code == 403, path
        for row in model._default_manager.all()[:3]:
            body = {"state": "stopped", "engine_id": "another", "result": "ok", "username": "mallory"}
            assert client.post(f"{path}{row.pk}/change/", body).status_code == 403, path
            assert client.post(f"{path}{row.pk}/delete/", {"post": "yes"}).status_code == 403, path
            many = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
            assert client.post(path, many).status_code in (200, 302, 403), path
            assert model._default_manager.filter(pk=row.pk).exists(), f"{path}: deleted"
            tried += 1
    assert tried >= 3 and web in Instance.objects.all()
    assert [dict(row) for row in (*Instance.objects.values(), *AuditEvent.objects.values())] == kept


def test_everything_in_it_asks_the_matrix() -> None:
    for model, found in django_admin.site._registry.items():
        assert isinstance(found, MatrixAdmin), model
        assert {f"{found.noun}.{verb}" for verb in found.verbs.values()} <= set(ACTIONS), model
        for name in _ASKS:
            assert getattr(type(found), name) is getattr(MatrixAdmin, name), f"{model} decides by itself"


_NOT_SHOWN = re.compile(r"secret|passw|digest|hash|seal|params|config|data|options|steps|^scope$")


@attack(
    "S86",
    "guessing seals, hashes and parameters by the filters of each list of the admin site",
    refused="400 for what a list does not offer; no list offers one",
)
def test_no_list_is_filtered_by_what_it_does_not_show(admin: Actor) -> None:
    client, tried = _client(admin), 0
    for model, found in django_admin.site._registry.items():
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        names = [field.name for field in model._meta.concrete_fields if _NOT_SHOWN.search(field.name)]
        assert not set(names) & {*map(str, found.list_filter), *map(str, found.list_display)}, path
        related = [f"{name}__password" for name in map(str, found.list_filter) if name == "user"]
        for name in [*names, *related]:
            for how in ("startswith", "contains", "regex", "isnull"):
                assert client.get(f"{path}?{name}__{how}=1").status_code == 400, f"{path} {name}"
                tried += 1
        for name in map(str, found.list_filter):
            assert client.get(f"{path}?{name}__isnull=False").status_code in (200, 302), f"{path} {name}"
    assert tried > 30


@attack("S86", "the admin site as anybody but a site administrator", refused="refused")
def test_a_site_administrator_sees_all_of_it_and_nobody_else_any(
    admin: Actor, operator: Actor, viewer: Actor, stranger: Actor
) -> None:
    lists = [*_lists(), "/admin/", "/admin/compute/user/add/", f"/admin/compute/user/{admin.user_id}/change/"]
    client = _client(admin)
    assert {path: client.get(path).status_code for path in lists} == dict.fromkeys(lists, 200)
    for path in _lists():
        changeable = path in ("/admin/compute/user/", "/admin/compute/project/", "/admin/compute/membership/")
        assert client.get(f"{path}add/").status_code == (200 if changeable else 403), path
    Membership.objects.filter(user_id=stranger.user_id).delete()
    for actor in (operator, viewer, stranger):
        # As far as Django's own permissions go: all of them. They count for nothing.
        user = User.objects.get(pk=actor.user_id)
        user.is_staff = True
        user.save()
        user.user_permissions.set(DjangoPermission.objects.all())
        client = _client(actor)
        for path in lists:
            assert client.get(path).status_code == 302, f"{path} as {actor.username}"
            assert client.post(path, {}).status_code == 302, f"{path} as {actor.username}"


def test_an_account_is_changed_with_all_that_follows(admin: Actor, operator: Actor, project: Project) -> None:
    client = _client(admin)
    path = f"/admin/compute/user/{operator.user_id}/change/"
    version = User.objects.get(pk=operator.user_id).token_version
    answer = client.post(path, _form(client.get(path), is_active=False, email="o@new.example"))
    assert answer.status_code == 302, answer.content
    row = _last("user.update")
    assert row.details["before"] == {"is_active": True, "email": "oscar@example.test"}
    assert row.details["after"] == {"is_active": False, "email": "o@new.example"}
    assert row.target == "oscar" and row.username == "ada" and row.method == "session"
    user = User.objects.get(pk=operator.user_id)
    assert not user.is_active and user.token_version == version + 1
    client.post(path, _form(client.get(path), is_active=True, is_superuser=True))
    user.refresh_from_db()
    assert user.is_staff and user.is_superuser
    answer = client.post(path.replace("change", "delete"), {"post": "yes"})
    assert answer.status_code == 302 and _last("user.delete").target == "oscar"


def test_the_last_administrator_stays(admin: Actor) -> None:
    client = _client(admin)
    path = f"/admin/compute/user/{admin.user_id}/"
    answer = client.post(
        f"{path}change/", _form(client.get(f"{path}change/"), is_superuser=False), follow=True
    )
    assert b"without an administrator" in answer.content
    answer = client.post(f"{path}delete/", {"post": "yes"}, follow=True)
    assert b"without an administrator" in answer.content
    chosen = {"action": "delete_selected", "_selected_action": [str(admin.user_id)], "post": "yes"}
    assert b"without an administrator" in client.post("/admin/compute/user/", chosen, follow=True).content
    assert User.objects.get(pk=admin.user_id).is_superuser


def test_an_account_is_made(admin: Actor) -> None:
    client = _client(admin)
    form = {"username": "nina", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    form |= {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    assert client.post("/admin/compute/user/add/", form).status_code == 302
    assert _last("user.create").target == "nina" and PASSWORD not in str(_last("user.create").details)


def test_memberships_are_made_changed_and_ended(admin: Actor, viewer: Actor) -> None:
    client = _client(admin)
    other, third = Project.objects.create(name="shop"), Project.objects.create(name="third")
    given = {"user": str(viewer.user_id), "project": str(other.pk), "role": "viewer"}
    assert client.post("/admin/compute/membership/add/", given).status_code == 302
    row = Membership.objects.get(project=other)
    path = f"/admin/compute/membership/{row.pk}/"
    assert client.post(f"{path}change/", {**given, "role": "operator"}).status_code == 302
    told = _last("project.member")
    assert (told.details["before"], told.details["after"]) == ({"role": "viewer"}, {"role": "operator"})
    assert told.project_uid == other.pk
    client.post(f"{path}change/", {**given, "project": str(third.pk), "role": "operator"})
    assert not Membership.objects.filter(project=other).exists()
    assert _last("project.member_removed").target == "shop"
    assert Membership.objects.get(project=third, user_id=viewer.user_id).role == "operator"
    page = client.get(f"/admin/compute/project/{third.pk}/change/")
    gone = next(name for name in _form(page) if name.endswith("-role"))
    form = _form(page, **{gone.replace("-role", "-DELETE"): "on"})
    assert client.post(f"/admin/compute/project/{third.pk}/change/", form).status_code == 302
    assert not Membership.objects.filter(project=third).exists()


def test_a_project_is_changed_and_what_holds_something_stays(
    admin: Actor, make: Callable[..., Instance], project: Project
) -> None:
    client = _client(admin)
    empty = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    given = {"name": "shop", "max_instances": "3", **empty}
    assert client.post("/admin/compute/project/add/", given).status_code == 302
    shop = Project.objects.get(name="shop")
    assert shop.max_instances == 3 and _last("project.create").target_uid == shop.pk
    path = f"/admin/compute/project/{shop.pk}/"
    client.post(f"{path}change/", _form(client.get(f"{path}change/"), max_instances="5"))
    told = _last("project.update").details
    assert (told["before"], told["after"]) == ({"max_instances": 3}, {"max_instances": 5})
    bad = client.post(f"{path}change/", _form(client.get(f"{path}change/"), name="no/such name"), follow=True)
    assert bad.status_code == 200 and Project.objects.filter(name="shop").exists()
    instance = make("web")
    Instance.objects.filter(pk=instance.pk).update(project=shop)
    answer = client.post(f"{path}delete/", {"post": "yes"}, follow=True)
    assert answer.status_code == 200 and Project.objects.filter(pk=shop.pk).exists()
    Instance.objects.filter(pk=instance.pk).update(project=project)
    client.post(f"{path}delete/", {"post": "yes"})
    assert not Project.objects.filter(pk=shop.pk).exists() and _last("project.delete").target == "shop"
