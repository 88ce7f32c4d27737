"""Commands, names, snapshots and clones in the unified API, over the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from asgiref.sync import async_to_sync
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import ExecSpec
from compute.errors import InvalidInput, InvalidState, PermissionDenied
from compute.models import AuditEvent, Instance, Operation
from compute.services.execs import exec_prepare
from compute.streams import exec_once

ONE = "/api/v1/compute/instances"


def _refused(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.content
    assert answer.json()["error"]["code"] == code


def _ran(actor: Actor, instance: Instance, wanted: ExecSpec) -> dict[str, Any]:
    async def run() -> bytes:
        return b"".join([part async for part in exec_once(actor, instance, wanted)])

    return dict(orjson.loads(async_to_sync(run)()))


@pytest.mark.django_db(transaction=True)
def test_a_command_leaves_a_record_without_its_arguments(
    operator: Actor, make: Callable[..., Instance]
) -> None:
    web = make("web")
    wanted = exec_prepare(operator, web, {"command": ["login", "--password=canary"], "env": {"T": "canary"}})
    assert _ran(operator, web, wanted)["stdout"] == "login --password=canary\n"
    row = AuditEvent.objects.get(action="instance.exec")
    assert (row.username, row.result, row.details["program"]) == ("oscar", "exit 0", "login")
    assert "canary" not in str(row.details)
    slow = exec_prepare(operator, web, {"command": ["sleep", "9"], "timeout": 0.5})
    assert _ran(operator, web, slow)["timed_out"] is True
    assert AuditEvent.objects.filter(action="instance.exec", result="timed_out").exists()


@pytest.mark.django_db(transaction=True)
def test_who_may_not_and_what_does_not_run_is_refused_before_anything_starts(
    viewer: Actor, admin: Actor, make: Callable[..., Instance]
) -> None:
    web = make("web")
    with pytest.raises(PermissionDenied):
        exec_prepare(viewer, web, {"command": ["ls"]})
    bodies: list[dict[str, Any]] = [
        {"command": "ls"},
        {"command": []},
        {"command": ["a\x00b"]},
        {"command": ["ls"], "env": {"A=B": "1"}},
        {"command": ["ls"], "timeout": 1e9},
        {"command": ["ls"], "user": "a\nb"},
    ]
    for body in bodies:
        with pytest.raises(InvalidInput):
            exec_prepare(admin, web, body)
    web.state = "stopped"
    with pytest.raises(InvalidState):
        exec_prepare(admin, web, {"command": ["ls"]})


@pytest.mark.django_db
def test_name_and_restart_policy_change_by_the_one_route(
    as_admin: APIClient, make: Callable[..., Instance], django_capture_on_commit_callbacks: Any
) -> None:
    web, other = make("web"), make("other")
    body = {"name": "front", "restart_policy": {"policy": "always"}, "labels": {"tier": "a"}}
    with django_capture_on_commit_callbacks(execute=True):
        answer = as_admin.put(f"{ONE}/{web.pk}", body, format="json")
    assert answer.status_code == 202, answer.content
    shown = as_admin.get(f"{ONE}/{web.pk}").json()
    assert (shown["name"], shown["labels"]["tier"]) == ("front", "a")
    assert shown["config"]["restart_policy"] == {"policy": "always"}
    assert as_admin.put(f"{ONE}/{web.pk}", {"name": "front"}, format="json").status_code == 200
    _refused(as_admin.put(f"{ONE}/{web.pk}", {"name": "other"}, format="json"), 409, "NAME_CONFLICT")
    for bad in ({"name": "a b"}, {"name": ""}, {"restart_policy": {"policy": "sometimes"}}, {"config": {}}):
        _refused(as_admin.put(f"{ONE}/{other.pk}", bad, format="json"), 400, "INVALID_INPUT")


@pytest.mark.django_db
def test_snapshots_are_taken_listed_restored_and_deleted(
    as_admin: APIClient, make: Callable[..., Instance], django_capture_on_commit_callbacks: Any
) -> None:
    web = make("web")
    base = f"{ONE}/{web.pk}/snapshots"

    def done(method: str, path: str, body: Any = None) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            answer = getattr(as_admin, method)(path, body, format="json")
        assert answer.status_code == 202, answer.content
        assert Operation.objects.get(pk=answer.json()["operation"]["id"]).state == "succeeded"

    done("post", base, {"name": "before", "description": "before the change"})
    listed = as_admin.get(base).json()
    assert listed["total"] == 1 and listed["items"][0]["description"] == "before the change"
    assert as_admin.get(f"{base}/before").json()["name"] == "before"
    engine = FakeEngine.of(str(web.node_id))
    done("put", f"{ONE}/{web.pk}/stop", {})
    done("put", f"{base}/before/restore")
    assert Instance.objects.get(pk=web.pk).state == "running" and len(engine.instances) == 1
    done("delete", f"{base}/before")
    _refused(as_admin.get(f"{base}/before"), 404, "SNAPSHOT_NOT_FOUND")
    _refused(as_admin.put(f"{base}/before/restore"), 404, "SNAPSHOT_NOT_FOUND")
    _refused(as_admin.delete(f"{base}/before"), 404, "SNAPSHOT_NOT_FOUND")
    _refused(as_admin.post(base, {"name": "a/b"}, format="json"), 400, "INVALID_INPUT")
    done("post", base, {"name": "last"})
    done("delete", f"{ONE}/{web.pk}?force=true")
    assert engine.snapshots[str(web.pk)] == {}


@pytest.mark.django_db
def test_a_clone_is_another_one_of_the_same_specification(
    as_admin: APIClient,
    as_viewer: APIClient,
    make: Callable[..., Instance],
    django_capture_on_commit_callbacks: Any,
) -> None:
    web = make("web", labels={"tier": "a"}, config={"image": "demo", "env": {"A": "1"}})
    with django_capture_on_commit_callbacks(execute=True):
        answer = as_admin.post(f"{ONE}/{web.pk}/clone", {"name": "web-2"}, format="json")
    assert answer.status_code == 202, answer.content
    made = Instance.objects.get(name="web-2")
    assert made.pk != web.pk and made.config == web.config and made.labels == web.labels
    assert made.memory_bytes == web.memory_bytes and made.state == "running"
    _refused(as_admin.post(f"{ONE}/{web.pk}/clone", {"name": "web"}, format="json"), 409, "NAME_CONFLICT")
    _refused(as_viewer.post(f"{ONE}/{web.pk}/clone", {"name": "x"}, format="json"), 403, "PERMISSION_DENIED")
