"""``/api/schema``: made and written down once in each process, for it takes seconds and never changes."""

from __future__ import annotations

import threading
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView

_lock = threading.Lock()
_made: dict[str, Any] = {}


class _Generator(SchemaGenerator):
    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        with _lock:
            if "schema" not in _made:
                _made["schema"] = super().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
            return _made["schema"]


class _Once:
    """Before a renderer of drf-spectacular: what it made of the schema is kept; errors are not."""

    media_type: str

    def render(self, data: Any, accepted: str | None = None, context: Any = None) -> bytes:
        if data is not _made.get("schema"):
            return bytes(super().render(data, accepted, context))  # type: ignore[misc]
        with _lock:
            if self.media_type not in _made:
                _made[self.media_type] = super().render(data, accepted, context)  # type: ignore[misc]
            return bytes(_made[self.media_type])


class _Yaml(_Once, OpenApiYamlRenderer): ...


class _Yaml2(_Once, OpenApiYamlRenderer2): ...


class _Json(_Once, OpenApiJsonRenderer): ...


class _Json2(_Once, OpenApiJsonRenderer2): ...


class Schema(SpectacularAPIView):
    generator_class = _Generator
    renderer_classes = [_Yaml, _Yaml2, _Json, _Json2]
