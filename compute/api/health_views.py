"""Is it alive, is it ready, and what is wrong if it is not."""

from __future__ import annotations

from django.db import DatabaseError, connection
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView
from compute.live import broker_answers
from compute.selectors import cluster


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


def _checks() -> dict[str, bool]:
    return {"database": _database_answers(), "broker": broker_answers()}


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM compute_project LIMIT 1")
    except DatabaseError:
        return False
    return True
