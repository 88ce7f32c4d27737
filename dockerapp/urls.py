"""The pages of what only Docker has."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.views import networks, volumes
from dockerapp.views.image_urls import image_urls
from dockerapp.views.stack_urls import stack_urls

urlpatterns: list[URLPattern] = [
    *image_urls,
    *stack_urls,
    path("networks", networks.network_list, name="docker_networks"),
    path("networks/new", networks.network_new, name="docker_network_new"),
    path("networks/prune", networks.network_prune, name="docker_network_prune"),
    path("networks/<uuid:network_id>", networks.network_page, name="docker_network"),
    path("networks/<uuid:network_id>/delete", networks.network_remove, name="docker_network_remove"),
    path("networks/<uuid:network_id>/join", networks.network_join, name="docker_network_join"),
    path("networks/<uuid:network_id>/leave", networks.network_leave, name="docker_network_leave"),
    path("instances/<uuid:instance_id>/networks", networks.container_networks, name="container_networks"),
    path("instances/<uuid:instance_id>/join", networks.container_join, name="container_join"),
    path("instances/<uuid:instance_id>/leave", networks.container_leave, name="container_leave"),
    path("volumes", volumes.volume_list, name="docker_volumes"),
    path("volumes/new", volumes.volume_new, name="docker_volume_new"),
    path("volumes/prune", volumes.volume_prune, name="docker_volume_prune"),
    path("volumes/<uuid:volume_id>", volumes.volume_page, name="docker_volume"),
    path("volumes/<uuid:volume_id>/delete", volumes.volume_remove, name="docker_volume_remove"),
]
