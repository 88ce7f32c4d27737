"""Whose a network or a volume is: one rule, applied whenever such things or their users change."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import LABEL_PROJECT, Grants, NetworkInfo, ResourceInfo, StorageInfo
from compute.errors import InvalidInput, NotFound, OperationNotSupported, PermissionDenied
from compute.execution import mirror
from compute.execution.mirror import instances_gone, instances_observe
from compute.execution.resources import grants_of, owner_of, resources_observe_complete
from compute.models import Event, Instance, Node, Operation, Project, Resource
from compute.services.attachments import network_attach, network_detach, storage_attach
from compute.states import InstanceState
from tests.compute.test_resources import _volume

pytestmark = pytest.mark.django_db
A, B = uuid.uuid4(), uuid.uuid4()


@pytest.mark.parametrize(
    ("mark", "users", "before", "owner"),
    [
        (str(A), {B}, A, A),
        ("", {B}, A, B),
        ("", {A, B}, A, None),
        ("", set(), A, A),
        ("", set(), None, None),
    ],
    ids=["a mark decides", "one user's", "several: the host's", "left behind", "made outside"],
)
def test_the_rule(
    mark: str, users: set[uuid.UUID], before: uuid.UUID | None, owner: uuid.UUID | None
) -> None:
    assert owner_of(mark, users, before) == owner


@pytest.fixture
def other(db: Any) -> Project:
    return Project.objects.create(name="other")


def _use(node: Node, name: str, project: Project, *volumes: str) -> Instance:
    """A container of the project that mounts these volumes, seen as the watcher sees it."""
    engine = FakeEngine.of(str(node.pk))
    row = Instance.objects.get(name=name)
    Instance.objects.filter(pk=row.pk).update(project=project)
    info = engine.instances[row.engine_id]
    storage = tuple(StorageInfo(v, v, f"/{v}", format="volume") for v in volumes)
    instances_observe(node, [type(info)(**{**info.__dict__, "storage": storage})])
    return row


def _owner(name: str) -> str | None:
    project = Resource.objects.get(name=name).project
    return project.name if project else None


def test_unmarked_volumes_follow_their_users(
    make: Callable[..., Instance], fake_node: Node, project: Project, other: Project
) -> None:
    for name in ("web", "job"):
        make(name)
    marked = _volume("marked", project_id=str(other.pk), data={"labels": {LABEL_PROJECT: str(other.pk)}})
    resources_observe_complete(fake_node, "volume", [_volume("data"), marked])
    assert _owner("data") is None
    web = _use(fake_node, "web", project, "data", "marked")
    assert _owner("data") == "default" and _owner("marked") == "other"
    job = _use(fake_node, "job", other, "data")
    assert _owner("data") is None, "of two projects: the host's"
    instances_gone(fake_node, [web.engine_id])
    assert _owner("data") == "other"
    instances_gone(fake_node, [job.engine_id])
    assert _owner("data") == "other", "what is left behind stays with whom it was"
    assert Event.objects.filter(type="volume.changed").count() >= 4


def test_owners_are_settled_when_what_is_used_changes_and_not_at_every_change(
    make: Callable[..., Instance],
    fake_node: Node,
    project: Project,
    other: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web, job = make("web"), make("job")
    resources_observe_complete(fake_node, "volume", [_volume("data")])
    _use(fake_node, "web", project, "data")
    _use(fake_node, "job", other, "data")
    assert _owner("data") is None
    settled: list[Node] = []
    monkeypatch.setattr(mirror, "owners_settle", lambda node, changed: settled.append(node))
    seen = FakeEngine.of(str(fake_node.pk)).instances[job.engine_id]
    storage = (StorageInfo("data", "data", "/data", format="volume"),)
    stopped = replace(seen, storage=storage, state=InstanceState.STOPPED, observed_at=timezone.now())
    instances_observe(fake_node, [stopped])
    assert Instance.objects.get(pk=job.pk).state == "stopped" and not settled
    monkeypatch.undo()
    web.refresh_from_db()
    mirror.instance_forget(web)
    assert _owner("data") == "other", "one that is deleted uses nothing any more"


def test_a_volume_made_anew_under_a_name_is_another_thing(
    fake_node: Node, project: Project, admin: Actor
) -> None:
    mark = {"project_id": str(project.pk), "data": {"labels": {LABEL_PROJECT: str(project.pk)}}}
    old = Event.objects.create(type="x", timestamp="2026-01-01T00:00:00Z").timestamp
    resources_observe_complete(fake_node, "volume", [_volume("data", **mark, size_bytes=5)])
    Resource.objects.update(created_at=old)
    resources_observe_complete(fake_node, "volume", [_volume("data")])
    row = Resource.objects.get()
    assert row.project is None and row.size_bytes is None


def test_grants_are_what_counts_as_the_project_s_without_a_mark(
    make: Callable[..., Instance], fake_node: Node, project: Project, other: Project, operator: Actor
) -> None:
    make("web")
    resources_observe_complete(fake_node, "volume", [_volume("data"), _volume("hosts")])
    _use(fake_node, "web", project, "data")
    operation = Operation.objects.create(action="x", node=fake_node, user_id=operator.user_id)
    assert grants_of(operation, project.pk) == Grants(False, frozenset({"volume:data"}))
    assert grants_of(operation, other.pk) == Grants(False, frozenset())
    byadmin = Operation.objects.create(action="x", node=fake_node, user=_admin_user())
    assert grants_of(byadmin, other.pk).everything


def _admin_user() -> Any:
    return Operation.objects.get(action="instance.create").user


def test_grants_allow_a_mark_only_for_its_own_project() -> None:
    grants = Grants(False, frozenset({"volume:data"}))
    assert grants.allows("volume", "data", "", str(A)) and grants.allows("volume", "x", str(A), str(A))
    assert not grants.allows("volume", "data", str(B), str(A)), "it changed hands since"
    assert not grants.allows("network", "data", "", str(A))


def test_attach_and_detach_through_the_unified_rows(
    make: Callable[..., Instance],
    fake_node: Node,
    operator: Actor,
    viewer: Actor,
    django_capture_on_commit_callbacks: Any,
) -> None:
    row = make("web")
    Node.objects.update(capabilities=[*fake_node.capabilities, "network_attach"])
    resources_observe_complete(fake_node, "network", [ResourceInfo("network", "n1", "front")])
    with django_capture_on_commit_callbacks(execute=True):
        operation = network_attach(operator, row.pk, {"network": "front", "ip_address": "192.0.2.9"})
    operation.refresh_from_db()
    assert operation.state == "succeeded" and operation.result["ip_address"] == "192.0.2.9"
    with pytest.raises(PermissionDenied):
        network_detach(viewer, row.pk, "front")
    with django_capture_on_commit_callbacks(execute=True):
        network_detach(operator, row.pk, "front")
    row.refresh_from_db()
    assert [item["network"] for item in row.networks] == ["fake"]
    with pytest.raises(NotFound):
        network_detach(operator, row.pk, "front")
    for body in (
        {},
        {"network": "a b"},
        {"network": "x", "ip_address": "::1"},
        {"network": "x", "aliases": [1]},
    ):
        with pytest.raises(InvalidInput):
            network_attach(operator, row.pk, body)


def test_what_a_backend_cannot_attach_is_said(
    make: Callable[..., Instance], fake_node: Node, operator: Actor
) -> None:
    row = make("web")
    with pytest.raises(OperationNotSupported, match="network_attach"):
        network_attach(operator, row.pk, {"network": "front"})
    with pytest.raises(OperationNotSupported, match="anew"):
        storage_attach(operator, row.pk, {"size": 1024**2})


def test_network_of_an_instance_is_seen_in_its_networks(
    make: Callable[..., Instance], fake_node: Node, project: Project
) -> None:
    row = make("web")
    info = FakeEngine.of(str(fake_node.pk)).instances[row.engine_id]
    resources_observe_complete(fake_node, "network", [ResourceInfo("network", "n1", "front")])
    joined = {**info.__dict__, "networks": (NetworkInfo("front"),)}
    instances_observe(fake_node, [type(info)(**joined)])
    assert _owner("front") == "default"


def test_what_belongs_to_the_host_stays_the_hosts_whoever_uses_it(
    make: Callable[..., Instance], fake_node: Node, project: Project
) -> None:
    make("vm")
    row = Instance.objects.get(name="vm")
    network = ResourceInfo("network", "n1", "lan", data={"of_host": True})
    resources_observe_complete(fake_node, "network", [network])
    engine = FakeEngine.of(str(fake_node.pk))
    info = engine.instances[row.engine_id]
    instances_observe(fake_node, [type(info)(**{**info.__dict__, "networks": (NetworkInfo("lan"),)})])
    assert _owner("lan") is None
