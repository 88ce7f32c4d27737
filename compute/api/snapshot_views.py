"""``/compute/instances/:id/snapshots`` and ``/clone``."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request

from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import ApiView
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.selectors.instances import instance_dict, instance_get
from compute.services import snapshots

_ERRORS = (409, 422, 502, 503, 504)


class SnapshotRequest(s.Base[Any]):
    name = serializers.CharField(max_length=63)
    description = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    include_memory = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Of a VM that runs: keep its memory too, so that it goes on where it was. null: if it can.",
    )
    quiesce = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Of a VM that runs: its guest agent writes out and holds the file systems meanwhile.",
    )


class SnapshotShape(s.Base[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    size_bytes = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField(allow_null=True)
    parent = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="The snapshot it was taken after."
    )
    is_current = serializers.BooleanField(help_text="The instance goes on from this one.")
    state = serializers.CharField(allow_null=True, help_text="What a restore leaves it in.")
    kind = serializers.CharField(allow_null=True, help_text="Of VMs: internal or external.")
    has_memory = serializers.BooleanField()
    may_restore = serializers.BooleanField()
    no_restore = serializers.CharField(allow_null=True, help_text="Why it cannot be restored now.")


class SnapshotPage(s.Paged):
    items = SnapshotShape(many=True)


class CloneRequest(s.Base[Any]):
    name = serializers.CharField(max_length=63)
    project = serializers.CharField(required=False, allow_null=True, max_length=100)
    auto_start = serializers.BooleanField(required=False, default=True)
    linked = serializers.BooleanField(
        required=False, default=False, help_text="Of a VM: share its template, copy only what it wrote."
    )


class Snapshots(ApiView):
    @api(
        "instances",
        "Its snapshots",
        operation_id="compute_instances_snapshots_list_all",
        response=SnapshotPage,
        query=LISTED,
        errors=(409, 422, 503),
    )
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        return listing_answer(self, snapshots.snapshots_list(self.actor, instance_id))

    @api(
        "instances",
        "Keep the state it is in (of a container: what it wrote, not its volumes)",
        request=SnapshotRequest,
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        row = instance_get(self.actor, instance_id)
        operation = snapshots.snapshot_create(
            self.actor, row.pk, self.body(SnapshotRequest), idempotency=idempotency_of(request)
        )
        return self.answer_operation(operation, instance_dict(row), ends_as=201)


class SnapshotDetail(ApiView):
    @api("instances", "One snapshot", response=SnapshotShape, errors=(409, 422, 503))
    def get(self, request: Request, instance_id: str, snapshot: str) -> HttpResponseBase:
        self.query({})
        return self.answer(snapshots.snapshot_get(self.actor, instance_id, snapshot))

    @api("instances", "Delete a snapshot", response=s.Accepted, status=202, errors=_ERRORS)
    def delete(self, request: Request, instance_id: str, snapshot: str) -> HttpResponseBase:
        self.wait_seconds()
        row = instance_get(self.actor, instance_id)
        operation = snapshots.snapshot_delete(self.actor, row.pk, snapshot)
        return self.answer_operation(operation, instance_dict(row))


class SnapshotRestore(ApiView):
    @api(
        "instances",
        "Back to this state; what was written since is lost",
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def put(self, request: Request, instance_id: str, snapshot: str) -> HttpResponseBase:
        self.wait_seconds()
        self.body()
        row = instance_get(self.actor, instance_id)
        operation = snapshots.snapshot_restore(self.actor, row.pk, snapshot)
        return self.answer_operation(operation, instance_dict(row))

    post = put


class Clone(ApiView):
    @api(
        "instances",
        "Another one like it, with addresses, ports of the host and storage of its own",
        request=CloneRequest,
        response=s.Accepted,
        status=202,
        errors=_ERRORS,
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        operation = snapshots.instance_clone(
            self.actor, instance_id, self.body(CloneRequest), idempotency=idempotency_of(request)
        )
        return self.answer_made(operation)
