"""``/kvm/vms/:id``: disks, NICs, media, the definition, autostart, the saved state."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView, boolean
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.models import Instance, Operation
from compute.selectors.instances import instance_dict
from compute.selectors.operations import operation_full
from compute.services import attachments
from kvm.api import machine_shapes as shapes
from kvm.selectors.machines import machine_get
from kvm.services import machines

_TAG = "kvm machines"
_WORK = (409, 422, 502, 503, 504)


class MachineView(ApiView):
    """A change of one machine: 202 with its operation, or what is so already."""

    def done(self, operation: Operation | None, machine_id: str, *, ends_as: int = 200) -> Response:
        if operation is not None:
            return self.answer_operation(operation, ends_as=ends_as)
        row: Instance = machine_get(self.actor, machine_id)
        return Response({"operation": None, "instance": instance_dict(row)})


class Machine(MachineView):
    @api(
        _TAG,
        "Change its description, autostart or boot order",
        request=shapes.MachineRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.MachineRequest)
        return self.done(machines.machine_configure(self.actor, machine_id, body), machine_id)


class MachineAutostart(MachineView):
    @api(
        _TAG,
        "Whether it starts with its host",
        request=shapes.AutostartRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.AutostartRequest)
        return self.done(machines.machine_configure(self.actor, machine_id, body), machine_id)


class MachineSave(MachineView):
    @api(
        _TAG,
        "Save its memory to the host's disk and turn it off; the next start goes on where it was",
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        return self._save(machine_id)

    @api(
        _TAG,
        "Save its memory to the host's disk and turn it off; the next start goes on where it was",
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def post(self, request: Request, machine_id: str) -> HttpResponseBase:
        return self._save(machine_id)

    @api(
        _TAG,
        "Throw its saved memory away; the next start boots anew",
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def delete(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        self.body()
        return self.done(machines.machine_save_discard(self.actor, machine_id), machine_id)

    def _save(self, machine_id: str) -> Response:
        self.query({})
        self.wait_seconds()
        self.body()
        return self.done(machines.machine_save(self.actor, machine_id), machine_id)


class MachineXml(MachineView):
    @api(
        _TAG,
        "Its definition as libvirt has it, without secrets; what runs now with live",
        response=shapes.XmlShape,
        query=("live",),
        errors=(409, 502, 503, 504),
    )
    def get(self, request: Request, machine_id: str) -> HttpResponseBase:
        live = self.query({"live": boolean}).get("live", False)
        return self.answer({"xml": machines.machine_xml(self.actor, machine_id, live=live)})

    @api(
        _TAG,
        "Edit its definition (administrators); checked first, and with dry_run only that",
        request=shapes.XmlRequest,
        response=shapes.XmlDone,
        status=202,
        errors=(412, *_WORK),
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.XmlRequest)
        if body.get("dry_run"):
            diff = machines.machine_xml_diff(self.actor, machine_id, body["xml"])
            return Response({"operation": None, "diff": diff, "dry_run": True})
        before = ""
        if request.headers.get("If-Match"):
            before = machines.machine_xml(self.actor, machine_id)
            self.precondition({"xml": before})
        operation, diff = machines.machine_xml_write(self.actor, machine_id, body["xml"], before=before)
        answer = self.answer_operation(operation)
        answer.data.update(operation=operation_full(operation), diff=diff)
        return answer


class MachineDisks(MachineView):
    @api(
        _TAG,
        "Plug in a disk: a new one, or a volume that is there",
        request=shapes.DiskAttachRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def post(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.DiskAttachRequest)
        return self.done(machines.disk_attach(self.actor, machine_id, body), machine_id, ends_as=201)


class MachineDisk(MachineView):
    @api(
        _TAG,
        "Grow a disk, limit its operations",
        request=shapes.DiskChangeRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def put(self, request: Request, machine_id: str, dev: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.DiskChangeRequest)
        return self.done(machines.disk_change(self.actor, machine_id, dev, body), machine_id)

    @api(
        _TAG,
        "Unplug a disk; its volume stays unless delete_storage",
        response=Accepted,
        status=202,
        query=("delete_storage",),
        errors=_WORK,
    )
    def delete(self, request: Request, machine_id: str, dev: str) -> HttpResponseBase:
        asked = self.query({"delete_storage": boolean})
        self.wait_seconds()
        self.body()
        row = machine_get(self.actor, machine_id)
        return self.done(attachments.storage_detach(self.actor, row.pk, dev, **asked), machine_id)


class MachineNics(MachineView):
    @api(
        _TAG,
        "Plug in a NIC",
        request=shapes.NicAttachRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def post(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.NicAttachRequest)
        return self.done(machines.nic_attach(self.actor, machine_id, body), machine_id, ends_as=201)


class MachineNic(MachineView):
    @api(
        _TAG,
        "Limit the bandwidth of a NIC, named by its MAC address",
        request=shapes.NicChangeRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def put(self, request: Request, machine_id: str, dev: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.NicChangeRequest)
        return self.done(machines.nic_change(self.actor, machine_id, dev, body), machine_id)

    @api(_TAG, "Unplug a NIC, named by its MAC address", response=Accepted, status=202, errors=_WORK)
    def delete(self, request: Request, machine_id: str, dev: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        self.body()
        return self.done(machines.nic_detach(self.actor, machine_id, dev), machine_id)


class MachineCdrom(MachineView):
    @api(
        _TAG,
        "Insert, change or take out the medium of a CD-ROM drive",
        request=shapes.CdromRequest,
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def post(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.CdromRequest)
        return self.done(machines.medium_change(self.actor, machine_id, body), machine_id)


class MachineDrive(MachineView):
    @api(
        _TAG,
        "Remove a CD-ROM drive from a machine that is off",
        response=Accepted,
        status=202,
        errors=_WORK,
    )
    def delete(self, request: Request, machine_id: str, dev: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        self.body()
        return self.done(machines.drive_remove(self.actor, machine_id, dev), machine_id)
