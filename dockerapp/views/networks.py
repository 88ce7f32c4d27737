"""The list of networks, the page of one, and their dialogs."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.errors import ComputeError
from compute.models import Resource
from compute.selectors.access import visible
from compute.selectors.instances import instance_get
from compute.selectors.nodes import backend_node_names
from compute.selectors.used import UsedFilter
from compute.services.attachments import network_attach, network_detach
from compute.states import InstanceState
from compute.views.common import actor_of, page, page_of, toast
from compute.views.instances import instance_context
from compute.views.things import (
    bulk_actions,
    listing,
    projects_with,
    rows_for_page,
    thing_new,
    wanted_of,
)
from dockerapp.selectors.networks import network_detail, network_row, networks_page
from dockerapp.selectors.nodes import BACKEND
from dockerapp.services import networks
from dockerapp.services.ownership import OPEN_NETWORKS
from dockerapp.thing_forms import NetworkForm

_page = page_of("docker_networks")
_PICK_MAX = 500
# Nothing is put on these while it lives.
_NOT_JOINED = ("host", "none")


@require_GET
@_page
def network_list(request: HttpRequest) -> HttpResponse:
    actor, wanted = actor_of(request), wanted_of(request)
    found = networks_page(actor, wanted)
    context = listing(request, actor, wanted, BACKEND)
    context |= {"found": found, "rows": rows_for_page(actor, found.items)}
    context["bulk_actions"] = bulk_actions(
        "network", "docker/networks", _("Their settings are lost; nobody is on them.")
    )
    template = "_network_table" if context["is_fragment"] else "network_list"
    return render(request, f"dockerapp/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def network_new(request: HttpRequest) -> HttpResponse:
    template = "dockerapp/_network_new.html"
    return thing_new(request, NetworkForm, networks.network_create, template, BACKEND, "/docker/networks")


@require_GET
@_page
def network_page(request: HttpRequest, network_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = network_row(actor, network_id)
    shown = rows_for_page(actor, [network_detail(actor, row)])[0]
    shown["may_join"] = _may_join(actor, shown)
    for user in shown["containers"]:
        user["colour"] = InstanceState(user["state"]).colour
    template = "_network" if request.GET.get("part") == "body" else "network_detail"
    return render(request, f"dockerapp/{template}.html", {"row": shown})


@require_http_methods(["GET", "POST"])
@_page
def network_remove(request: HttpRequest, network_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = network_row(actor, network_id)
    if request.method == "POST":
        networks.network_delete(actor, str(row.pk))
        return toast(_("%(name)s: removing it …") % {"name": row.name}, "info")
    return render(request, "dockerapp/_network_remove.html", {"row": network_detail(actor, row)})


@require_http_methods(["GET", "POST"])
@_page
def network_join(request: HttpRequest, network_id: str) -> HttpResponse:
    """The dialog that puts a container on a network."""
    actor, message = actor_of(request), ""
    row = network_row(actor, network_id)
    given = request.POST
    if request.method == "POST":
        body = {key: given.get(key, "").strip() for key in ("container", "ip_address", "ipv6_address")}
        aliases = given.get("aliases", "").replace(",", " ").split()
        try:
            operation = networks.network_connect(actor, str(row.pk), {**body, "aliases": aliases})
            return toast(
                _("%(instance_name)s: connecting it to %(name)s …")
                % {"instance_name": operation.instance_name, "name": row.name},
                "info",
            )
        except ComputeError as error:
            message = error.message
    context = {"row": row, "message": message, "given": given, "containers": _not_on(actor, row)}
    return render(request, "dockerapp/_network_join.html", context)


@require_POST
@_page
def network_leave(request: HttpRequest, network_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = network_row(actor, network_id)
    operation = networks.network_disconnect(
        actor, str(row.pk), {"container": request.POST.get("container", "")}
    )
    return toast(
        _("%(instance_name)s: taking it off %(name)s …")
        % {"instance_name": operation.instance_name, "name": row.name},
        "info",
    )


@require_http_methods(["GET", "POST"])
@_page
def network_prune(request: HttpRequest) -> HttpResponse:
    """What would go, and then the order to remove it."""
    actor = actor_of(request)
    given = request.POST if request.method == "POST" else request.GET
    projects, nodes = projects_with(actor, "network.prune"), backend_node_names(BACKEND)
    node = given.get("node") or (nodes[0] if nodes else "")
    project: str | None = given.get("project") or ("" if actor.is_admin else (projects or [""])[0])
    where: dict[str, Any] = {"node": node, "project": project or None}
    if request.method == "POST":
        operation = networks.networks_prune(actor, **where).operation
        assert operation is not None
        return toast(_("Removing unused networks of %(node)s …") % {"node": node}, "info")
    found = networks.networks_prune(actor, **where, dry_run=True)
    context = {"items": found.items, "projects": projects, "nodes": nodes, **where, "project": project}
    return render(request, "dockerapp/_network_prune.html", context)


@require_GET
@page
def container_networks(request: HttpRequest, instance_id: str) -> HttpResponse:
    """The tab of a container: the networks it is on."""
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "networks")
    names = [item["network"] for item in instance.networks]
    rows = networks_page(actor, UsedFilter(node=instance.node.name, page_size=_PICK_MAX)).items
    ids = {row["name"]: row["id"] for row in rows}
    context["joined"] = [{**item, "id": ids.get(item["network"])} for item in instance.networks]
    context["others"] = [
        row
        for row in rows
        if row["name"] not in (*names, *_NOT_JOINED)
        and (actor.is_admin or row["name"] in OPEN_NETWORKS or _is_of(row, instance.project_id))
    ]
    part = request.GET.get("part") == "tab"
    template = "_container_networks" if part else "container_networks"
    return render(request, f"dockerapp/{template}.html", context)


@require_POST
@page
def container_join(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor, given = actor_of(request), request.POST
    body = {key: given.get(key, "").strip() for key in ("network", "ip_address")}
    body = {**body, "aliases": given.get("aliases", "").replace(",", " ").split()}  # type: ignore[dict-item]
    operation = network_attach(actor, instance_get(actor, instance_id).pk, body)
    return toast(_("%(instance_name)s: connecting it …") % {"instance_name": operation.instance_name}, "info")


@require_POST
@page
def container_leave(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    operation = network_detach(actor, instance_get(actor, instance_id).pk, request.POST.get("network", ""))
    return toast(_("%(instance_name)s: taking it off …") % {"instance_name": operation.instance_name}, "info")


def _not_on(actor: Actor, row: Resource) -> list[dict[str, Any]]:
    """The containers that could join, by name: of the network's project, or for administrators all."""
    rows = visible(actor, row.node.instances.exclude(engine_id=""))
    if not actor.is_admin:
        rows = rows.filter(project__name__in=projects_with(actor, "instance.network"))
        rows = rows.filter(project=row.project_id) if row.project_id else rows
    found = rows.order_by("name").values("id", "name", "state", "networks")[:_PICK_MAX]
    return [item for item in found if row.name not in [net.get("network") for net in item["networks"]]]


def _may_join(actor: Actor, row: dict[str, Any]) -> bool:
    """Whether the actor may put some container on this network, and take it off again."""
    if row["name"] in _NOT_JOINED:
        return False
    is_open = row["name"] in OPEN_NETWORKS and bool(projects_with(actor, "instance.network"))
    return bool(row["may_update"]) or is_open


def _is_of(row: dict[str, Any], project_id: uuid.UUID) -> bool:
    return row["project"] is not None and row["project"]["id"] == str(project_id)
