"""Whose registries and whose names: the same rule for every door."""

from __future__ import annotations

from typing import Any

import pytest

from compute.actor import Actor
from compute.errors import InvalidInput, PolicyDenied
from compute.models import Node, Project, Resource
from compute.sealing import seal
from dockerapp.models import Registry
from dockerapp.references import reference_parse
from dockerapp.selectors.registries import create_secrets, credentials_at
from dockerapp.services.image_policy import image_guard
from dockerapp.services.policy import image_name_space_check, registry_allowed_check
from tests.attacks.catalogue import attack

OPERATOR, ADMIN = Actor(None, "oscar"), Actor(None, "ada", is_admin=True)


@attack("S71", "pulling from a registry that is not on the list", refused="403")
def test_operators_use_only_registries_of_the_list(settings: Any) -> None:
    settings.LIBGO = {
        **settings.LIBGO,
        "docker": {**settings.LIBGO["docker"], "allowed_registries": ["r.io"]},
    }
    assert registry_allowed_check(OPERATOR, "r.io/x").host == "r.io"
    assert registry_allowed_check(ADMIN, "nginx").host == "docker.io"
    with pytest.raises(PolicyDenied, match="docker.io") as refused:
        registry_allowed_check(OPERATOR, "nginx")
    assert refused.value.details["rule"] == "docker.allowedRegistries"


@attack("S45", "tagging over a name that others use", refused="403")
@pytest.mark.django_db
def test_operators_name_images_only_in_the_space_of_their_project() -> None:
    project = Project.objects.create(name="Web")
    assert image_name_space_check(OPERATOR, project, "r.io/web/app:1").tag == "1"
    for name in ("nginx", "web", "webs/app", "r.io/app", "other/web/app"):
        with pytest.raises(PolicyDenied) as refused:
            image_name_space_check(OPERATOR, project, name)
        assert refused.value.details["rule"] == "image_name_space"
        image_name_space_check(ADMIN, project, name)
    Project.objects.create(name="WEB")
    with pytest.raises(PolicyDenied, match="Another project"):
        image_name_space_check(OPERATOR, project, "web/app")


@pytest.fixture
def node(db: Any) -> Node:
    return Node.objects.create(name="d", backend="docker", url="unix:///nowhere", is_reachable=True)


def test_what_the_node_has_is_used_but_not_pulled_from_elsewhere(settings: Any, node: Node) -> None:
    settings.LIBGO = {
        **settings.LIBGO,
        "docker": {**settings.LIBGO["docker"], "allowed_registries": ["r.io"]},
    }
    project = Project.objects.create(name="web")
    Resource.objects.create(
        node=node, kind="image", engine_id="sha256:" + "a" * 64, name="nginx:1", data={"tags": ["nginx:1"]}
    )
    for name in ("nginx:1", "docker.io/library/nginx:1"):
        found = image_guard(OPERATOR, project, node, {"image": name, "pull": "missing"})
        assert found["pull"] == "never", "so the worker cannot pull what the check did not allow"
    assert image_guard(ADMIN, project, node, {"image": "nginx:2", "pull": "missing"})["pull"] == "missing"
    assert image_guard(OPERATOR, project, node, {"image": "r.io/x", "pull": "always"})["pull"] == "always"
    for config in ({"image": "nginx:2"}, {"image": "nginx:1", "pull": "always"}):
        with pytest.raises(PolicyDenied):
            image_guard(OPERATOR, project, node, config)


def test_credentials_belong_to_a_host_and_a_project(node: Node) -> None:
    web, other = Project.objects.create(name="web"), Project.objects.create(name="other")
    columns = {"host": "r.io", "password_seal": seal("site")}
    Registry.objects.create(name="site", username="s", **columns)
    own = Registry.objects.create(name="own", username="o", project=web, **columns)
    image = reference_parse("r.io/x")
    found = {project.name: credentials_at(project.pk, image) for project in (web, other)}
    assert {name: item and item.username for name, item in found.items()} == {"web": "o", "other": "s"}
    assert credentials_at(web.pk, reference_parse("r.io.evil.example/x")) is None
    resolved = image_guard(ADMIN, web, node, {"image": "x:1", "registry": "own"})
    assert (resolved["image"], resolved["registry"]) == ("r.io/x:1", str(own.pk))
    assert create_secrets(node, web.pk, resolved)["registry"].password == "site"
    with pytest.raises(InvalidInput, match="config.registry"):
        image_guard(ADMIN, other, node, {"image": "x:1", "registry": "own"})
