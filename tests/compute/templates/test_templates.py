"""Templates over REST: made, changed, read in old versions, and instances of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import AuditEvent, Instance, Node, Operation, Project, Template, TemplateVersion
from compute.selectors.sealed_config import config_opened
from compute.services.limit_settings import project_limits_set

URL = "/api/v1/compute/templates"
BODY = {
    "config": {"image": "demo", "env": {"GREETING": "hello ${who}", "PASSWORD": "${password}"}},
    "resources": {"memory": {"limit": "${memory}"}},
    "auto_start": False,
}
PARAMETERS = [
    {"name": "who", "default": "world"},
    {"name": "password", "secret": True, "required": True},
    {"name": "memory", "type": "size", "default": "64MiB"},
]
SECRET = "correct-horse"


@pytest.fixture
def template(as_operator: APIClient, fake_node: Node, bells: list[str]) -> dict[str, Any]:
    given = {"name": "web", "backend": "fake", "body": BODY, "parameters": PARAMETERS}
    answer = as_operator.post(URL, given, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def _use(client: APIClient, template: dict[str, Any], **more: Any) -> Any:
    given = {"name": "w", "parameters": {"password": SECRET}, **more}
    return client.post(f"{URL}/{template['id']}/instantiate", given, format="json")


def test_without_a_backend_it_is_for_the_usual_one(as_operator: APIClient, settings: Any) -> None:
    settings.LIBGO = {**settings.LIBGO, "compute": {**settings.LIBGO["compute"], "default_backend": "fake"}}
    made = as_operator.post(URL, {"name": "web", "body": {"config": {"image": "demo"}}}, format="json")
    assert made.status_code == 201 and made.json()["backend"] == "fake", made.content


def test_many_at_once_under_one_operation(as_operator: APIClient, template: dict[str, Any]) -> None:
    answer = _use(as_operator, template, count=3, parameters={"password": SECRET, "who": "you"})
    assert answer.status_code == 202, answer.content
    operation = answer.json()["operation"]
    assert operation["action"] == "template.instantiate"
    assert [child["instance_name"] for child in operation["children"]] == ["w-1", "w-2", "w-3"]
    row = Instance.objects.get(name="w-2")
    assert config_opened(row.config)["env"] == {"GREETING": "hello you", "PASSWORD": SECRET}
    assert row.memory_bytes == 64 * 1024**2
    # The secret is where a create by hand has it, and nowhere else.
    parent = Operation.objects.get(pk=operation["id"])
    assert SECRET not in str(parent.params)
    assert SECRET not in str(list(AuditEvent.objects.values_list("details", flat=True)))
    assert SECRET not in answer.content.decode()


def test_all_or_none(
    as_operator: APIClient,
    admin: Actor,
    project: Project,
    template: dict[str, Any],
) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 2})
    refused = _use(as_operator, template, count=3).json()["error"]
    assert refused["code"] == "RESOURCE_LIMIT_EXCEEDED" and refused["details"]["asked"] == 3
    assert _use(as_operator, template, name="w-2").status_code == 202
    project_limits_set(admin, project.pk, {"max_instances": None})
    # The second of these has a name that is taken.
    assert _use(as_operator, template, count=3).json()["error"]["code"] == "NAME_CONFLICT"
    assert list(Instance.objects.values_list("name", flat=True)) == ["w-2"]
    assert Operation.objects.filter(action="template.instantiate").count() == 1


def test_what_is_made_of_it_is_checked_like_any_create(
    as_operator: APIClient,
    as_admin: APIClient,
    template: dict[str, Any],
) -> None:
    body = {"config": {"image": "demo", "privileged": "${root}"}}
    parameters = [{"name": "root", "type": "bool", "default": True}]
    given = {"name": "root", "backend": "fake", "project": None, "body": body, "parameters": parameters}
    assert as_operator.post(URL, given, format="json").status_code == 403
    made = as_admin.post(URL, given, format="json").json()
    assert made["project"] is None
    refused = _use(as_operator, made, parameters={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "POLICY_DENIED")
    assert _use(as_operator, made, parameters={"root": False}).status_code == 202


def test_every_change_is_a_version(as_operator: APIClient, template: dict[str, Any]) -> None:
    path = f"{URL}/{template['id']}"
    changed = {**BODY, "config": {"image": "other", "env": {"PASSWORD": "${password}"}}}
    parameters = [PARAMETERS[1], PARAMETERS[2]]
    answer = as_operator.put(
        path, {"body": changed, "parameters": parameters, "comment": "why"}, format="json"
    )
    assert answer.json()["version"] == 2 and answer.json()["versions"][0]["comment"] == "why"
    assert as_operator.put(path, {"description": "words"}, format="json").json()["version"] == 2
    old = as_operator.get(f"{path}?version=1").json()
    assert old["body"] == BODY and old["shown_version"] == 1
    assert _use(as_operator, template, name="new").status_code == 202
    assert _use(as_operator, template, name="old", version=1).status_code == 202
    assert {row.name: row.image for row in Instance.objects.all()} == {"new": "other", "old": "demo"}
    assert as_operator.get(f"{path}?version=9").status_code == 404
    stale = as_operator.put(path, {"description": "x"}, format="json", HTTP_IF_MATCH='W/"0"')
    assert stale.status_code == 412
    assert as_operator.delete(path).status_code == 204
    assert not TemplateVersion.objects.exists() and Instance.objects.count() == 2


def test_in_the_body_of_a_create(as_operator: APIClient, template: dict[str, Any]) -> None:
    given = {
        "name": "one",
        "template": "web",
        "parameters": {"password": SECRET},
        "config": {"image": "mine"},
        "resources": {"memory": {"limit": 2**27}},
    }
    answer = as_operator.post("/api/v1/compute/instances", given, format="json")
    assert answer.status_code == 202, answer.content
    row = Instance.objects.get(name="one")
    assert (row.image, row.memory_bytes, row.config["env"]["GREETING"]) == ("mine", 2**27, "hello world")
    bad = {"name": "two", "backend": "fake", "config": {"image": "demo"}, "parameters": {"x": 1}}
    assert as_operator.post("/api/v1/compute/instances", bad, format="json").status_code == 400


def test_from_an_instance_without_its_secrets(
    make: Callable[..., Instance],
    as_operator: APIClient,
) -> None:
    env = {"MODE": "fast ${HOME}", "DB_PASSWORD": SECRET}
    web = make("web", config={"image": "demo", "env": env}, resources={"memory": {"limit": 2**26}})
    answer = as_operator.post(URL, {"name": "of-web", "instance": str(web.pk)}, format="json")
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert SECRET not in answer.content.decode()
    assert SECRET not in str(Template.objects.get().versions.values_list("parameters", flat=True))
    assert shown["body"]["config"]["env"] == {"MODE": "fast $${HOME}", "DB_PASSWORD": "${secret_1}"}
    made = _use(as_operator, shown, parameters={"secret_1": "another"})
    assert made.status_code == 202, made.content
    copy = Instance.objects.get(name="w")
    assert config_opened(copy.config)["env"] == {"MODE": "fast ${HOME}", "DB_PASSWORD": "another"}
    assert copy.memory_bytes == 2**26


@pytest.mark.parametrize(
    "change",
    [
        {"body": {"config": {"env": {"PASSWORD": "plain"}}}},
        {"body": {"config": {"env": {"A": "${nobody}"}}}},
        {"body": {"name": "x"}},
        {"body": {"config": []}},
        {"parameters": [{"name": "who", "type": "list"}]},
        {"backend": "nothing"},
        {"name": "a b"},
        {"instance": "web"},
    ],
)
def test_bad_templates_are_refused(
    as_operator: APIClient,
    fake_node: Node,
    change: dict[str, Any],
) -> None:
    given = {"name": "t", "backend": "fake", "body": BODY, "parameters": PARAMETERS, **change}
    answer = as_operator.post(URL, given, format="json")
    assert answer.status_code in (400, 404) and "error" in answer.json()
    assert not Template.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0}, {"count": 101}, {"count": 2, "name_pattern": "{name}"}, {"name_pattern": "{name}/{n}"},
        {"parameters": {}}, {"parameters": {"password": SECRET, "more": 1}}, {"version": 0}, {"nothing": 1},
    ],
)  # fmt: skip
def test_bad_wishes_are_refused(
    as_operator: APIClient,
    template: dict[str, Any],
    change: dict[str, Any],
) -> None:
    answer = _use(as_operator, template, **change)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "INVALID_INPUT"
    assert not Instance.objects.exists()


def test_who_sees_and_uses_them(
    as_viewer: APIClient,
    as_stranger: APIClient,
    as_operator: APIClient,
    template: dict[str, Any],
) -> None:
    assert as_viewer.get(URL).json()["total"] == 1
    assert _use(as_viewer, template).status_code == 403
    assert as_viewer.put(f"{URL}/web", {"description": "x"}, format="json").status_code == 403
    assert as_stranger.get(URL).json()["total"] == 0
    assert as_stranger.get(f"{URL}/{template['id']}").status_code == 404
    assert _use(as_stranger, template).status_code == 404
    taken = {"name": "web", "backend": "fake", "body": BODY, "parameters": PARAMETERS}
    assert as_operator.post(URL, taken, format="json").status_code == 409


def test_the_same_request_twice_is_one(as_operator: APIClient, template: dict[str, Any]) -> None:
    given = {"name": "w", "count": 2, "parameters": {"password": SECRET}}
    path, key = f"{URL}/{template['id']}/instantiate", {"HTTP_IDEMPOTENCY_KEY": "k"}
    first, second = (as_operator.post(path, given, format="json", **key).json() for _ in range(2))
    assert first["operation"]["id"] == second["operation"]["id"]
    assert Instance.objects.count() == 2
