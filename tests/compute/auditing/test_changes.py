"""Settings are told with what they were and what they are, and no secret is ever among it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.models import AuditEvent, Event, Instance, Node, Operation, Project

pytestmark = pytest.mark.django_db
BASE = "/api/v1"
CANARY = "canary-7f3a-sings"
_S3 = {"bucket": "kept", "endpoint": "https://s3.example.com", "region": "", "prefix": ""}
_KEYS = {"access_key": CANARY, "secret_key": CANARY}
_RULE = {"kind": "instance_down", "severity": "warning", "for_s": 0}
_TIMES = {"cron": "0 3 * * *", "action": "stop", "target": {"filter": {}}}
_BODY = {"config": {"image": "demo", "env": {"COLOUR": CANARY}}}
# Where it is made and with what, what changes it, the action told, and what was and is.
_CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    (
        "backups/targets",
        {"name": "far", "kind": "s3", "options": _S3, "credentials": _KEYS},
        {"is_enabled": False, "credentials": _KEYS},
        "backup_target.update",
        {"is_enabled": True},
        {"is_enabled": False},
    ),
    (
        "docker/registries",
        {"name": "reg", "url": "https://registry.example.com", "username": "u", "password": CANARY},
        {"username": "v", "password": CANARY},
        "registry.update",
        {"username": "u"},
        {"username": "v"},
    ),
    ("alerts/rules", {"name": "r", **_RULE}, {"for_s": 9}, "alert.update", {"for_s": 0}, {"for_s": 9}),
    (
        "alerts/channels",
        {"name": "c", "kind": "webhook", "url": f"https://one.example/{CANARY}"},
        {"url": f"https://two.example/{CANARY}"},
        "channel.update",
        {"url": "one.example"},
        {"url": "two.example"},
    ),
    (
        "compute/schedules",
        {"name": "s", **_TIMES},
        {"cron": "0 4 * * *"},
        "schedule.update",
        {"cron": "0 3 * * *"},
        {"cron": "0 4 * * *"},
    ),
    (
        "compute/templates",
        {"name": "t", "backend": "fake", "body": _BODY},
        {"description": "new"},
        "template.update",
        {"description": ""},
        {"description": "new"},
    ),
]


def _told(action: str) -> dict[str, Any]:
    return dict(AuditEvent.objects.filter(action=action).order_by("-id")[0].details)


def _nowhere() -> None:
    """Not in what is kept of what happened."""
    for model in (AuditEvent, Event):
        assert CANARY not in str(list(model.objects.values())), model
    shown = Operation.objects.values("target", "origin", "step", "result", "error_message", "error_details")
    assert CANARY not in str(list(shown))


@pytest.mark.parametrize("change", _CHANGES, ids=lambda change: str(change[0]))
def test_a_setting_is_told_with_what_it_was(
    change: tuple[Any, ...], as_admin: APIClient, project: Project, fake_node: Node
) -> None:
    path, given, changed, action, before, after = change
    made = as_admin.post(f"{BASE}/{path}", given, format="json")
    assert made.status_code == 201, made.content
    answer = as_admin.put(f"{BASE}/{path}/{made.json()['id']}", changed, format="json")
    assert answer.status_code == 200, answer.content
    told = _told(action)
    assert {name: told["before"][name] for name in before} == before
    assert {name: told["after"][name] for name in after} == after
    _nowhere()


def test_new_limits_of_an_instance_are_told_with_the_old_ones(
    as_admin: APIClient, make: Callable[..., Instance], django_capture_on_commit_callbacks: Any
) -> None:
    env = {"image": "demo", "env": {"DB_PASSWORD": CANARY}}
    instance = make("web", config=env, resources={"cpu": {"cores": 1}})
    with django_capture_on_commit_callbacks(execute=True):
        body = {"resources": {"cpu": {"cores": 2}}}
        answer = as_admin.put(f"{BASE}/compute/instances/{instance.pk}", body, format="json")
    assert answer.status_code in (200, 202), answer.content
    told = _told("instance.update")
    assert (told["before"], told["after"]) == ({"cpu_cores": 1.0}, {"cpu_cores": 2.0})
    _nowhere()


def test_what_a_node_is_told_of(as_admin: APIClient, fake_node: Node) -> None:
    answer = as_admin.put(f"{BASE}/nodes/{fake_node.pk}", {"labels": {"rack": "4"}}, format="json")
    assert answer.status_code == 200, answer.content
    assert _told("node.update")["after"] == {"labels": {"rack": "4"}}
