"""Reads of images from the mirror: order, filters, and which one is meant."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from compute.actor import Actor
from compute.errors import ImageNotFound, InvalidInput
from compute.models import Instance, Node, Project, Resource
from compute.selectors.resources import ResourceFilter
from dockerapp.selectors.images import image_get, images_page

ADMIN, STRANGER = Actor(None, "ada", is_admin=True), Actor(None, "stan")
DIGEST = "sha256:" + "d" * 64


def _node(name: str, **columns: Any) -> Node:
    return Node.objects.create(name=name, backend="docker", url=f"tcp://{name}", **columns)


def _image(node: Node, letter: str, *tags: str, digests: tuple[str, ...] = ()) -> Resource:
    data = {"tags": list(tags), "digests": list(digests), "labels": {"API_TOKEN": "canary"}}
    name = tags[0] if tags else "<untagged>"
    return Resource.objects.create(
        node=node, kind="image", engine_id="sha256:" + letter * 64, name=name, size_bytes=1, data=data
    )


@pytest.mark.django_db
def test_a_list_has_what_is_named_first_and_says_who_uses_it() -> None:
    node = _node("one")
    _image(node, "a")
    used = _image(node, "b", "zoo:1")
    _image(node, "c", "ant:1")
    project = Project.objects.create(name="p")
    Instance.objects.create(
        node=node,
        project=project,
        backend="docker",
        name="web",
        type="container",
        engine_id="x",
        image_id=used.engine_id,
        created_at=timezone.now(),
    )

    def names(actor: Actor = ADMIN, **narrow: Any) -> list[str]:
        return [item["name"] for item in images_page(actor, ResourceFilter("image"), **narrow).items]

    assert names() == ["ant:1", "zoo:1", "<untagged>"]
    assert names(dangling=True) == ["<untagged>"] and names(in_use=True) == ["zoo:1"]
    assert names(in_use=False, dangling=False) == ["ant:1"]
    for actor, seen in ((ADMIN, ["web"]), (STRANGER, [])):
        row = next(r for r in images_page(actor, ResourceFilter("image")).items if r["name"] == "zoo:1")
        assert row["used_by_count"] == 1 and [user["name"] for user in row["used_by"]] == seen
        assert row["labels"]["API_TOKEN"] != "canary"


@pytest.mark.django_db
def test_which_image_is_meant() -> None:
    local, far = _node("local", is_local=True), _node("far")
    here, there = _image(local, "a", "app:1"), _image(far, "b", "app:1")
    lonely = _image(far, "c", "127.0.0.1:5000/a/b:tag", digests=(f"127.0.0.1:5000/a/b@{DIGEST}",))
    assert image_get(ADMIN, "app:1").pk == here.pk, "without a node the local one goes first"
    assert image_get(ADMIN, "app:1", "far").pk == there.pk
    for name in ("127.0.0.1:5000/a/b:tag", f"127.0.0.1:5000/a/b@{DIGEST}", "c" * 12, "sha256:" + "c" * 64):
        assert image_get(ADMIN, name).pk == lonely.pk, name
    for absent in ("127.0.0.1:5000/a/b", "c" * 11, "b:tag", "app:1@", "%", "a' or 1=1"):
        with pytest.raises(ImageNotFound):
            image_get(ADMIN, absent)
    third, fourth = _node("third"), _node("fourth")
    _image(third, "e", "both:1")
    _image(fourth, "f", "both:1")
    with pytest.raises(InvalidInput, match="several images"):
        image_get(ADMIN, "both:1")
