"""``/api/v1/docker/stacks``."""

from __future__ import annotations

from django.urls import URLPattern, path

from dockerapp.api import stacks
from dockerapp.services.stacks import VERBS

_STACK = "stacks/<str:name>"
urlpatterns: list[URLPattern] = [
    path("stacks", stacks.StackList.as_view()),
    path("stacks/validate", stacks.StackValidateNew.as_view()),
    path(_STACK, stacks.StackDetail.as_view()),
    path(f"{_STACK}/validate", stacks.StackValidate.as_view()),
    path(f"{_STACK}/redeploy", stacks.StackRedeploy.as_view()),
    path(f"{_STACK}/scale", stacks.StackScale.as_view()),
    path(f"{_STACK}/logs", stacks.StackLogs.as_view()),
    *(path(f"{_STACK}/{verb}", stacks.act_view(verb).as_view()) for verb in sorted(VERBS)),
]
