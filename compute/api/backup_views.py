"""``/backups``, their targets, and ``/compute/instances/:id/backups``."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import backup_shapes as b
from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import PAGING, ApiView, Parse, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.selectors.backups import (
    BackupFilter,
    backup_dict,
    backup_get,
    backup_omits,
    backups_page,
    target_dict,
    target_get,
    targets_list,
)
from compute.selectors.instances import instance_dict, instance_get
from compute.services import backup_targets, backups

_TAG = "backups"
_FILTERS = ("instance", "target", "project", "state", "q")
_ERRORS = (409, 422, 502, 503, 504)


class Backups(ApiView):
    @api(
        _TAG, "All backups, newest first", response=b.BackupPage, query=(*_FILTERS, *PAGING),
        operation_id="backups_list_all",
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(backups_page(self.actor, BackupFilter(**self.query(known))))


class InstanceBackups(ApiView):
    @api(
        _TAG, "The backups of one instance, newest first", response=b.InstanceBackupPage,
        query=LISTED, operation_id="compute_instances_backups_list_all",
    )  # fmt: skip
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        asked = self.query({**PAGING, "q": text})
        row = instance_get(self.actor, instance_id)
        page = backups_page(self.actor, BackupFilter(instance=str(row.pk), **asked))
        return self.answer_page(page, left_out=backup_omits(row))

    @api(
        _TAG, "Back it up, running or not", request=b.BackupCreateRequest, response=s.Accepted,
        status=202, errors=_ERRORS,
    )  # fmt: skip
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        row = instance_get(self.actor, instance_id)
        body = self.body(b.BackupCreateRequest)
        operation = backups.backup_create(self.actor, row.pk, body, idempotency=idempotency_of(request))
        return self.answer_operation(operation, instance_dict(row), ends_as=201)


class BackupDetail(ApiView):
    @api(_TAG, "One backup", response=b.BackupShape, operation_id="backups_retrieve_one")
    def get(self, request: Request, backup_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(backup_dict(backup_get(self.actor, backup_id)))

    @api(_TAG, "Remove it from its target", response=s.Accepted, status=202, errors=(409,))
    def delete(self, request: Request, backup_id: str) -> HttpResponseBase:
        self.wait_seconds()
        self.query({})
        return self.answer_operation(backups.backup_delete(self.actor, backup_id))


class BackupVerify(ApiView):
    @api(
        _TAG, "Read all of it back and compare its check sums", response=s.Accepted, status=202,
        errors=_ERRORS,
    )  # fmt: skip
    def post(self, request: Request, backup_id: str) -> HttpResponseBase:
        self.wait_seconds()
        self.body()
        return self.answer_operation(backups.backup_verify(self.actor, backup_id))


class BackupRestore(ApiView):
    @api(
        _TAG, "A new instance from it, here or on another node", request=b.BackupRestoreRequest,
        response=s.Accepted, status=202, errors=_ERRORS,
    )  # fmt: skip
    def post(self, request: Request, backup_id: str) -> HttpResponseBase:
        self.wait_seconds()
        body = self.body(b.BackupRestoreRequest)
        operation = backups.backup_restore(self.actor, backup_id, body, idempotency=idempotency_of(request))
        return self.answer_made(operation)


class BackupTargets(ApiView):
    @api(
        _TAG, "The targets that one may use, by name", response=b.BackupTargetPage,
        query=LISTED, operation_id="backups_targets_list_all",
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, targets_list(self.actor))

    @api(
        _TAG, "Add one (administrators)", request=b.BackupTargetRequest, response=b.BackupTargetShape,
        status=201, errors=(409,),
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        row = backup_targets.target_create(self.actor, self.body(b.BackupTargetRequest))
        location = {"Location": f"/api/v1/backups/targets/{row.pk}"}
        return Response(target_dict(self.actor, row), status=201, headers=location)


class BackupTargetDetail(ApiView):
    change_shape = b.BackupTargetChange

    @api(_TAG, "One target", response=b.BackupTargetShape, operation_id="backups_targets_retrieve_one")
    def get(self, request: Request, target_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(self._shown(target_id))

    @api(
        _TAG, "Change it (administrators)", request=b.BackupTargetChange, response=b.BackupTargetShape,
        errors=(409, 412),
    )  # fmt: skip
    def put(self, request: Request, target_id: str) -> HttpResponseBase:
        self.query({})
        given = self.body(b.BackupTargetChange)
        self.precondition(self._shown(target_id))
        row = backup_targets.target_update(self.actor, target_id, given)
        return self.answer(self._shown(str(row.pk)))

    patch = put

    def _shown(self, target_id: str) -> dict[str, Any]:
        """With what it holds."""
        row = target_get(self.actor, target_id)
        return next(item for item in targets_list(self.actor) if item["id"] == str(row.pk))

    @api(
        _TAG,
        "Forget it, once it holds no backup; by force with all of them, which can then not be restored "
        "(administrators)",
        status=204, query=("force",), errors=(409,),
    )  # fmt: skip
    def delete(self, request: Request, target_id: str) -> HttpResponseBase:
        force = bool(self.query({"force": boolean}).get("force"))
        self.body()
        backup_targets.target_delete(self.actor, target_id, force=force)
        return Response(status=204)


class BackupTargetTest(ApiView):
    @api(
        _TAG, "Write to it, read that back, and tidy (administrators)", response=b.BackupTargetTested,
        operation_id="backups_targets_test_one",
    )  # fmt: skip
    def post(self, request: Request, target_id: str) -> HttpResponseBase:
        self.query({})
        self.body()
        return Response(backup_targets.target_test(self.actor, target_id))
