"""Whose a stack is, what it may use of others, and what the mirror believes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from compute.actor import Actor
from compute.backends.types import InstanceInfo
from compute.errors import (
    InstanceBusy,
    InvalidInput,
    NameConflict,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    PolicyDenied,
    ResourceLimitExceeded,
)
from compute.execution.mirror import instances_observe
from compute.models import Instance, Node, Operation, Project, Resource
from compute.sealing import seal, unseal
from compute.services import operations
from compute.states import InstanceState, InstanceType
from dockerapp.models import Stack
from dockerapp.selectors.stacks import StackFilter, stack_detail, stack_get, stacks_page
from dockerapp.services import stacks
from tests.attacks.catalogue import attack
from tests.dockerapp.containers.conftest import Row

FILE = "services: {web: {image: 'busybox:1', deploy: {replicas: 2, resources: {limits: {cpus: '1'}}}}}"
RUNNING = InstanceState.RUNNING


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "operation_ring", lambda *_, **__: None)


@pytest.fixture
def stack(node: Node, project: Project) -> Stack:
    """One that was deployed, of which nothing runs."""
    return Stack.objects.create(
        node=node,
        project=project,
        name="shop",
        compose_sealed=seal(FILE),
        env_sealed=seal({"TAG": "1", "DB_PASSWORD": "canary"}),
        deployed_sealed=seal({"services": {}}),
        services={"web": {"image": "busybox:1", "replicas": 2, "cpu_cores": 1.0, "memory_bytes": 0}},
    )


def observed(stack: Stack, **labels: str) -> InstanceInfo:
    marks = {
        "libgo.stack": str(stack.pk),
        "libgo.project": str(stack.project_id),
        "com.docker.compose.project": stack.name,
        "com.docker.compose.service": "web",
        **labels,
    }
    return InstanceInfo(
        engine_id=uuid.uuid4().hex,
        name=f"{stack.name}-web-1",
        type=InstanceType.CONTAINER,
        state=RUNNING,
        status="Running",
        project_id=marks["libgo.project"],
        labels=marks,
        created_at=timezone.now(),
    )


def finish(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(state="succeeded")


def test_what_compose_makes_for_a_stack_belongs_to_its_project(
    node: Node, foreign: Project, stack: Stack
) -> None:
    Stack.objects.filter(pk=stack.pk).update(project=foreign)
    stack.refresh_from_db()
    instances_observe(node, [observed(stack)])
    row = Instance.objects.get(name="shop-web-1")
    assert row.project == foreign and row.managed


@pytest.mark.parametrize(
    "labels",
    [
        {"libgo.stack": str(uuid.uuid4())},
        {"libgo.stack": "no id"},
        {"libgo.project": str(uuid.uuid4())},
        {"com.docker.compose.project": "other"},
        {"com.docker.compose.service": "other"},
    ],
    ids=["another stack", "no stack", "another project", "another name", "another service"],
)
def test_marks_that_do_not_fit_together_are_not_believed(
    node: Node, project: Project, foreign: Project, stack: Stack, labels: dict[str, str]
) -> None:
    Stack.objects.filter(pk=stack.pk).update(project=foreign)
    stack.refresh_from_db()
    instances_observe(node, [observed(stack, **labels)])
    row = Instance.objects.get(name="shop-web-1")
    assert row.project == project and not row.managed


def test_a_stack_of_another_project_is_not_there(
    operator: Actor, foreign: Project, stack: Stack, admin: Actor
) -> None:
    Stack.objects.filter(pk=stack.pk).update(project=foreign)
    assert stacks_page(operator, StackFilter()).items == []
    for wanted in ("shop", str(stack.pk)):
        with pytest.raises(NotFound):
            stacks.stack_act(operator, wanted, "stop")
    assert [row["name"] for row in stacks_page(admin, StackFilter()).items] == ["shop"]


def test_variables_are_sealed_masked_and_kept_by_asterisks(
    operator: Actor, viewer: Actor, stack: Stack
) -> None:
    assert "canary" not in stack.env_sealed
    shown = stack_detail(operator, stack_get(operator, "shop"))
    assert shown["env"] == {"TAG": "1", "DB_PASSWORD": "********"} and shown["compose"] == FILE
    hidden = stack_detail(viewer, stack_get(viewer, "shop"))
    assert hidden["env"] is None and hidden["compose"] is None
    operation = stacks.stack_update(operator, "shop", {"env": {**shown["env"], "TAG": "2"}})
    assert unseal(operation.params["env"]) == {"TAG": "2", "DB_PASSWORD": "canary"}
    assert "canary" not in str(operation.params)


def test_a_viewer_changes_nothing(viewer: Actor, stack: Stack) -> None:
    for verb in stacks.VERBS:
        with pytest.raises(PermissionDenied):
            stacks.stack_act(viewer, "shop", verb)
    for change in (stacks.stack_delete, lambda a, n: stacks.stack_update(a, n, {"compose": FILE})):
        with pytest.raises(PermissionDenied):
            change(viewer, "shop")
    with pytest.raises(PermissionDenied):
        stacks.stack_create(viewer, {"name": "other", "compose": FILE})


def test_one_thing_at_a_time(operator: Actor, stack: Stack) -> None:
    first = stacks.stack_act(operator, "shop", "stop")
    with pytest.raises(InstanceBusy) as refused:
        stacks.stack_delete(operator, "shop")
    assert refused.value.details["operation"] == str(first.pk)
    finish(first)
    stacks.stack_delete(operator, "shop")


def test_a_name_that_compose_would_take_for_its_own_is_taken(
    operator: Actor, row: Row, foreign: Project
) -> None:
    row("a", project=foreign, engine_labels={"com.docker.compose.project": "hidden"})
    with pytest.raises(NameConflict):
        stacks.stack_create(operator, {"name": "hidden", "compose": FILE})


@pytest.mark.parametrize("name", ["Shop", "-shop", "a b", "", "a" * 64, "../x", None])
def test_a_name_that_compose_does_not_take_is_refused(operator: Actor, node: Node, name: Any) -> None:
    with pytest.raises(InvalidInput):
        stacks.stack_create(operator, {"name": name, "compose": FILE})


@attack("S62", "variables that steer the compose program", refused="400")
@pytest.mark.parametrize(
    "env", [{"DOCKER_HOST": "x"}, {"COMPOSE_FILE": "x"}, {"a b": "x"}, {"A": ["x"]}, "A\nB=c"]
)
def test_variables_that_would_steer_compose_are_refused(operator: Actor, node: Node, env: Any) -> None:
    with pytest.raises(InvalidInput):
        stacks.stack_create(operator, {"name": "shop", "compose": FILE, "env": env})


@attack("S84", "replicas of a stack past the quota", refused="refused")
def test_limits_count_replicas_and_what_is_under_way(operator: Actor, node: Node, project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(max_instances=3)
    first = stacks.stack_create(operator, {"name": "one", "compose": FILE})
    reserved = {"instances": 2, "cpu_cores": 2.0, "memory_bytes": 2 * 512 * 1024**2, "storage_bytes": 0}
    assert first.params["reserves"] == {**reserved, "user": str(operator.user_id)}
    with pytest.raises(ResourceLimitExceeded):
        stacks.stack_create(operator, {"name": "two", "compose": FILE})
    assert not Stack.objects.filter(name="two").exists()


def test_scaling_asks_the_limits_too(operator: Actor, project: Project, stack: Stack) -> None:
    Project.objects.filter(pk=project.pk).update(max_cpu_cores=4.0)
    with pytest.raises(ResourceLimitExceeded):
        stacks.stack_scale(operator, "shop", "web", 5)
    assert stacks.stack_scale(operator, "shop", "web", 4).params["scale"] == {"web": 4}
    with pytest.raises(InvalidInput):
        stacks.stack_scale(operator, "shop", "none", 1)


@attack("S31", "foreign volumes and networks in a stack", refused="refused")
@pytest.mark.parametrize("kind", ["volume", "network"])
@pytest.mark.parametrize("words", ["{name: theirs}", "{external: true, name: theirs}"])
def test_things_of_other_projects_cannot_be_named(
    operator: Actor, node: Node, foreign: Project, kind: str, words: str
) -> None:
    Resource.objects.create(node=node, kind=kind, engine_id="theirs", name="theirs", project=foreign)
    use = "volumes: ['thing:/x']" if kind == "volume" else "networks: [thing]"
    text = f"services: {{web: {{image: 'busybox:1', {use}}}}}\n{kind}s: {{thing: {words}}}"
    with pytest.raises(PolicyDenied) as refused:
        stacks.stack_create(operator, {"name": "shop", "compose": text})
    assert refused.value.details["rule"] == f"foreign_{kind}"
    assert refused.value.details["problems"][0]["line"] == 2


def test_an_external_network_of_the_engine_is_no_way_out(operator: Actor, node: Node) -> None:
    Resource.objects.create(node=node, kind="network", engine_id="h", name="host")
    text = "services: {web: {image: 'busybox:1', networks: [h]}}\nnetworks: {h: {external: true, name: host}}"
    with pytest.raises(PolicyDenied):
        stacks.stack_create(operator, {"name": "shop", "compose": text})


def test_a_stack_made_outside_is_shown_but_its_file_is_not_known(operator: Actor, row: Row) -> None:
    for service in ("web", "db"):
        labels = {"com.docker.compose.project": "old", "com.docker.compose.service": service}
        needs = {"com.docker.compose.depends_on": "db:service_started:false"} if service == "web" else {}
        row(f"old-{service}-1", engine_labels={**labels, **needs})
    found = stack_detail(operator, stack_get(operator, "old"))
    assert not found["managed"] and found["id"] is None and found["compose"] is None
    assert (found["state"], found["services_up"], found["services_total"]) == ("running", 2, 2)
    assert {service["type"] for service in found["services"]} == {"service"}
    with pytest.raises(OperationNotSupported):
        stacks.stack_update(operator, "old", {"compose": FILE})
    ids = {item.name: item.engine_id for item in Instance.objects.all()}
    stop = stacks.stack_act(operator, "old", "stop")
    assert stop.params["outside"] == [ids["old-web-1"], ids["old-db-1"]], "who depends on others stops first"


def test_a_container_that_only_says_it_belongs_is_no_part_of_the_stack(
    operator: Actor, row: Row, foreign: Project, stack: Stack
) -> None:
    marks = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    row("liar", project=foreign, engine_labels={**marks, "libgo.stack": str(stack.pk)})
    row("other", engine_labels=marks)
    assert stack_get(operator, "shop").instances == ()


def test_the_list_costs_the_same_for_many(
    operator: Actor, row: Row, stack: Stack, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        labels = {"com.docker.compose.project": f"p{number}", "com.docker.compose.service": "web"}
        row(f"c{number}", engine_labels=labels)
    with django_assert_max_num_queries(2):
        assert stacks_page(operator, StackFilter(page_size=10)).total == 21
