"""``/api/v1``: every route of the public API."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import account_views as a
from compute.api import attachment_views as t
from compute.api import instance_views as i
from compute.api import log_views as logs
from compute.api import migrate_views as mig
from compute.api import operation_views as o
from compute.api import snapshot_views as snap
from compute.api.base import ApiView
from compute.errors import NotFound
from compute.parts import Routes, by_first_word, routes_of
from compute.states import Action

_VERBS = (
    Action.START,
    Action.STOP,
    Action.RESTART,
    Action.PAUSE,
    Action.UNPAUSE,
    Action.KILL,
    Action.RESET,
)


class Nowhere(ApiView):
    """What no route matches: the envelope, also for those who are not logged in."""

    schema = None
    authentication_classes = ()
    permission_classes = ()

    def dispatch(self, request: Request, *args: object, **kwargs: object) -> Response:  # type: ignore[override]
        self.headers = {}
        self.http_method_names = [(request.method or "get").lower()]
        setattr(self, (request.method or "get").lower(), self._nothing)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def _nothing(self, request: Request, *args: object, **kwargs: object) -> Response:
        raise NotFound("There is no such route. See /api/docs.")


_INSTANCE = "compute/instances/<str:instance_id>"
_routes: Routes = [
    # First: they have fixed words where an instance's name stands below.
    *routes_of("compute.api"),
    path("auth/login", a.Login.as_view()),
    path("auth/refresh", a.Refresh.as_view()),
    path("auth/logout", a.Logout.as_view()),
    path("auth/ws-ticket", a.WsTicket.as_view()),
    path("profile", a.Profile.as_view()),
    path("profile/password", a.ProfilePassword.as_view()),
    path("users", a.Users.as_view()),
    path("users/<str:user_id>", a.UserDetail.as_view()),
    path("projects", a.Projects.as_view()),
    path("projects/<str:project_id>", a.ProjectDetail.as_view()),
    path("projects/<str:project_id>/members", a.Members.as_view()),
    path("projects/<str:project_id>/members/<str:user>", a.MemberDetail.as_view()),
    path("compute/instances", i.Instances.as_view()),
    path("compute/instances/name/<str:name>", i.InstanceByName.as_view()),
    path(_INSTANCE, i.InstanceDetail.as_view()),
    path(f"{_INSTANCE}/resources", i.InstanceResources.as_view()),
    path(f"{_INSTANCE}/snapshots", snap.Snapshots.as_view()),
    path(f"{_INSTANCE}/snapshots/<str:snapshot>", snap.SnapshotDetail.as_view()),
    path(f"{_INSTANCE}/snapshots/<str:snapshot>/restore", snap.SnapshotRestore.as_view()),
    path(f"{_INSTANCE}/clone", snap.Clone.as_view()),
    path(f"{_INSTANCE}/migrate", mig.Migrate.as_view()),
    path(f"{_INSTANCE}/migrate/check", mig.MigrateCheck.as_view()),
    path(f"{_INSTANCE}/exec", i.InstanceExec.as_view()),
    path(f"{_INSTANCE}/usage", i.InstanceUsage.as_view()),
    path(f"{_INSTANCE}/events", i.InstanceEvents.as_view()),
    path(f"{_INSTANCE}/logs", logs.InstanceLogs.as_view()),
    path(f"{_INSTANCE}/networks", t.InstanceNetworks.as_view()),
    path(f"{_INSTANCE}/networks/<str:network>", t.InstanceNetwork.as_view()),
    path(f"{_INSTANCE}/storage", t.InstanceStorage.as_view()),
    path(f"{_INSTANCE}/storage/<path:name>", t.InstanceStorageItem.as_view()),
    *[path(f"{_INSTANCE}/{verb}", i.act_view(verb).as_view()) for verb in _VERBS],
    path("compute/cluster/status", i.ClusterStatus.as_view()),
    path("compute/backends", i.Backends.as_view()),
    path("compute/backends/<str:backend>/info", i.BackendInfo.as_view()),
    path("compute/health", i.ComputeHealth.as_view()),
    path("operations", o.Operations.as_view()),
    path("operations/<str:operation_id>", o.OperationDetail.as_view()),
    path("operations/<str:operation_id>/log", o.OperationLog.as_view()),
    path("operations/<str:operation_id>/wait", o.OperationWait.as_view()),
    path("events", o.Events.as_view()),
    path("nodes", o.Nodes.as_view()),
    path("nodes/test", o.NodeDraftTest.as_view()),
    path("nodes/<str:node_id>", o.NodeDetail.as_view()),
    path("nodes/<str:node_id>/test", o.NodeTest.as_view()),
    path("nodes/<str:node_id>/drain", o.NodeDrain.as_view()),
    path("nodes/<str:node_id>/resume", o.NodeResume.as_view()),
    re_path(r"^.*$", Nowhere.as_view()),
]
urlpatterns = by_first_word(_routes)
