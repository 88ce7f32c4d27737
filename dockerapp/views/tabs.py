"""What a container's page has beside the tabs of every instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from compute.views.tabs import Tab


def tabs_of(row: Mapping[str, Any]) -> list[Tab]:
    return [Tab("networks", "Networks", reverse("container_networks", args=[row["id"]]))]
