"""Addresses of the pages of images and registries."""

from __future__ import annotations

from django.urls import URLPattern, path

from compute.menu import MenuEntry, menu_register
from dockerapp.views import images as i
from dockerapp.views import registries as r

urlpatterns: list[URLPattern] = [
    path("images", i.image_list, name="docker_images"),
    path("images/pull", i.image_pull, name="docker_image_pull"),
    path("images/build", i.image_build, name="docker_image_build"),
    path("images/load", i.image_load, name="docker_image_load"),
    path("images/prune", i.image_prune, name="docker_image_prune"),
    path("images/prune/<uuid:operation_id>", i.image_prune_look, name="docker_image_prune_look"),
    path("images/progress/<uuid:operation_id>", i.image_progress, name="docker_image_progress"),
    path("images/<uuid:image_id>", i.image_detail, name="docker_image"),
    path("images/<uuid:image_id>/push", i.image_push, name="docker_image_push"),
    path("images/<uuid:image_id>/tag", i.image_tag, name="docker_image_tag"),
    path("images/<uuid:image_id>/remove", i.image_remove, name="docker_image_remove"),
    path("registries", r.registry_list, name="docker_registries"),
    path("registries/new", r.registry_edit, name="docker_registry_new"),
    path("registries/test/<uuid:operation_id>", r.registry_test_look, name="docker_registry_test_look"),
    path("registries/<uuid:registry_id>", r.registry_edit, name="docker_registry"),
    path("registries/<uuid:registry_id>/remove", r.registry_remove, name="docker_registry_remove"),
    path("registries/<uuid:registry_id>/test", r.registry_test, name="docker_registry_test"),
]
menu_register(
    MenuEntry("Docker", "Images", "docker_images", "image.read", 10, "docker_image", backend="docker"),
    MenuEntry(
        "Docker", "Registries", "docker_registries", "registry.read", 20, "docker_regis", backend="docker"
    ),
)
