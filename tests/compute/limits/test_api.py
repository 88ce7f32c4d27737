"""Limits and placement over REST."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import AuditEvent, Node, Project
from tests.compute.limits.conftest import Ask

_NONE = {"max_instances": None, "max_cpu_cores": None, "max_memory_bytes": None, "max_storage_bytes": None}


def test_of_a_project(as_admin: APIClient, as_operator: APIClient, as_stranger: APIClient, ask: Ask) -> None:
    path = "/api/v1/projects/default/limits"
    ask("web", cpu=0.5)
    shown = as_operator.get(path).json()
    used = {"instances": 1, "cpu_cores": 0.5, "memory_bytes": 512 * 1024**2, "storage_bytes": 0}
    assert shown == {**_NONE, "usage": used}
    assert as_stranger.get(path).status_code == 404
    assert as_operator.put(path, {"max_instances": 1}, format="json").status_code == 403
    # What was read can be sent back changed.
    answer = as_admin.put(path, {**shown, "max_instances": 1}, format="json")
    assert answer.status_code == 200 and answer.json()["max_instances"] == 1
    row = AuditEvent.objects.get(action="limits.project")
    assert row.details == {"before": {"max_instances": None}, "after": {"max_instances": 1}}
    refused = as_operator.post(
        "/api/v1/compute/instances",
        {"name": "b", "backend": "fake", "config": {"image": "demo"}},
        format="json",
    )
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert error["code"] == "RESOURCE_LIMIT_EXCEEDED" and error["details"]["used"] == 1


def test_of_a_user(as_admin: APIClient, as_operator: APIClient, operator: Actor, admin: Actor) -> None:
    path = f"/api/v1/users/{operator.user_id}/limits"
    assert as_admin.put(path, {"max_cpu_cores": 2.5}, format="json").json()["max_cpu_cores"] == 2.5
    assert as_operator.get(path).json()["max_cpu_cores"] == 2.5
    assert as_operator.put(path, {"max_cpu_cores": 9}, format="json").status_code == 403
    assert as_operator.get(f"/api/v1/users/{admin.user_id}/limits").status_code == 403
    assert as_admin.get("/api/v1/users/nobody/limits").status_code == 404


def test_of_the_site(as_admin: APIClient, as_operator: APIClient) -> None:
    path = "/api/v1/compute/limits"
    shown = as_operator.get(path).json()
    assert shown["assumed_memory_bytes"] == 512 * 1024**2 and shown["memory_overcommit"] == 0
    assert as_operator.put(path, {"max_instances": 1}, format="json").status_code == 403
    wanted = {"max_instances": 7, "cpu_overcommit": 4}
    assert as_admin.put(path, wanted, format="json").json().items() >= wanted.items()
    assert as_admin.get("/api/v1/compute/cluster/status").json()["limits"]["max_instances"] == 7
    assert as_admin.put(path, {"cpu_overcommit": None}, format="json").json()["cpu_overcommit"] == 0


@pytest.mark.parametrize(
    "body", [{"max_instances": -1}, {"max_instances": "many"}, {"maximum": 1}, {"max_cpu_cores": "NaN"}]
)
def test_bad_limits_are_refused(as_admin: APIClient, body: dict[str, object]) -> None:
    for path in ("projects/default/limits", "compute/limits"):
        answer = as_admin.put(f"/api/v1/{path}", body, format="json")
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "INVALID_INPUT"
    assert Project.objects.get(is_default=True).max_instances is None


def test_labels_and_ratios_of_a_node(as_admin: APIClient, fake_node: Node) -> None:
    path = f"/api/v1/nodes/{fake_node.pk}"
    wanted = {"labels": {"zone": "a"}, "cpu_overcommit": 4, "memory_overcommit": None}
    assert as_admin.put(path, wanted, format="json").json().items() >= wanted.items()
    for bad in ({"labels": {"zone": 1}}, {"labels": ["zone"]}, {"cpu_overcommit": -1}):
        assert as_admin.put(path, bad, format="json").status_code == 400
    row = AuditEvent.objects.filter(action="node.update").first()
    assert row is not None and row.details["after"]["labels"] == {"zone": "a"}
