"""``/compute/instances/:id/migrate``."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import serializers as s
from compute.api.base import ApiView
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.selectors.instances import instance_dict
from compute.services import migration

_ERRORS = (409, 422, 502, 503, 504)


class MigrateTarget(s.Base[Any]):
    node = serializers.CharField(max_length=100)
    live = serializers.BooleanField(required=False, allow_null=True, default=None)


class MigrateRequest(MigrateTarget):
    max_bytes_per_s = serializers.IntegerField(required=False, min_value=0, max_value=10**12)


class MigrateCheckShape(s.Base[Any]):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    message = serializers.CharField()


class MigrateChecks(s.Base[Any]):
    ok = serializers.BooleanField()
    node = serializers.CharField()
    checks = MigrateCheckShape(many=True)


class Migrate(ApiView):
    @api(
        "instances",
        "Move it to another node of its backend, running or off",
        request=MigrateRequest,
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        row = migration.migrate_require(self.actor, instance_id)
        operation = migration.instance_migrate(
            self.actor, row.pk, self.body(MigrateRequest), idempotency=idempotency_of(request)
        )
        return self.answer_operation(operation, instance_dict(row))


class MigrateCheck(ApiView):
    @api(
        "instances",
        "What speaks for and against such a move; nothing moves",
        request=MigrateTarget,
        response=MigrateChecks,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        row = migration.migrate_require(self.actor, instance_id)
        return Response(migration.migrate_check(self.actor, row.pk, self.body(MigrateTarget)))
