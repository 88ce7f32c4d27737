"""How lists of facts are asked for."""

from __future__ import annotations

from typing import Any

from compute.api.base import PAGING, ApiView, Parse, text, whole
from compute.selectors.page import PAGE_SIZE_MAX, between

EVENT_QUERY = ("after", "q", "page", "page_size", "limit", "sort")


def event_query(view: ApiView, **more: Parse) -> dict[str, Any]:
    """What lists of facts are asked for; ``limit`` is their older word for ``page_size``."""
    asked = view.query({**PAGING, "after": whole, "q": text, "limit": whole, **more})
    if (limit := asked.pop("limit", None)) is not None:
        asked.setdefault("page_size", between("limit", limit, PAGE_SIZE_MAX))
    return asked
