"""How lists of facts are asked for."""

from __future__ import annotations

from typing import Any

from compute.api.base import PAGING, ApiView, Parse, text, whole
from compute.errors import InvalidInput
from compute.selectors.page import PAGE_SIZE_MAX

EVENT_QUERY = ("after", "q", "page", "page_size", "limit", "sort")


def event_query(view: ApiView, **more: Parse) -> dict[str, Any]:
    """What lists of facts are asked for; ``limit`` is their older word for ``page_size``."""
    asked = view.query({**PAGING, "after": whole, "q": text, "limit": whole, **more})
    if (limit := asked.pop("limit", None)) is not None:
        if not 1 <= limit <= PAGE_SIZE_MAX:
            raise InvalidInput.field("limit", f"must be between 1 and {PAGE_SIZE_MAX}.")
        asked.setdefault("page_size", limit)
    return asked
