"""A page's form, opened and saved as it is, changes nothing of what the API has set, also where it has no
field for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from django.test import Client
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import Instance, Node, User
from tests.compute.api.conftest import as_admin  # noqa: F401

pytestmark = pytest.mark.django_db
_ODD_BYTES = 1_234_567_891
# Who wrote it last, and when, does change.
_STAMPS = {"updated_at", "links", "next", "next_at", "version", "shown_version", "versions", "usage"}
Ids = dict[str, str]


@dataclass(frozen=True)
class Form:
    """``made``: what is POSTed to ``path``, or with ``is_there`` PUT to it. ``page`` is the form's address;
    words in braces are ids of what the test made."""

    path: str
    page: str
    made: dict[str, Any] = field(default_factory=dict)
    is_there: bool = False


_SCHEDULE = {
    "cron": "30 2 * * *",
    "timezone": "Europe/Vienna",
    "missed": "late",
    "missed_within_s": 5431,
    "overlap": "run",
}
FORMS: dict[str, Form] = {
    "backup schedule": Form(
        "/compute/schedules",
        "/schedules/{id}/edit",
        {
            **_SCHEDULE,
            "action": "backup",
            "options": {"target": "{target}", "description": "for the auditors"},
            "target": {"filter": {"type": "vm", "labels": {"tier": "front"}, "q": "web", "node": "fake-1"}},
            "keep": {"last": 2, "daily": 7, "weekly": 4},
        },
    ),
    "snapshot schedule of chosen ones, paused": Form(
        "/compute/schedules",
        "/schedules/{id}/edit",
        {
            **_SCHEDULE,
            "action": "snapshot",
            "options": {"description": "before the night"},
            "target": {"ids": ["{instance}"]},
            "is_enabled": False,
        },
    ),
    "stop schedule": Form(
        "/compute/schedules",
        "/schedules/{id}/edit",
        {
            **_SCHEDULE,
            "action": "stop",
            "options": {"timeout": 17, "force": True},
            "target": {"filter": {"image": "demo*", "node": "{node}"}},
        },
    ),
    "restart schedule": Form(
        "/compute/schedules",
        "/schedules/{id}/edit",
        {
            **_SCHEDULE,
            "action": "restart",
            "options": {"timeout": 3},
            "target": {"filter": {"backend": "fake"}},
        },
    ),
    "delete schedule": Form(
        "/compute/schedules",
        "/schedules/{id}/edit",
        {
            **_SCHEDULE,
            "action": "delete",
            "options": {"keep_storage": True},
            "target": {"filter": {"state": "stopped"}},
        },
    ),
    "alert rule of a measure": Form(
        "/alerts/rules",
        "/alerts/rules/{id}",
        {
            "kind": "instance_usage",
            "metric": "memory_bytes",
            "above": False,
            "threshold": _ODD_BYTES,
            "clear_threshold": _ODD_BYTES + 1,
            "for_s": 61,
            "severity": "critical",
            "channels": ["{channel_name}"],
            "enabled": False,
            "instance": "{instance}",
            "node": "{node}",
            "silenced_until": "2035-01-01T00:00:00Z",
        },
    ),
    "alert rule of operations": Form(
        "/alerts/rules",
        "/alerts/rules/{id}",
        {
            "kind": "operation_failed",
            "action": "backup",
            "severity": "info",
            "for_s": 0,
            "project": "default",
        },
    ),
    "webhook": Form(
        "/alerts/channels",
        "/alerts/channels/{id}",
        {
            "kind": "webhook",
            "url": "https://example.org/hook?token=a%20b&c=d",
            "allow_internal": True,
            "enabled": False,
            "project": "default",
        },
    ),
    "mail": Form(
        "/alerts/channels",
        "/alerts/channels/{id}",
        {"kind": "email", "recipients": ["a@example.org", "b+c@example.org"]},
    ),
    "bucket for backups": Form(
        "/backups/targets",
        "/backups/targets/{id}",
        {
            "kind": "s3",
            "options": {
                "bucket": "backups",
                "endpoint": "https://s3.example.org",
                "region": "eu-1",
                "prefix": "a/b",
            },
            "credentials": {"access_key": "AK", "secret_key": "SK"},
            "projects": ["{project}"],
            "is_enabled": False,
        },
    ),
    "template": Form(
        "/compute/templates",
        "/templates/{id}/edit",
        {
            "backend": "fake",
            "description": "of <b>two</b> lines & more",
            "body": {
                "config": {
                    "image": "demo:latest",
                    "env": {"A": "${who}", "PASSWORD": "${word}", "B": "ä\"\\n'"},
                },
                "labels": {"a": "b"},
                "resources": {"memory": {"limit": _ODD_BYTES}},
            },
            "parameters": [
                {"name": "who", "type": "string", "default": "me", "description": "Who?"},
                {"name": "word", "type": "string", "secret": True, "required": True},
            ],
        },
    ),
    "adoption rule": Form(
        "/compute/adoption-rules",
        "/compute/adopt/rules/{id}",
        {
            "project": "default",
            "position": 7,
            "enabled": False,
            "filter": {
                "node": "fake-1",
                "backend": "fake",
                "name": "web-*",
                "image": "nginx:*",
                "network": "front*",
                "labels": {"a.b/c": "x=y*", "any": ""},
            },
        },
    ),
    "limits of the site": Form(
        "/compute/limits",
        "/limits/site",
        {
            "max_instances": 11,
            "max_memory_bytes": _ODD_BYTES,
            "max_storage_bytes": _ODD_BYTES * 3 + 1,
            "max_cpu_cores": 2.345,
            "assumed_memory_bytes": _ODD_BYTES,
            "cpu_overcommit": 1.25,
            "memory_overcommit": 1.0,
        },
        is_there=True,
    ),
    "limits of a project": Form(
        "/projects/{project}/limits",
        "/limits/projects/{project}",
        {"max_instances": 11, "max_memory_bytes": _ODD_BYTES, "max_storage_bytes": 5, "max_cpu_cores": 0.125},
        is_there=True,
    ),
    "limits of a person": Form(
        "/users/{user}/limits",
        "/limits/users/{user}",
        {"max_instances": 11, "max_memory_bytes": _ODD_BYTES, "max_storage_bytes": 5},
        is_there=True,
    ),
    "placement on a node": Form(
        "/nodes/{node}",
        "/limits/nodes/{node}",
        {"labels": {"zone": "a=b", "rack": "7"}, "cpu_overcommit": 3.5, "memory_overcommit": None},
        is_there=True,
    ),
}


@pytest.fixture
def ids(
    as_admin: APIClient,  # noqa: F811
    admin: Actor,
    operator: Actor,
    make: Callable[..., Instance],
    fake_node: Node,
    settings: Any,
    tmp_path: Path,
) -> Ids:
    """What the forms of the table are about, beside what they change."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    made = make("web")
    channel = as_admin.post(
        "/api/v1/alerts/channels",
        {"name": "hook", "kind": "webhook", "url": "https://example.org/"},
        format="json",
    ).json()
    bucket = {"bucket": "backups", "endpoint": "https://s3.example.org"}
    keys = {"access_key": "AK", "secret_key": "SK"}
    vault = {"name": "vault", "kind": "s3", "options": bucket, "credentials": keys}
    target = as_admin.post("/api/v1/backups/targets", vault, format="json").json()
    return {
        "instance": str(made.pk),
        "node": str(fake_node.pk),
        "project": str(made.project_id),
        "user": str(operator.user_id),
        "channel_name": str(channel["name"]),
        "target": str(target["id"]),
    }


def _filled(value: Any, ids: Ids) -> Any:
    if isinstance(value, str) and "${" not in value:
        for name, word in ids.items():
            value = value.replace(f"{{{name}}}", word)
    if isinstance(value, dict):
        return {key: _filled(each, ids) for key, each in value.items()}
    return [_filled(each, ids) for each in value] if isinstance(value, list) else value


def _made(api: APIClient, form: Form, ids: Ids) -> str:
    """The path of what it changes."""
    path, body = f"/api/v1{_filled(form.path, ids)}", _filled(form.made, ids)
    if form.is_there:
        answer = api.put(path, body, format="json")
        assert answer.status_code == 200, answer.content
        return path
    answer = api.post(path, {"name": f"n-{uuid.uuid4().hex[:6]}", **body}, format="json")
    assert answer.status_code == 201, answer.content
    return f"{path}/{answer.json()['id']}"


def _shown(api: APIClient, path: str) -> dict[str, Any]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.content
    return {name: value for name, value in answer.json().items() if name not in _STAMPS}


@pytest.mark.parametrize("name", FORMS)
def test_an_untouched_form_changes_nothing(
    name: str,
    as_admin: APIClient,  # noqa: F811
    admin: Actor,
    ids: Ids,
    client: Client,
) -> None:
    form = FORMS[name]
    path = _made(as_admin, form, ids)
    page = _filled(form.page, {**ids, "id": path.rpartition("/")[2]})
    before = _shown(as_admin, path)
    client.force_login(User.objects.get(pk=admin.user_id))
    given: dict[str, list[str]] = {}
    for key, value in _values(client, page):
        given.setdefault(key, []).append(value)
    answer = client.post(page, given)
    assert answer.status_code in (204, 302), answer.content.decode()
    assert _shown(as_admin, path) == before
    asked = _filled(form.made, ids)
    told = {key: value for key, value in before.items() if key in asked and not isinstance(value, dict)}
    assert told, "what was set is shown"


def test_what_has_no_field_is_shown_and_another_action_does_not_inherit_it(
    as_admin: APIClient,  # noqa: F811
    admin: Actor,
    ids: Ids,
    client: Client,
) -> None:
    form = FORMS["backup schedule"]
    path = _made(as_admin, form, ids)
    page = _filled(form.page, {**ids, "id": path.rpartition("/")[2]})
    client.force_login(User.objects.get(pk=admin.user_id))
    assert "description: for the auditors" in client.get(page).content.decode()
    given = {**dict(_values(client, page)), "action": "restart", "keep_last": "", "keep_daily": ""}
    assert client.post(page, {**given, "keep_weekly": ""}).status_code == 302
    shown = _shown(as_admin, path)
    assert (shown["action"], shown["options"]) == ("restart", {})
    assert shown["target"]["filter"]["labels"] == {"tier": "front"}


def _values(client: Client, page: str) -> list[tuple[str, str]]:
    """What a browser would send of the page's largest form."""
    shown = client.get(page)
    assert shown.status_code == 200, shown.content
    forms = lxml.html.fromstring(shown.content.decode()).forms
    return list(max((form.form_values() for form in forms), key=len))
