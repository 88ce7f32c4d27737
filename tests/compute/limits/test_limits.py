"""What is counted, to whose account, and what a refusal says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import InstanceInfo, Resources
from compute.errors import BackendError, ResourceLimitExceeded
from compute.execution.mirror import instances_observe
from compute.models import AuditEvent, Instance, Node, Operation, Project, Resource
from compute.selectors.limits import project_scope, site_rules, usage_of
from compute.services.instances import instance_update
from compute.services.limit_settings import project_limits_set, site_limits_set, user_limits_set
from compute.services.limits import AdoptionRoom, growth_check, storage_check, volume_check
from compute.services.snapshots import instance_clone
from compute.states import InstanceState, InstanceType
from compute.tasks import operation_run
from tests.attacks.catalogue import attack
from tests.compute.api.conftest import client_for
from tests.compute.limits.conftest import GIB, Ask

MIB = 1024**2


def _outside(node: Node, name: str, **limits: Any) -> Instance:
    """An instance that the engine has and LibGo did not make."""
    kind, state = InstanceType.CONTAINER, InstanceState.RUNNING
    info = InstanceInfo(name, name, kind, state, status="", **limits)
    instances_observe(node, [info])
    return Instance.objects.get(engine_id=name)


def test_the_limit_of_a_project_names_itself(ask: Ask, admin: Actor, project: Project) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 2})
    ask("a")
    ask("b")
    with pytest.raises(ResourceLimitExceeded) as refused:
        ask("c")
    assert refused.value.details == {
        "limit": "max_instances", "scope": "project default", "maximum": 2, "used": 2, "asked": 1
    }  # fmt: skip
    assert not Instance.objects.filter(name="c").exists()
    assert Operation.objects.count() == 2


def test_what_was_made_outside_counts(ask: Ask, admin: Actor, project: Project, fake_node: Node) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 2, "max_memory_bytes": 2 * GIB})
    _outside(fake_node, "foreign", memory_bytes=GIB)
    ask("a", memory=GIB)
    with pytest.raises(ResourceLimitExceeded) as refused:
        ask("b", memory=MIB * 64)
    assert refused.value.details["limit"] == "max_instances"


@pytest.mark.parametrize("stated, fits", [({}, 2), ({"cpu": 0.5, "memory": 256 * MIB}, 4)])
def test_what_states_no_limit_counts_as_assumed(
    ask: Ask, admin: Actor, project: Project, stated: dict[str, Any], fits: int
) -> None:
    """1 core and 512 MiB, as the configuration's default is."""
    project_limits_set(admin, project.pk, {"max_cpu_cores": 2, "max_memory_bytes": GIB})
    for number in range(fits):
        ask(f"n-{number}", **stated)
    with pytest.raises(ResourceLimitExceeded):
        ask("one-more", **stated)


def test_the_assumed_size_is_the_administrators_to_set(ask: Ask, admin: Actor, project: Project) -> None:
    site_limits_set(admin, {"assumed_cpu_cores": 0, "assumed_memory_bytes": GIB})
    project_limits_set(admin, project.pk, {"max_cpu_cores": 1, "max_memory_bytes": 2 * GIB})
    ask("a")
    ask("b")
    with pytest.raises(ResourceLimitExceeded) as refused:
        ask("c")
    assert refused.value.details["limit"] == "max_memory_bytes"
    assert "2 GiB" in refused.value.message


def test_a_user_is_limited_over_all_projects(
    ask: Ask, admin: Actor, operator: Actor, project: Project, fake_node: Node
) -> None:
    user_limits_set(admin, operator.user_id, {"max_instances": 1})
    _outside(fake_node, "foreign")
    ask("a")
    with pytest.raises(ResourceLimitExceeded) as refused:
        ask("b")
    assert refused.value.details["scope"] == "user oscar"
    ask("c", by=admin)
    assert Instance.objects.get(name="a").created_by_id == operator.user_id


def test_the_site_s_own_limit_holds_beside_the_configuration_s(ask: Ask, admin: Actor, settings: Any) -> None:
    site_limits_set(admin, {"max_instances": 5})
    settings.LIBGO["compute"]["resource_limits"]["max_instances"] = 1
    try:
        ask("a")
        with pytest.raises(ResourceLimitExceeded) as refused:
            ask("b")
        assert refused.value.details["maximum"] == 1
    finally:
        settings.LIBGO["compute"]["resource_limits"]["max_instances"] = 0


@attack("S84", "growing past the quota", refused="refused")
def test_growing_is_checked_shrinking_never(
    make: Callable[..., Instance], admin: Actor, project: Project
) -> None:
    web = make("web", resources={"memory": {"limit": GIB}})
    make("other", resources={"memory": {"limit": GIB}})
    project_limits_set(admin, project.pk, {"max_memory_bytes": GIB, "max_instances": 1})
    with pytest.raises(ResourceLimitExceeded):
        instance_update(admin, web.pk, {"resources": {"memory": {"limit": GIB + MIB}}})
    assert instance_update(admin, web.pk, {"resources": {"memory": {"limit": GIB // 2}}}) is not None


def test_what_is_under_way_is_reserved(make: Callable[..., Instance], admin: Actor, project: Project) -> None:
    """Two that grow at once, while the mirror still shows the old sizes."""
    one, two = (make(name, resources={"memory": {"limit": GIB}}) for name in ("one", "two"))
    project_limits_set(admin, project.pk, {"max_memory_bytes": 3 * GIB})
    first = instance_update(admin, one.pk, {"resources": {"memory": {"limit": 2 * GIB}}})
    assert first is not None and first.params["reserves"]["memory_bytes"] == GIB
    with pytest.raises(ResourceLimitExceeded) as refused:
        instance_update(admin, two.pk, {"resources": {"memory": {"limit": GIB + MIB}}})
    assert refused.value.details["used"] == 3 * GIB
    Operation.objects.filter(pk=first.pk).update(state="cancelled")
    assert instance_update(admin, two.pk, {"resources": {"memory": {"limit": GIB + MIB}}}) is not None


@attack("S84", "a clone past the quota", refused="LIMIT_EXCEEDED")
def test_a_clone_takes_a_place(make: Callable[..., Instance], admin: Actor, project: Project) -> None:
    make("web")
    project_limits_set(admin, project.pk, {"max_instances": 1})
    with pytest.raises(ResourceLimitExceeded):
        instance_clone(admin, "web", {"name": "web-2"})


def test_restoring_a_larger_state_is_growth(
    make: Callable[..., Instance], admin: Actor, project: Project
) -> None:
    """Over a real machine: ``tests/attacks/test_snapshots.py``."""
    web = make("web", resources={"memory": {"limit": GIB}})
    project_limits_set(admin, project.pk, {"max_memory_bytes": GIB})
    assert growth_check(web, Resources(None, GIB // 2))["memory_bytes"] == 0
    with pytest.raises(ResourceLimitExceeded):
        growth_check(web, Resources(None, 2 * GIB))


def test_storage_of_volumes_and_instances_counts_together(
    ask: Ask, operator: Actor, admin: Actor, project: Project, fake_node: Node
) -> None:
    project_limits_set(admin, project.pk, {"max_storage_bytes": 10 * GIB})
    ask("a", storage=4 * GIB)
    Resource.objects.create(
        node=fake_node,
        kind="volume",
        engine_id="pool/v",
        name="v",
        project=project,
        created_by_id=operator.user_id,
        data={"standalone": True, "capacity": 4 * GIB},
    )
    assert volume_check(project, operator.user_id, fake_node, 2 * GIB)["storage_bytes"] == 2 * GIB
    with pytest.raises(ResourceLimitExceeded):
        volume_check(project, operator.user_id, fake_node, 2 * GIB + 1)
    with pytest.raises(ResourceLimitExceeded):
        storage_check(Instance.objects.get(name="a"), 3 * GIB)


@attack(
    "S84",
    "moving instances into a project that is full, all or none",
    refused="403 RESOURCE_LIMIT_EXCEEDED; all stay where they were",
    audit="no row instance.adopt",
)
def test_nothing_is_moved_into_a_project_that_is_full(
    admin: Actor, fake_node: Node, project: Project
) -> None:
    team = Project.objects.create(name="team", max_instances=1)
    ids = [str(_outside(fake_node, name).pk) for name in ("x", "y")]
    client = client_for(admin)
    answer = client.post("/api/v1/compute/instances/adopt", {"ids": ids, "project": "team"}, format="json")
    assert answer.status_code == 403, answer.content
    error = answer.json()["error"]
    assert error["code"] == "RESOURCE_LIMIT_EXCEEDED" and error["details"]["limit"] == "max_instances"
    assert not Instance.objects.filter(project=team).exists()
    assert not AuditEvent.objects.filter(action="instance.adopt").exists()


def test_adopting_asks_the_limits_of_the_project_it_comes_to(
    admin: Actor, fake_node: Node, project: Project
) -> None:
    team = Project.objects.create(name="team", max_instances=1)
    rows = [_outside(fake_node, name) for name in ("x", "y")]
    room = AdoptionRoom(team)
    room.take(rows[0])
    with pytest.raises(ResourceLimitExceeded) as refused:
        room.take(rows[1])
    assert refused.value.details["asked"] == 2
    # What is the project's already is no more than it was.
    Instance.objects.filter(engine_id="x").update(project=team)
    AdoptionRoom(team).take(Instance.objects.get(engine_id="x"))


def test_a_failed_create_gives_its_place_back(
    admin: Actor, ask: Ask, engine: FakeEngine, project: Project
) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 1})
    operation = ask("web")
    engine.fail_with = BackendError("The engine has no room.")
    operation_run(str(operation.pk))
    assert Operation.objects.get(pk=operation.pk).state == "failed"
    ask("again")


def test_observed_limits_take_the_place_of_the_assumed(fake_node: Node, project: Project) -> None:
    now = timezone.now()
    _outside(fake_node, "x", observed_at=now)
    scope = project_scope(project)
    assert usage_of([scope], site_rules())[0]["memory_bytes"] == 512 * MIB
    _outside(fake_node, "x", memory_bytes=GIB, observed_at=timezone.now())
    assert usage_of([scope], site_rules())[0]["memory_bytes"] == GIB
