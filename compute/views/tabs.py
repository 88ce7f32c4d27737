"""The tabs of an instance's page: those that every backend has, and what its app adds.

An app registers ``tabs=``, a function from the page's row to further tabs. Their pages extend
``compute/instance_detail.html`` with a block ``tab`` and take their context from
``instances.instance_context``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from compute.backends.capabilities import Capability
from compute.backends.registry import backend_registration


@dataclass(frozen=True)
class Tab:
    """``place``: ``tabs``, or ``configuration`` for a button on that tab."""

    name: str
    title: str
    url: str
    place: str = "tabs"


TabsOf = Callable[[Mapping[str, Any]], list[Tab]]


def instance_tabs(row: Mapping[str, Any]) -> list[Tab]:
    """In order; only what this person may open and this node can do. ``row`` is the instance as
    ``row_for_page`` made it."""

    def own(name: str, title: str) -> Tab:
        return Tab(name, title, reverse("instance_tab", args=[row["id"], name]))

    can: list[str] = row["capabilities"]
    tabs = [Tab("overview", _("Overview"), reverse("instance", args=[row["id"]]))]
    if str(Capability.STATS) in can:
        tabs.append(own("usage", _("Usage")))
    if row["may_console"] and str(Capability.LOGS) in can:
        tabs.append(own("logs", _("Logs")))
    if row["may_console"] and str(Capability.TERMINAL) in can:
        tabs.append(own("terminal", _("Shell")))
    elif row["may_console"] and str(Capability.CONSOLE) in can:
        tabs.append(own("terminal", _("Console")))
    if row["may_console"] and str(Capability.GRAPHICS) in can and row["config"].get("graphics") == "vnc":
        tabs.append(own("screen", _("Screen")))
    if row["may_console"] and str(Capability.ATTACH) in can and row["config"].get("stdin_open"):
        tabs.append(own("attach", _("Attach")))
    further = _app_tabs(row)
    if str(Capability.BACKUP) in can:
        further.append(Tab("backups", _("Backups"), reverse("instance_backups", args=[row["id"]])))
    return [*tabs, *further, own("events", _("Events")), own("configuration", _("Configuration"))]


def _app_tabs(row: Mapping[str, Any]) -> list[Tab]:
    dotted_path = backend_registration(row["backend"]).tabs
    if not dotted_path:
        return []
    module, _dot, name = dotted_path.rpartition(".")
    tabs_of: TabsOf = getattr(importlib.import_module(module), name)
    return tabs_of(row)
