"""A body for each changing route: what its schema requires, and what only its service knows."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from tests.compute.access.permission_routes import Route

# What the schema does not say, by route (any method).
_MORE: dict[str, dict[str, Any]] = {
    "docker/networks/<str:network>/connect": {"container": "{docker}"},
    "docker/networks/<str:network>/disconnect": {"container": "{docker}"},
    "compute/instances/<str:instance_id>/export": {"format": "qcow2"},
    "vms/<str:name>/export": {"format": "qcow2"},
    "compute/instances/adopt": {"ids": ["x"]},
    "compute/instances/adopt/preview": {"ids": ["x"]},
    "vms": {"disk": {"sizeBytes": 2**30, "format": "qcow2"}, "memory": {"sizeBytes": 2**28}},
    "projects/<str:project_id>/limits": {"max_instances": 5},
    "kvm/vms/<str:machine_id>": {"autostart": True},
    "compute/schedules": {"cron": "0 3 * * *", "action": "stop", "target": {"filter": {}}},
    "compute/schedules/preview": {"cron": "0 3 * * *"},
    "compute/instances/<str:instance_id>/backups": {"target": "bt-1"},
}
# What stands in the query beside the project; of a route and all below it.
_QUERY: dict[str, dict[str, str]] = {
    "docker/containers/<str:container>/": {"path": "/x"},
    "docker/volumes/<str:volume>/": {"path": "/x"},
    "docker/images/build": {"tag": "x:1"},
    "docker/images/import": {"image": "x:1"},
    "docker/images/save": {"names": "demo:1"},
    "kvm/images/uploads/<str:upload>": {"offset": "0"},
    "kvm/images": {"name": "x"},
}
# Sent as bytes, so that the view itself decides and not what reads a long body later.
_BYTES = {"docker/images/build": "application/x-tar", "kvm/images": "application/octet-stream"}


@cache
def _schema() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


def body_of(route: Route, ids: dict[str, str], project: str) -> tuple[Any, str]:
    """The body and its content type; ``({}, "")`` for none."""
    path = "/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route.path)
    operation = _schema()["paths"].get(path, {}).get(route.method.lower(), {})
    content = (operation.get("requestBody") or {}).get("content") or {}
    if not content:
        return {}, ""
    if route.path in _BYTES:
        return b"x", _BYTES[route.path]
    if "application/json" not in content:
        return b"x", next(iter(content))
    body = _example(content["application/json"]["schema"])
    body |= {key: _filled(value, ids) for key, value in _MORE.get(route.path, {}).items()}
    if route.kind == "new" and "project" in _properties(content["application/json"]["schema"]):
        body["project"] = project
    return body, "application/json"


def query_of(route: Route, project: str) -> dict[str, str]:
    """The query: what the route needs, and the project where it stands there."""
    known = _parameters(route)
    found = next((query for path, query in _QUERY.items() if route.path.startswith(path)), {})
    query = {key: value for key, value in found.items() if key in known}
    if route.kind == "new" and "project" in known:
        query["project"] = project
    return query


def _parameters(route: Route) -> set[str]:
    path = "/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route.path)
    operation = _schema()["paths"].get(path, {}).get(route.method.lower(), {})
    return {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}


def _filled(value: Any, ids: dict[str, str]) -> Any:
    return value.format(**ids) if isinstance(value, str) else value


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    for key in ("allOf", "oneOf", "anyOf"):
        if key in schema:
            return _resolved(schema[key][0])
    if "$ref" in schema:
        return _resolved(_schema()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    return schema


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    return dict(_resolved(schema).get("properties", {}))


def _example(schema: dict[str, Any]) -> Any:
    found = _resolved(schema)
    if "enum" in found:
        return found["enum"][0]
    kind = found.get("type")
    if kind == "object" or "properties" in found:
        needed = found.get("required", [])
        return {name: _example(found["properties"][name]) for name in needed}
    if kind == "array":
        return []
    if kind in ("integer", "number"):
        return max(1, int(found.get("minimum", 1)))
    if kind == "boolean":
        return False
    return {"uuid": "00000000-0000-4000-8000-000000000000", "email": "a@example.com"}.get(
        found.get("format", ""), "wanted"
    )
