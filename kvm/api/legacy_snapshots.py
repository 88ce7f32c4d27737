"""``/vms/:name/snapshots`` and ``/vms/:name/export`` as clients from before Docker know them: the answer
comes when the work is done, and holds the thing itself."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView, boolean
from compute.api.schema import api
from compute.api.serializers import Base
from compute.api.waiting import shape_register
from compute.backends.registry import backend_for
from compute.models import Operation
from compute.selectors.nodes import node_config
from compute.selectors.page import time_text
from compute.services import snapshots
from kvm.api import export_shapes
from kvm.selectors.exports import export_dict
from kvm.selectors.vms import vm_row
from kvm.services.exports import export_of, instance_export

_TAG = "vms"
_WORK = (409, 422, 502, 503, 504)


class VmSnapshotRequest(Base[Any]):
    name = s.CharField(max_length=63)
    description = s.CharField(required=False, allow_blank=True, max_length=1000)
    include_memory = s.BooleanField(required=False, default=False)
    quiesce = s.BooleanField(required=False, default=False)


class Snapshot(Base[Any]):
    name = s.CharField()
    description = s.CharField(allow_blank=True)
    state = s.CharField(allow_null=True)
    parent = s.CharField(allow_null=True)  # type: ignore[assignment]
    created_at = s.DateTimeField(allow_null=True)
    is_current = s.BooleanField()
    has_metadata = s.BooleanField()
    has_memory = s.BooleanField()
    has_disk = s.BooleanField()


class SnapshotAnswer(Base[Any]):
    snapshot = Snapshot()


class SnapshotList(Base[Any]):
    snapshots = Snapshot(many=True)
    count = s.IntegerField()


class Done(Base[Any]):
    success = s.BooleanField()
    message = s.CharField()


def _legacy(item: dict[str, Any]) -> dict[str, Any]:
    kept = ("name", "description", "state", "parent", "created_at", "is_current", "has_memory")
    return {**{key: item[key] for key in kept}, "has_metadata": True, "has_disk": True}


def _made(operation: Operation) -> dict[str, Any]:
    """What the machine then shows; what the operation asked for, when it is gone again already."""
    name, row = operation.params["name"], operation.instance
    if row is not None:
        for item in backend_for(node_config(row.node)).snapshot_list(row.engine_id, str(row.pk)):
            if item.name == name:
                return {"snapshot": _legacy(snapshots.snapshot_dict(item))}
    told = {"name": name, "description": operation.params.get("description", ""), "state": None}
    told |= {"parent": None, "created_at": time_text(operation.finished_at), "is_current": True}
    return {"snapshot": _legacy({**told, "has_memory": False})}


def _done(operation: Operation) -> dict[str, Any]:
    word = "deleted" if operation.action == "instance.snapshot_delete" else "restored"
    return {"success": True, "message": f"Snapshot {operation.params['name']} {word}."}


shape_register("vm_snapshot", _made)
shape_register("vm_snapshot_done", _done)


class VmSnapshots(ApiView):
    @api(
        _TAG,
        "Its snapshots",
        response=SnapshotList,
        operation_id="vms_snapshots_list",
        query=("include_metadata", "tree"),
        errors=(409, 422, 503),
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        # Both were parameters of the older API; the list always says all, with the parent of each.
        self.query({"include_metadata": boolean, "tree": boolean})
        row = vm_row(self.actor, name)
        items = [_legacy(item) for item in snapshots.snapshots_list(self.actor, row.pk)]
        return self.answer({"snapshots": items, "count": len(items)})

    @api(
        _TAG, "Take a snapshot", request=VmSnapshotRequest, response=SnapshotAnswer, ends_as=201, errors=_WORK
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        self.wait_seconds()
        body = self.body(VmSnapshotRequest)
        # There “false” was what a client sent that never thought of memory.
        body["include_memory"] = body["include_memory"] or None
        operation = snapshots.snapshot_create(self.actor, vm_row(self.actor, name).pk, body)
        return self.answer_shaped(operation, "vm_snapshot", ends_as=201)


class VmSnapshot(ApiView):
    @api(_TAG, "One snapshot", response=SnapshotAnswer, errors=(409, 422, 503))
    def get(self, request: Request, name: str, snapshot: str) -> HttpResponseBase:
        self.query({})
        row = vm_row(self.actor, name)
        return self.answer({"snapshot": _legacy(snapshots.snapshot_get(self.actor, row.pk, snapshot))})

    @api(_TAG, "Delete a snapshot", response=Done, ends_as=200, errors=_WORK)
    def delete(self, request: Request, name: str, snapshot: str) -> HttpResponseBase:
        self.wait_seconds()
        self.body()
        operation = snapshots.snapshot_delete(self.actor, vm_row(self.actor, name).pk, snapshot)
        return self.answer_shaped(operation, "vm_snapshot_done")


class VmSnapshotRevert(ApiView):
    @api(_TAG, "Go back to it; what was written since is lost", response=Done, ends_as=200, errors=_WORK)
    def put(self, request: Request, name: str, snapshot: str) -> HttpResponseBase:
        self.wait_seconds()
        self.body()
        operation = snapshots.snapshot_restore(self.actor, vm_row(self.actor, name).pk, snapshot)
        return self.answer_shaped(operation, "vm_snapshot_done")


class VmExport(ApiView):
    @api(
        _TAG,
        "Export it as one file",
        request=export_shapes.LegacyExportRequest,
        response=export_shapes.ExportAnswer,
        status=202,
        errors=_WORK,
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        self.wait_seconds()
        body = self.body(export_shapes.LegacyExportRequest)
        wish = {"format": body["format"], "file_name": body.get("fileName"), "options": body.get("options")}
        operation = instance_export(self.actor, vm_row(self.actor, name).pk, wish)
        job = export_dict(export_of(operation))
        return Response({"job": job}, status=202, headers={"Location": f"/api/v1/exports/{job['id']}"})
