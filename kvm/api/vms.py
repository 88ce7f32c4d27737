"""``/vms``: the API from before Docker. The same services, policy and errors as everywhere, the older
fields, and answers that come when the work is done."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView, Parse, boolean, text, whole
from compute.api.instance_views import idempotency_of
from compute.api.schema import api
from compute.api.waiting import shape_register
from compute.errors import InstanceNotFound, InvalidInput
from compute.models import Operation
from compute.states import Action
from kvm.api import vms_shapes as shapes
from kvm.selectors.vms import vm_dict, vm_row, vms_page
from kvm.services import vms

_TAG = "vms (older)"
_PAGE_MAX = 100
_TIMEOUT_MAX_S = 300
_WORK = (409, 422, 502, 503, 504)
_SAID = {
    Action.START: "VM started successfully",
    Action.STOP: "VM stopped successfully",
    Action.RESTART: "VM restarted successfully",
    Action.DELETE: "VM deleted successfully",
}


def _made(operation: Operation) -> dict[str, object]:
    row = operation.instance
    if row is None:
        raise InstanceNotFound(f"The machine “{operation.instance_name}” is gone.")
    return {"vm": vm_dict(row)}


def _done(operation: Operation) -> dict[str, object]:
    return _said(Action(operation.action.removeprefix("instance.")))


def _said(action: Action) -> dict[str, object]:
    return {"success": True, "message": _SAID[action]}


shape_register("vm", _made)
shape_register("vm_done", _done)


class Vms(ApiView):
    @api(
        _TAG,
        "Machines",
        response=shapes.VmList,
        query=("page", "pageSize", "status"),
        operation_id="vms_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {"page": whole, "pageSize": whole, "status": text}
        asked = self.query(known)
        page, size = asked.get("page", 1), asked.get("pageSize", 50)
        if page < 1:
            raise InvalidInput.field("page", "must be 1 or more.")
        if not 1 <= size <= _PAGE_MAX:
            raise InvalidInput.field("pageSize", f"must be 1 to {_PAGE_MAX}.")
        found = vms_page(self.actor, page=page, page_size=size, status=asked.get("status", ""))
        return self.answer({"vms": found.items, "count": found.total, "page": page, "pageSize": size})

    @api(
        _TAG,
        "Make one and start it; answers when it runs",
        request=shapes.VmCreateRequest,
        response=shapes.VmAnswer,
        ends_as=201,
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.query({})
        body = self.body(shapes.VmCreateRequest)
        operation = vms.vm_create(self.actor, body, idempotency=idempotency_of(request))
        return self.answer_shaped(operation, "vm", ends_as=201)


class VmDetail(ApiView):
    @api(_TAG, "One machine", response=shapes.VmAnswer, operation_id="vms_retrieve")
    def get(self, request: Request, name: str) -> HttpResponseBase:
        self.query({})
        return self.answer({"vm": vm_dict(vm_row(self.actor, name))})

    @api(
        _TAG,
        "Remove it with its disks, running or not",
        response=shapes.VmDone,
        ends_as=200,
        query=("force",),
        errors=_WORK,
    )
    def delete(self, request: Request, name: str) -> HttpResponseBase:
        self.query({"force": boolean})
        self.body()
        return self.answer_shaped(vms.vm_delete(self.actor, name), "vm_done")


class _VmAct(ApiView):
    action: Action
    known: dict[str, Parse] = {}

    def act(self, name: str) -> HttpResponseBase:
        asked = self.query(self.known)
        self.body()
        if asked.get("timeout", 0) > _TIMEOUT_MAX_S:
            raise InvalidInput.field("timeout", f"must be 0 to {_TIMEOUT_MAX_S} seconds.")
        operation = vms.vm_act(self.actor, name, self.action, asked)
        if operation is None:
            return Response(_said(self.action))
        return self.answer_shaped(operation, "vm_done")


class VmStart(_VmAct):
    action = Action.START

    @api(_TAG, "Start it", response=shapes.VmDone, ends_as=200, errors=_WORK, operation_id="vms_start")
    def put(self, request: Request, name: str) -> HttpResponseBase:
        return self.act(name)


class VmStop(_VmAct):
    action = Action.STOP
    known = {"force": boolean, "timeout": whole}  # noqa: RUF012

    @api(
        _TAG,
        "Stop it",
        response=shapes.VmDone,
        ends_as=200,
        query=("force", "timeout"),
        errors=_WORK,
        operation_id="vms_stop",
    )
    def put(self, request: Request, name: str) -> HttpResponseBase:
        return self.act(name)


class VmRestart(_VmAct):
    action = Action.RESTART

    @api(_TAG, "Restart it", response=shapes.VmDone, ends_as=200, errors=_WORK, operation_id="vms_restart")
    def put(self, request: Request, name: str) -> HttpResponseBase:
        return self.act(name)
