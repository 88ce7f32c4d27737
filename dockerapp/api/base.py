"""What all views under ``/api/v1/docker`` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.api.base import ApiView, Parse, text

# Each row of this API also takes the node (id or name), and the project that new things belong to.
NODE: dict[str, Parse] = {"node": text}
PLACE: dict[str, Parse] = {"node": text, "project": text}


class DockerView(ApiView):
    """A view of the Docker API."""

    def place(self, known: Mapping[str, Parse] | None = None) -> dict[str, Any]:
        """The query parameters, with ``node`` (text) and ``project`` (text or None) always there."""
        asked = self.query({**PLACE, **(known or {})})
        return {"node": "", "project": None, **asked}
