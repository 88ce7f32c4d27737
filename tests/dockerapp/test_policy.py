"""Whose registries and whose names: the same rule for every door."""

from __future__ import annotations

from typing import Any

import pytest

from compute.actor import Actor
from compute.errors import PolicyDenied
from compute.models import Project
from dockerapp.services.policy import image_name_space_check, registry_allowed_check

OPERATOR, ADMIN = Actor(None, "oscar"), Actor(None, "ada", is_admin=True)


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
