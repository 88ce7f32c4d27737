"""What a machine's page has beside the tabs of every instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from compute.backends.capabilities import Capability
from compute.views.tabs import Tab


def tabs_of(row: Mapping[str, Any]) -> list[Tab]:
    def own(name: str, title: str) -> Tab:
        return Tab(name, title, reverse(f"machine_{name}", args=[row["id"]]))

    wanted: list[tuple[str, str]] = [("hardware", _("Hardware"))]
    if str(Capability.SNAPSHOT) in row["capabilities"]:
        wanted.append(("snapshots", _("Snapshots")))
    if row["may_console"]:
        wanted.append(("xml", _("Definition")))
    if row["may_console"] and str(Capability.EXEC) in row["capabilities"]:
        wanted += [("guest", _("Guest")), ("cloud_init", _("Cloud-init"))]
    return [own(name, title) for name, title in wanted]
