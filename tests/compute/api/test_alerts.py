"""``/alerts``: rules, channels, alerts; who may what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.execution.alerts.evaluate import alerts_evaluate
from compute.models import AlertChannel, AlertDelivery, AlertRule, AuditEvent, Instance, Operation, Project
from compute.sealing import unseal

BASE = "/api/v1/alerts"
pytestmark = pytest.mark.django_db
CPU = {"name": "busy", "kind": "instance_usage", "metric": "cpu_percent", "threshold": 80, "for_s": 60}
HOOK = {"name": "hook", "kind": "webhook", "url": "https://hooks.example.org/a?token=t0ken"}


def _made(client: APIClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"{BASE}/{path}", body, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def _refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer.json()["error"]["code"] == code
    return dict(answer.json()["error"]["details"])


def test_an_operator_makes_changes_and_removes_a_rule(as_operator: APIClient, as_admin: APIClient) -> None:
    _made(as_admin, "channels", HOOK)
    rule = _made(as_operator, "rules", {**CPU, "channels": ["hook"], "severity": "critical"})
    assert (rule["project"]["name"], rule["channels"], rule["enabled"]) == ("default", ["hook"], True)
    path = f"{BASE}/rules/{rule['id']}"
    changed = as_operator.patch(path, {"threshold": 90, "clear_threshold": 70}, format="json").json()
    assert (changed["threshold"], changed["clear_threshold"], changed["for_s"]) == (90, 70, 60)
    assert as_operator.put(f"{path}/silence", {"for_s": 600}, format="json").json()["silenced_until"]
    assert as_operator.put(f"{path}/silence", {"for_s": 0}, format="json").json()["silenced_until"] is None
    assert as_operator.get(f"{BASE}/rules").json()["total"] == 1
    assert as_operator.delete(path).status_code == 204
    told = AuditEvent.objects.filter(action__startswith="alert.").values_list("action", flat=True)
    assert sorted(told) == ["alert.create", "alert.delete", *["alert.update"] * 3]


def test_only_administrators_watch_hosts_and_the_site(as_operator: APIClient, as_admin: APIClient) -> None:
    node = {"name": "away", "kind": "node_unreachable"}
    _refused(as_operator.post(f"{BASE}/rules", node, format="json"), 400, "INVALID_INPUT")
    assert _made(as_admin, "rules", node)["project"] is None
    _refused(as_operator.delete(f"{BASE}/rules/away"), 403, "PERMISSION_DENIED")


def test_viewers_look_and_strangers_see_nothing(
    as_viewer: APIClient, as_operator: APIClient, as_stranger: APIClient
) -> None:
    rule = _made(as_operator, "rules", CPU)
    assert as_viewer.get(f"{BASE}/rules/{rule['id']}").status_code == 200
    _refused(as_viewer.post(f"{BASE}/rules", {**CPU, "name": "b"}, format="json"), 403, "PERMISSION_DENIED")
    _refused(as_viewer.patch(f"{BASE}/rules/busy", {"for_s": 1}, format="json"), 403, "PERMISSION_DENIED")
    _refused(as_stranger.get(f"{BASE}/rules/{rule['id']}"), 404, "NOT_FOUND")
    assert as_stranger.get(f"{BASE}/rules").json()["total"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metric": "nonsense"}, "metric"),
        ({"metric": None}, "metric"),
        ({"threshold": None}, "threshold"),
        ({"threshold": -1}, "threshold"),
        ({"clear_threshold": 99}, "clear_threshold"),
        ({"kind": "instance_down"}, "metric"),
        ({"kind": "nonsense"}, "kind"),
        ({"kind": "node_usage"}, "kind"),
        ({"severity": "bad"}, "severity"),
        ({"for_s": -1}, "for_s"),
        ({"channels": ["nowhere"]}, "channels"),
        ({"action": "backup"}, "action"),
        ({"nonsense": 1}, "nonsense"),
        ({"name": "../x"}, "name"),
    ],
)
def test_rules_that_make_no_sense_are_refused(
    as_operator: APIClient, change: dict[str, Any], field: str
) -> None:
    details = _refused(
        as_operator.post(f"{BASE}/rules", {**CPU, **change}, format="json"), 400, "INVALID_INPUT"
    )
    assert field in details["fields"]
    assert not AlertRule.objects.exists()


def test_names_are_taken_once_in_a_project(as_operator: APIClient, as_admin: APIClient) -> None:
    _made(as_operator, "rules", CPU)
    _refused(as_operator.post(f"{BASE}/rules", CPU, format="json"), 409, "NAME_CONFLICT")
    _made(as_admin, "rules", CPU)
    _refused(as_admin.post(f"{BASE}/rules", CPU, format="json"), 409, "NAME_CONFLICT")


def test_a_channel_shows_its_secret_once_and_its_address_to_administrators(
    as_admin: APIClient, as_viewer: APIClient
) -> None:
    made = _made(as_admin, "channels", HOOK)
    row = AlertChannel.objects.get()
    assert unseal(row.secret) == made["secret"] and made["secret"] not in row.secret
    assert "secret" not in as_admin.get(f"{BASE}/channels/hook").json()
    assert as_admin.get(f"{BASE}/channels/hook").json()["url"] == HOOK["url"]
    assert "t0ken" not in as_viewer.get(f"{BASE}/channels").content.decode()
    renewed = as_admin.patch(f"{BASE}/channels/hook", {"renew_secret": True}, format="json").json()
    assert renewed["secret"] != made["secret"]
    told = str(list(AuditEvent.objects.values("details")))
    assert made["secret"] not in told and "t0ken" not in told


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**HOOK, "url": "ftp://x"}, "url"),
        ({**HOOK, "recipients": ["a@example.org"]}, "recipients"),
        ({"name": "m", "kind": "email"}, "recipients"),
        ({"name": "m", "kind": "email", "recipients": ["a@example.org\nBcc: b@example.org"]}, "recipients"),
        ({"name": "m", "kind": "email", "recipients": ["a@example.org"], "url": "https://x.org"}, "url"),
        ({"name": "m", "kind": "pigeon"}, "kind"),
    ],
)
def test_channels_without_sense_are_refused(as_admin: APIClient, body: dict[str, Any], field: str) -> None:
    details = _refused(as_admin.post(f"{BASE}/channels", body, format="json"), 400, "INVALID_INPUT")
    assert field in details["fields"]


def test_channels_are_for_administrators(as_operator: APIClient, as_admin: APIClient) -> None:
    _refused(as_operator.post(f"{BASE}/channels", HOOK, format="json"), 403, "PERMISSION_DENIED")
    _made(as_admin, "channels", HOOK)
    for method, path in (("delete", ""), ("post", "/test"), ("get", "/deliveries"), ("patch", "")):
        _refused(getattr(as_operator, method)(f"{BASE}/channels/hook{path}"), 403, "PERMISSION_DENIED")


def test_a_channel_of_another_project_is_not_there(as_operator: APIClient, as_admin: APIClient) -> None:
    Project.objects.create(name="other")
    _made(as_admin, "channels", {**HOOK, "project": "other"})
    _refused(as_operator.get(f"{BASE}/channels/hook"), 404, "NOT_FOUND")
    body = {**CPU, "channels": ["hook"]}
    assert (
        "channels"
        in _refused(as_operator.post(f"{BASE}/rules", body, format="json"), 400, "INVALID_INPUT")["fields"]
    )


def test_a_test_goes_into_the_outbox_and_its_log(as_admin: APIClient) -> None:
    _made(as_admin, "channels", HOOK)
    answer = as_admin.post(f"{BASE}/channels/hook/test")
    assert answer.status_code == 201
    logged = as_admin.get(f"{BASE}/channels/hook/deliveries").json()
    assert (logged["items"][0]["event"], logged["items"][0]["state"]) == ("test", "queued")
    assert AlertDelivery.objects.count() == 1


def test_alerts_are_listed_and_acknowledged(
    as_operator: APIClient, as_viewer: APIClient, as_stranger: APIClient, make: Callable[..., Instance]
) -> None:
    row = make("web")
    Instance.objects.filter(pk=row.pk).update(state="error")
    Operation.objects.all().update(action="instance.start")
    _made(as_operator, "rules", {"name": "down", "kind": "instance_down"})
    alerts_evaluate()
    found = as_viewer.get(f"{BASE}?state=firing&rule=down").json()
    assert (found["total"], found["items"][0]["subject"], found["items"][0]["instance"]) == (
        1,
        "web",
        str(row.pk),
    )
    path = f"{BASE}/{found['items'][0]['id']}"
    _refused(as_viewer.post(f"{path}/acknowledge"), 403, "PERMISSION_DENIED")
    assert as_operator.post(f"{path}/acknowledge").json()["acknowledged_by"] == "oscar"
    _refused(as_stranger.get(path), 404, "NOT_FOUND")
    assert as_stranger.get(BASE).json()["total"] == 0
    Instance.objects.filter(pk=row.pk).update(state="running")
    alerts_evaluate()
    _refused(as_operator.post(f"{path}/acknowledge"), 409, "INVALID_STATE")
