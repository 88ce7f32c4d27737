"""``/api/v1/docker``: every route of the Docker API; each noun brings its own."""

from __future__ import annotations

from django.urls import path

from compute.parts import Routes, routes_of
from dockerapp.api import networks as n
from dockerapp.api import system as s
from dockerapp.api import volumes as v
from dockerapp.api.logs import ContainerLogs

urlpatterns: Routes = [
    *routes_of("dockerapp.api"),
    path("containers/<str:container_id>/logs", ContainerLogs.as_view()),
    path("networks", n.Networks.as_view()),
    path("networks/prune", n.NetworksPrune.as_view()),
    path("networks/<str:network>", n.NetworkDetail.as_view()),
    path("networks/<str:network>/connect", n.NetworkConnect.as_view()),
    path("networks/<str:network>/disconnect", n.NetworkDisconnect.as_view()),
    path("volumes", v.Volumes.as_view()),
    path("volumes/prune", v.VolumesPrune.as_view()),
    path("volumes/<str:name>", v.VolumeDetail.as_view()),
    path("system/info", s.SystemInfo.as_view()),
    path("system/version", s.SystemVersion.as_view()),
    path("system/df", s.SystemDisk.as_view()),
    path("system/prune", s.SystemPrune.as_view()),
]
