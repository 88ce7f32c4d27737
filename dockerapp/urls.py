"""The pages of what only Docker has."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.parts import Routes, routes_of
from dockerapp.views import containers, files, networks, system, volumes

_CONTAINER = "instances/<uuid:instance_id>"
urlpatterns: Routes = [
    *routes_of("dockerapp.views"),
    path("networks", networks.network_list, name="docker_networks"),
    path("networks/new", networks.network_new, name="docker_network_new"),
    path("networks/prune", networks.network_prune, name="docker_network_prune"),
    path("networks/<uuid:network_id>", networks.network_page, name="docker_network"),
    path("networks/<uuid:network_id>/delete", networks.network_remove, name="docker_network_remove"),
    path("networks/<uuid:network_id>/join", networks.network_join, name="docker_network_join"),
    path("networks/<uuid:network_id>/leave", networks.network_leave, name="docker_network_leave"),
    path(f"{_CONTAINER}/networks", networks.container_networks, name="container_networks"),
    path(f"{_CONTAINER}/join", networks.container_join, name="container_join"),
    path(f"{_CONTAINER}/leave", networks.container_leave, name="container_leave"),
    path(f"{_CONTAINER}/files", files.container_files, name="container_files"),
    path(f"{_CONTAINER}/processes", containers.container_processes, name="container_processes"),
    path(f"{_CONTAINER}/changes", containers.container_files_changed, name="container_changes"),
    path(f"{_CONTAINER}/commit", containers.container_to_image, name="container_commit"),
    path(f"{_CONTAINER}/edit", containers.container_edit, name="container_edit"),
    path("volumes", volumes.volume_list, name="docker_volumes"),
    path("volumes/new", volumes.volume_new, name="docker_volume_new"),
    path("volumes/prune", volumes.volume_prune, name="docker_volume_prune"),
    path("volumes/<uuid:volume_id>", volumes.volume_page, name="docker_volume"),
    path("volumes/<uuid:volume_id>/restore", volumes.volume_restore, name="docker_volume_restore"),
    path("volumes/<uuid:volume_id>/files", files.volume_files, name="docker_volume_files"),
    path("volumes/<uuid:volume_id>/delete", volumes.volume_remove, name="docker_volume_remove"),
    path("nodes/<uuid:node_id>/system", system.node_system, name="docker_node_system"),
    path("nodes/<uuid:node_id>/prune", system.node_prune, name="docker_node_prune"),
]
menu_register(
    MenuEntry(
        "Docker", "Networks", "docker_networks", "network.read", 40, "docker_network", backend="docker"
    ),
    MenuEntry("Docker", "Volumes", "docker_volumes", "volume.read", 50, "docker_volume", backend="docker"),
    MenuEntry(
        "", "New container", "instance_new", "instance.create", 10, query="backend=docker", backend="docker"
    ),
)
