"""Views of one backend's own API: each row also takes the node, and the project of what is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.api.base import ApiView, Parse, text

# The node by id or name.
NODE: dict[str, Parse] = {"node": text}
PLACE: dict[str, Parse] = {"node": text, "project": text}


class PlacedView(ApiView):
    """A view whose work happens on a node, for a project."""

    def place(self, known: Mapping[str, Parse] | None = None) -> dict[str, Any]:
        """The query parameters, with ``node`` (text) and ``project`` (text or None) always there."""
        asked = self.query({**PLACE, **(known or {})})
        return {"node": "", "project": None, **asked}
