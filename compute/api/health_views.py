"""Is it alive, is it ready, and how much of what is there."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Count
from django.http import HttpResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView
from compute.live import broker_answers
from compute.models import Instance, Node, Operation
from compute.selectors import cluster
from compute.selectors.access import action_require


class _Open(ApiView):
    """Health is for anyone who can reach the port; it tells no names."""

    schema = None
    authentication_classes = ()
    permission_classes = (AllowAny,)


class Overall(_Open):
    def get(self, request: Request) -> Response:
        checks = _checks()
        if not all(checks.values()):
            return Response({"status": "unavailable", "checks": checks}, status=503)
        parts = cluster.health()
        backends = {name: part["status"] for name, part in parts["backends"].items()}
        return Response({"status": parts["status"], "checks": checks, "backends": backends})


class Liveness(_Open):
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class Readiness(_Open):
    def get(self, request: Request) -> Response:
        checks = _checks()
        ready = all(checks.values())
        return Response(
            {"status": "ok" if ready else "unavailable", "checks": checks}, status=200 if ready else 503
        )


class Metrics(ApiView):
    schema = None

    def get(self, request: Request) -> HttpResponse:
        action_require(self.actor, "site.metrics")
        return HttpResponse(_exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _checks() -> dict[str, bool]:
    return {"database": _database_answers(), "broker": broker_answers()}


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM compute_project LIMIT 1")
    except DatabaseError:
        return False
    return True


def _exposition() -> bytes:
    """Read from the database at each scrape, so every web process tells the same."""
    registry = CollectorRegistry()
    instances = Gauge("libgo_instances", "Instances", ["backend", "state"], registry=registry)
    for row in Instance.objects.values("backend", "state").annotate(n=Count("id")):
        instances.labels(row["backend"], row["state"]).set(row["n"])
    operations = Gauge("libgo_operations", "Operations kept", ["action", "state"], registry=registry)
    rows: Any = Operation.objects.values("action", "state").annotate(n=Count("id"))
    for row in rows:
        operations.labels(row["action"], row["state"]).set(row["n"])
    up = Gauge("libgo_node_up", "1 when the node answers", ["node", "backend"], registry=registry)
    for node in Node.objects.all():
        up.labels(node.name, node.backend).set(int(node.is_enabled and node.is_reachable))
    return generate_latest(registry)
