"""The list of libvirt's networks, the page of one, and their dialogs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.errors import ComputeError, NotFound
from compute.models import Operation
from compute.selectors.access import action_require
from compute.selectors.nodes import backend_node_names
from compute.states import InstanceState
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, page_of, toast
from compute.views.things import bulk_actions, listing, rows_for_page, wanted_of
from compute.wording import later
from kvm.network_forms import KvmNetworkEditForm, KvmNetworkForm
from kvm.selectors.networks import network_dict, network_leases, network_row, networks_page
from kvm.selectors.nodes import BACKEND
from kvm.services import networks
from kvm.services.network_checks import MODES

_page = page_of("kvm_networks")
_RUNS = (InstanceState.RUNNING.value, InstanceState.PAUSED.value)
_DONE = {"start": later("starting it …"), "stop": later("stopping it …"), "delete": later("removing it …")}


@require_GET
@_page
def network_list(request: HttpRequest) -> HttpResponse:
    actor, wanted = actor_of(request), wanted_of(request)
    found = networks_page(actor, wanted)
    context = listing(request, actor, wanted, BACKEND)
    # They are the host's: no project to choose, and administrators make them.
    context |= {"projects": [], "may_create": actor.is_admin}
    context |= {"found": found, "rows": _shown(actor, found.items)}
    context["bulk_actions"] = bulk_actions(
        "network", "networks", _("Nobody is on them; their settings are lost.")
    )
    template = "_network_table" if context["is_fragment"] else "network_list"
    return render(request, f"kvm/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def network_new(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    action_require(actor, "host_network.create")
    form = KvmNetworkForm([], backend_node_names(BACKEND), request.POST or None)
    if is_look(request):
        return form_look(form, lambda: ApiCall("/networks", form.body(), {"node": form.cleaned_data["node"]}))
    if request.method == "POST" and form.is_valid():
        try:
            operation = networks.network_create(actor, form.body(), node=form.cleaned_data["node"])
            return toast(_("%(target)s: making it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_network_new.html", {"form": form, "message": message})


@require_GET
@_page
def network_page(request: HttpRequest, network_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = _shown(actor, [network_dict(actor, network_row(actor, network_id))])[0]
    template = "_network" if request.GET.get("part") == "body" else "network_detail"
    return render(request, f"kvm/{template}.html", {"row": row})


@require_GET
@_page
def network_lease_list(request: HttpRequest, network_id: str) -> HttpResponse:
    """Asked of libvirt, so apart from the page, which never waits for it."""
    actor = actor_of(request)
    row, context = network_row(actor, network_id), dict[str, Any](leases=[], message="")
    try:
        context["leases"] = network_leases(actor, row)
    except NotFound:
        raise
    except ComputeError as error:
        context["message"] = error.message
    return render(request, "kvm/_network_leases.html", context)


@require_http_methods(["GET", "POST"])
@_page
def network_edit(request: HttpRequest, network_id: str) -> HttpResponse:
    actor, message = actor_of(request), ""
    row = network_dict(actor, network_row(actor, network_id))
    form = KvmNetworkEditForm(row, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            networks.network_update(actor, row["id"], form.body())
            return toast(_("%(name)s: changing it …") % {"name": row["name"]}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_network_edit.html", {"form": form, "message": message, "row": row})


@require_http_methods(["GET", "POST"])
@_page
def network_host_new(request: HttpRequest, network_id: str) -> HttpResponse:
    """The dialog that gives one machine a fixed address."""
    actor, message = actor_of(request), ""
    row = network_dict(actor, network_row(actor, network_id))
    given = request.POST
    if request.method == "POST":
        host = {key: given.get(key, "").strip() for key in ("mac", "name", "ip")}
        try:
            networks.network_update(actor, row["id"], _with_hosts([*_hosts(row), host]))
            return toast(
                _("%(name)s: %(ip)s is for %(mac)s …")
                % {"name": row["name"], "ip": host["ip"], "mac": host["mac"]},
                "info",
            )
        except ComputeError as error:
            message = error.message
    taken = {host["mac"] for host in _hosts(row)}
    free = [user for user in row["machines"] if user["mac_address"] not in taken]
    context = {"row": row, "message": message, "given": given, "machines": free}
    return render(request, "kvm/_network_host.html", context)


@require_POST
@_page
def network_host_remove(request: HttpRequest, network_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = network_dict(actor, network_row(actor, network_id))
    kept = [host for host in _hosts(row) if host["mac"] != request.POST.get("mac", "")]
    networks.network_update(actor, row["id"], _with_hosts(kept))
    return toast(_("%(name)s: taking the address back …") % {"name": row["name"]}, "info")


@require_http_methods(["GET", "POST"])
@_page
def network_act(request: HttpRequest, network_id: str, action: str) -> HttpResponse:
    """Start at once; stop and delete ask first, and name whom they would cut off."""
    actor = actor_of(request)
    if action not in _DONE:
        raise NotFound(_("There is no such action."))
    row = _shown(actor, [network_dict(actor, network_row(actor, network_id))])[0]
    if request.method == "POST":
        operation = _ask(actor, row["id"], action, force=request.POST.get("force") == "on")
        return toast(f"{operation.target}: {_DONE[action]}", "info")
    return render(request, "kvm/_network_ask.html", {"row": row, "action": action})


def _ask(actor: Actor, network_id: str, action: str, *, force: bool) -> Operation:
    if action == "start":
        return networks.network_start(actor, network_id)
    if action == "stop":
        return networks.network_stop(actor, network_id, force=force)
    return networks.network_delete(actor, network_id, force=force)


def _shown(actor: Actor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what their templates ask for."""
    found = rows_for_page(actor, [{**row, "project": None} for row in rows], users="machines")
    for row in found:
        for user in row["machines"]:
            user["colour"] = InstanceState(user["state"]).colour
        row["running"] = [user["name"] for user in row["machines"] if user["state"] in _RUNS]
        row["may_edit"] = row["may_update"] and row["persistent"] and row["forward"]["mode"] in MODES
        row["pending"] = sorted(row["pending_changes"])
    return found


def _hosts(row: dict[str, Any]) -> list[dict[str, str]]:
    return list(row["ip"]["dhcp"]["hosts"]) if row["ip"] else []


def _with_hosts(hosts: list[dict[str, str]]) -> dict[str, Any]:
    return {"ip": {"dhcp": {"hosts": hosts}}}
