"""``/api/v1/docker``: every route of the Docker API; each noun brings its own."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.api import container_urls
from dockerapp.api import networks as n
from dockerapp.api import system as s
from dockerapp.api import volumes as v
from dockerapp.api.file_urls import file_urls
from dockerapp.api.image_urls import image_urls
from dockerapp.api.logs import ContainerLogs
from dockerapp.api.stack_urls import stack_urls

urlpatterns: list[URLPattern] = [
    *container_urls.urlpatterns,
    path("containers/<str:container_id>/logs", ContainerLogs.as_view()),
    path("networks", n.Networks.as_view()),
    path("networks/prune", n.NetworksPrune.as_view()),
    path("networks/<str:network>", n.NetworkDetail.as_view()),
    path("networks/<str:network>/connect", n.NetworkConnect.as_view()),
    path("networks/<str:network>/disconnect", n.NetworkDisconnect.as_view()),
    path("volumes", v.Volumes.as_view()),
    path("volumes/prune", v.VolumesPrune.as_view()),
    path("volumes/<str:name>", v.VolumeDetail.as_view()),
    *stack_urls,
    *file_urls,
    path("system/info", s.SystemInfo.as_view()),
    path("system/version", s.SystemVersion.as_view()),
    path("system/df", s.SystemDisk.as_view()),
    path("system/prune", s.SystemPrune.as_view()),
    *image_urls,
]
