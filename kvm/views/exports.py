"""The list of exports, and the dialog that makes one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.permissions import holds
from compute.selectors.access import permissions_by_project
from compute.states import colour_of
from compute.views.common import actor_of, number, page, page_of, toast
from compute.views.instances import instance_context
from compute.wording import later
from kvm.selectors.exports import export_dict, export_get, exports_page
from kvm.services import exports

_PAGE_SIZE = 25
_FORMATS = (
    ("qcow2", "qcow2", later("for QEMU, KVM, Proxmox and LibGo")),
    ("ova", "OVA", later("the whole machine, for VirtualBox, VMware and LibGo")),
    ("vmdk", "VMDK", later("for VMware")),
    ("vdi", "VDI", later("for VirtualBox")),
    ("raw", "raw", later("as it is on a disk; the largest")),
)


@require_GET
@page_of("kvm_exports")
def export_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    wanted = max(1, number(request.GET.get("page"), 1))
    found = exports_page(actor, page=wanted, page_size=_PAGE_SIZE)
    allowed = permissions_by_project(actor, (row["projectId"] for row in found.items if row["projectId"]))
    for row in found.items:
        own = allowed[row["projectId"]] if row["projectId"] else frozenset()
        row["may_export"] = actor.is_admin or holds(own, "export.download")
        row["colour"] = colour_of("export", row["status"])
        row["active"] = row["status"] in ("pending", "running")
        row["started"] = row["startTime"]
    fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "_export_table" if fragment else "export_list"
    context = {"rows": found.items, "found": found, "wanted": {"page": wanted}, "query": "", "noun": "export"}
    return render(request, f"kvm/{template}.html", context)


@require_http_methods(["GET", "POST"])
@page
def machine_export(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor, given = actor_of(request), request.POST
    instance, context = instance_context(actor, instance_id, "overview")
    message = ""
    if request.method == "POST":
        disk = given.get("disk", "")
        body = {"format": given.get("format", ""), "file_name": given.get("file_name", "").strip()}
        try:
            exports.instance_export(actor, instance.pk, {**body, "options": {"disk": disk} if disk else {}})
            return toast(_("%(name)s: exporting; see Exports.") % {"name": instance.name}, "info")
        except ComputeError as error:
            message = complaints_text(error)
    disks = [item for item in instance.storage if item.get("format") != "cdrom"]
    context |= {"message": message, "given": given, "formats": _FORMATS, "disks": disks}
    return render(request, "kvm/_machine_export.html", context)


@require_http_methods(["GET", "POST"])
@page
def export_remove(request: HttpRequest, export_id: str) -> HttpResponse:
    actor = actor_of(request)
    if request.method == "POST":
        return toast(exports.export_delete(actor, export_id), "info")
    row = export_dict(export_get(actor, export_id))
    row["active"] = row["status"] in ("pending", "running")
    return render(request, "kvm/_export_delete.html", {"row": row})
