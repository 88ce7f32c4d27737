"""What a container's page has beside the tabs of every instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from compute.backends.capabilities import Capability
from compute.views.tabs import Tab


def tabs_of(row: Mapping[str, Any]) -> list[Tab]:
    def own(name: str, title: str) -> Tab:
        return Tab(name, title, reverse(f"container_{name}", args=[row["id"]]))

    tabs = [own("networks", _("Networks"))]
    if row["may_console"]:
        tabs.append(own("processes", _("Processes")))
    if row["may_export"]:
        tabs.append(own("changes", _("Changes")))
    if row["may_update"]:
        url = reverse("container_edit", args=[row["id"]])
        tabs.append(Tab("edit", _("Edit and recreate"), url, place="configuration"))
    if row["may_export"] and str(Capability.FILES) in row["capabilities"]:
        tabs.insert(1, own("files", _("Files")))
    return tabs
