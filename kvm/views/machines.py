"""The Hardware and Definition tabs of a machine, and the dialogs around them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.complaints import complaints_text
from compute.errors import ComputeError, InvalidInput, NotFound
from compute.models import Operation
from compute.selectors.resources import resources_visible
from compute.services.attachments import storage_detach
from compute.templatetags.libgo import bytes_text
from compute.views.common import actor_of, page, toast
from compute.views.instances import instance_context
from compute.wording import later
from kvm.machine_forms import (
    AboutForm,
    DeviceForm,
    DiskChangeForm,
    DiskForm,
    MediumForm,
    NicChangeForm,
    NicForm,
)
from kvm.services import machines

_PICK_MAX = 200
_PENDING_WORDS = {
    "cpu_cores": "CPUs",
    "max_vcpus": later("CPUs at most"),
    "memory_bytes": "memory",
    "max_memory": later("memory at most"),
    "networks": "NICs",
}


@dataclass(frozen=True)
class Dialog:
    """``do`` gets the actor, the machine, the device and the body. ``lists`` are the names that its
    fields offer, by field."""

    title: str
    button: str
    form: type[DeviceForm]
    do: Callable[[Actor, str, str, Mapping[str, Any]], Operation | None]
    said: str
    lists: tuple[tuple[str, str], ...] = ()


_DIALOGS = {
    "disk-new": Dialog(
        later("Add a disk"),
        later("Add"),
        DiskForm,
        lambda actor, row, dev, body: machines.disk_attach(actor, row, body),
        later("adding a disk"),
        (("pool", "pool"), ("source", "volume")),
    ),
    "disk": Dialog(
        later("Change the disk"),
        later("Change"),
        DiskChangeForm,
        machines.disk_change,
        later("changing the disk"),
    ),
    "nic-new": Dialog(
        later("Add a NIC"),
        later("Add"),
        NicForm,
        lambda actor, row, dev, body: machines.nic_attach(actor, row, body),
        later("adding a NIC"),
        (("network", "network"),),
    ),
    "nic": Dialog(
        later("Limit the NIC"), later("Change"), NicChangeForm, machines.nic_change, later("limiting the NIC")
    ),
    "medium": Dialog(
        later("Medium of the drive"),
        later("Insert"),
        MediumForm,
        lambda actor, row, dev, body: machines.medium_change(actor, row, {**body, "dev": dev}),
        later("changing the medium"),
        (("image", "image"),),
    ),
    "about": Dialog(
        later("Settings"),
        later("Save"),
        AboutForm,
        lambda actor, row, dev, body: machines.machine_configure(actor, row, body),
        later("changing its settings"),
    ),
}


@require_GET
@page
def machine_hardware(request: HttpRequest, instance_id: str) -> HttpResponse:
    """What is plugged in, and what waits for the next start."""
    instance, context = instance_context(actor_of(request), instance_id, "hardware")
    context |= _hardware(context["row"])
    part = request.GET.get("part") == "tab"
    return render(request, f"kvm/{'_machine_hardware' if part else 'machine_hardware'}.html", context)


@require_http_methods(["GET", "POST"])
@page
def machine_dialog(request: HttpRequest, instance_id: str, what: str, dev: str = "") -> HttpResponse:
    """One dialog of the tab; shown again with what is wrong."""
    dialog = _DIALOGS.get(what)
    if dialog is None:
        raise NotFound(_("There is no such dialog."))
    actor, message = actor_of(request), ""
    instance, context = instance_context(actor, instance_id, "hardware")
    data = request.POST if request.method == "POST" else None
    form = dialog.form(data, initial=_initial(what, context["row"], dev))
    if data is not None and form.is_valid():
        try:
            operation = dialog.do(actor, str(instance.pk), dev, form.body())
            word = f"{instance.name}: {dialog.said} …" if operation else _("Nothing was asked for.")
            return toast(word, "info")
        except ComputeError as error:
            message = form.complain(error)
    for field, _source in dialog.lists:
        form.fields[field].widget.attrs.update({"list": f"list-{field}", "autocomplete": "off"})
    names = {"dev": dev, "what": what}
    context |= {
        "form": form,
        "dialog": dialog,
        "message": message,
        "dev": dev,
        "lists": [(f"list-{field}", _names(actor, instance.node_id, kind)) for field, kind in dialog.lists],
        "url": reverse("machine_dialog", args=[instance.pk, *[value for value in (what, dev) if value]]),
        **names,
    }
    return render(request, "kvm/_machine_dialog.html", context)


@require_POST
@page
def machine_unplug(request: HttpRequest, instance_id: str, what: str, dev: str) -> HttpResponse:
    """Take a disk, a NIC or a drive out."""
    actor = actor_of(request)
    instance, _context = instance_context(actor, instance_id, "hardware")
    row = str(instance.pk)
    if what == "disk":
        storage_detach(actor, row, dev, delete_storage=bool(request.POST.get("delete_storage")))
    elif what == "nic":
        machines.nic_detach(actor, row, dev)
    elif what == "drive":
        machines.drive_remove(actor, row, dev)
    else:
        raise InvalidInput.field("what", "is not known.")
    return toast(_("%(name)s: taking %(dev)s out …") % {"name": instance.name, "dev": dev}, "info")


@require_POST
@page
def machine_memory(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Save its memory to the host's disk, or throw the saved one away."""
    actor = actor_of(request)
    if request.POST.get("discard"):
        operation = machines.machine_save_discard(actor, instance_id)
    else:
        operation = machines.machine_save(actor, instance_id)
    return toast(_("Nothing had to be done.") if operation is None else _("Under way …"), "info")


@require_GET
@page
def machine_xml(request: HttpRequest, instance_id: str) -> HttpResponse:
    """The definition; administrators edit it."""
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "xml")
    text = machines.machine_xml(actor, str(instance.pk))
    context |= {"xml": text, "before": _digest(text), "may_edit": actor.is_admin}
    return render(request, "kvm/machine_xml.html", context)


@require_POST
@page
def machine_xml_change(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Show what an edit would change; then, as it was shown, define it."""
    actor, given = actor_of(request), request.POST
    xml, row = given.get("xml", "").replace("\r\n", "\n"), str(instance_id)
    context: dict[str, Any] = {"defined": False}
    try:
        if given.get("define"):
            now = machines.machine_xml(actor, row)
            if _digest(now) != given.get("before", ""):
                raise InvalidInput(_("The definition was changed since you opened it. Load the page again."))
            if _digest(xml) != given.get("checked", ""):
                raise InvalidInput(_("This is not what was looked at. Look at what it changes first."))
            _instance, diff = machines.machine_xml_write(actor, row, xml, before=now)
            context["defined"] = True
        else:
            diff = machines.machine_xml_diff(actor, row, xml)
            context["checked"] = _digest(xml)
        context["lines"] = [{"text": line, "kind": _kind(line)} for line in diff.splitlines()]
    except ComputeError as error:
        context["problem"] = complaints_text(error)
    return render(request, "kvm/_machine_diff.html", context)


def _hardware(row: Mapping[str, Any]) -> dict[str, Any]:
    devices = row["config"].get("devices") or {}
    sizes = {item["name"]: item for item in row["storage"]}
    addresses = {item["mac_address"]: item for item in row["networks"]}
    nics = [{**item, **_addresses(addresses.get(item["mac_address"]))} for item in devices.get("nics", [])]
    return {
        "disks": [
            {**item, "size": sizes.get(item["target"], {}).get("size")} for item in devices.get("disks", [])
        ],
        "drives": devices.get("drives", []),
        "nics": nics,
        "is_off": row["state"] in ("stopped", "error", "created"),
        "may_change": row["may_update"] and not row["stale"] and "volume" in row["capabilities"],
        "pending": [
            (_PENDING_WORDS.get(key, key.replace("_", " ")), _said(key, value))
            for key, value in row["pending_changes"].items()
        ],
    }


def _addresses(found: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: (found or {}).get(key, "") for key in ("ip_address", "ipv6_address")}


def _said(key: str, value: Any) -> str:
    if key in ("memory_bytes", "max_memory"):
        return bytes_text(value)
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _initial(what: str, row: Mapping[str, Any], dev: str) -> dict[str, Any]:
    if what == "about":
        config = row["config"]
        return {"description": config.get("description", ""), "autostart": config.get("autostart", False)}
    if what == "medium":
        drives = (row["config"].get("devices") or {}).get("drives", [])
        return {"image": next((item["source"] for item in drives if item["target"] == dev), "")}
    return {}


def _names(actor: Actor, node_id: Any, kind: str) -> list[str]:
    """What a field offers: the node's things of a kind that anyone with a machine there may name."""
    rows = resources_visible(actor, kind).filter(node_id=node_id)
    if kind == "volume":
        rows = rows.filter(data__standalone=True)
    if kind == "image":
        rows = rows.filter(name__iendswith=".iso")
    return sorted(set(rows.values_list("name", flat=True)[:_PICK_MAX]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _kind(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return "at"
    return {"+": "add", "-": "del"}.get(line[:1], "")
