"""Whether a row of the public API is there, and documented."""

from __future__ import annotations

from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator


def documented_paths() -> dict[str, Any]:
    """``{route: {method: ...}}`` of the OpenAPI schema."""
    paths: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return paths


def row_require(method: str, path: str, documented: dict[str, Any]) -> None:
    """``path`` is what follows ``/api/v1/``, with an example where a client puts a name."""
    found = resolve(f"/api/v1/{path}")
    view = getattr(found.func, "cls", None)
    answers = {"head": "get"}.get(method, method)
    assert view is not None and hasattr(view, answers), f"{method.upper()} {path} has no view"
    route = f"/{found.route}".replace("<path:", "{").replace("<str:", "{").replace("<uuid:", "{")
    entry = documented.get(route.replace(">", "}"))
    assert entry is not None, f"{route} is not in the schema"
    assert method in entry or method == "head", f"{method.upper()} {route} is not in the schema"
