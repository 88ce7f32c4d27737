"""The routes below ``/api/v1/docker/containers``."""

from __future__ import annotations

from django.urls import URLPattern, path

from compute.states import Action
from dockerapp.api import container_shapes as s
from dockerapp.api import containers as c

_ONE = "containers/<str:container_id>"
_LIFE = (Action.START, Action.STOP, Action.RESTART, Action.PAUSE, Action.UNPAUSE, Action.KILL)
_OTHERS = {
    "rename": c.verb_view("rename", c.Rename, "Give it another name"),
    "update": c.verb_view("update", c.Update, "Change limits and restart policy while it runs"),
    "recreate": c.verb_view(
        "recreate", c.Recreate, "Put one of other settings in its place; the old one comes back if that fails"
    ),
    "wait": c.verb_view(
        "wait", c.Wait, "Wait for its end", response=s.WaitShape, status=200, errors=(409, 502, 503, 504)
    ),
    "resize": c.verb_view("resize", c.Resize, "The size of its terminal", response=None, status=204),
}

urlpatterns: list[URLPattern] = [
    path("containers", c.Containers.as_view()),
    path("containers/prune", c.Prune.as_view()),
    path(_ONE, c.ContainerDetail.as_view()),
    *[path(f"{_ONE}/{verb}", c.lifecycle_view(verb).as_view()) for verb in _LIFE],
    *[path(f"{_ONE}/{verb}", view.as_view()) for verb, view in _OTHERS.items()],
    path(f"{_ONE}/exec", c.Exec.as_view()),
    path(f"{_ONE}/stats", c.Stats.as_view()),
    path(f"{_ONE}/top", c.Top.as_view()),
    path(f"{_ONE}/changes", c.Changes.as_view()),
    path(f"{_ONE}/commit", c.Commit.as_view()),
]
