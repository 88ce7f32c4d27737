"""The pages of nodes: list, detail, and the form that adds and changes one."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.backends.registry import backend_class, backend_names, backend_node_panel, backend_problem
from compute.errors import BackendError, BackendTimeout, BackendUnavailable, ComputeError, InvalidInput
from compute.node_forms import WAYS, node_body, node_values, ways_of
from compute.selectors.access import action_require
from compute.selectors.adoption import unmanaged_count
from compute.selectors.nodes import address_kind, node_credentials, node_get, nodes_list
from compute.services import nodes
from compute.states import NodeStatus
from compute.views.common import actor_of, page, toast
from compute.views.limits import node_bars
from compute.wording import later

_node_page = partial(page, home="nodes")
_AWAY = (BackendUnavailable, BackendError, BackendTimeout)
_CA_HINT = later("ca.pem. Left empty: the authorities that this machine trusts.")
_TITLES = {"docker": later("Containers"), "kvm": later("Virtual machines")}


@require_GET
@page
def node_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    rows = [_coloured(row) for row in nodes_list(actor)]
    template = "compute/_node_table.html" if request.headers.get("HX-Request") else "compute/node_list.html"
    return render(request, template, {"rows": rows, "is_admin": actor.is_admin})


@require_GET
@_node_page
def node_detail(request: HttpRequest, node_id: str) -> HttpResponse:
    actor = actor_of(request)
    node = node_get(actor, node_id)
    row = next(row for row in nodes_list(actor) if row["id"] == str(node.pk))
    context = {
        "row": _coloured(row),
        "kind": WAYS.get(address_kind(node.url, node.options)),
        "credentials": node_credentials(node) if actor.is_admin else None,
        "is_admin": actor.is_admin,
        "usage_url": f"/api/v1/nodes/{node.pk}/usage/history",
        "bars": node_bars(actor, node_id),
        "unmanaged": unmanaged_count(actor, node) if actor.is_admin else 0,
        "panel": backend_node_panel(node.backend) if row["status"] in ("online", "draining") else "",
    }
    is_head = bool(request.headers.get("HX-Request")) and request.GET.get("part") == "head"
    return render(request, "compute/_node_head.html" if is_head else "compute/node_detail.html", context)


@require_http_methods(["GET", "POST"])
@_node_page
def node_new(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "node.create")
    given = request.POST if request.method == "POST" else request.GET
    backend = given.get("backend") or _first_backend()
    kinds = backend_class(backend).address_kinds
    kind = given.get("kind") if given.get("kind") in kinds else kinds[0]
    if request.method == "POST":
        return _answer(request, actor, str(kind), backend)
    context = {
        "backend": backend,
        "backends": [
            {"name": name, "title": _TITLES.get(name, name), "problem": backend_problem(name)}
            for name in backend_names()
        ],
        "kind": kind,
        "ways": ways_of(kinds),
        "values": {"socket": "/var/run/docker.sock" if kind == "socket" else "", "user": ""},
        "ca_hint": "" if backend == "kvm" else _CA_HINT,
        "action": reverse("node_new"),
    }
    return render(request, "compute/node_form.html", context)


@require_http_methods(["GET", "POST"])
@_node_page
def node_edit(request: HttpRequest, node_id: str) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "node.update")
    node = node_get(actor, node_id)
    kinds = backend_class(node.backend).address_kinds
    own = address_kind(node.url, node.options).replace("tcp", "tls")
    given = request.POST if request.method == "POST" else request.GET
    usual = "uri" if "uri" in kinds else kinds[0]
    kind = given.get("kind") if given.get("kind") in kinds else own if own in kinds else usual
    if request.method == "POST":
        return _answer(request, actor, str(kind), node.backend, instead_of=str(node.pk))
    context = {
        "node": node,
        "backend": node.backend,
        "kind": kind,
        "ways": ways_of(kinds),
        "values": node_values(node) if kind in (own, usual) else {"name": node.name},
        "stored": node_credentials(node) if kind == own else None,
        "insecure": bool(node.options.get("insecure")),
        "ca_hint": "" if node.backend == "kvm" else _CA_HINT,
        "action": reverse("node_edit", args=[node.pk]),
    }
    return render(request, "compute/node_form.html", context)


@require_http_methods(["GET", "POST"])
@_node_page
def node_remove(request: HttpRequest, node_id: str) -> HttpResponse:
    """Ask, then forget it."""
    actor = actor_of(request)
    action_require(actor, "node.delete")
    node = node_get(actor, node_id)
    if request.method == "GET":
        context = {"node": node, "instances": node.instances.count(), "things": node.resources.count()}
        return render(request, "compute/_node_remove.html", context)
    nodes.node_delete(actor, node.pk)
    return _go(reverse("nodes"))


@require_POST
@_node_page
def node_action(request: HttpRequest, node_id: str, action: str) -> HttpResponse:
    actor = actor_of(request)
    if action == "test":
        answer = nodes.node_test(actor, node_id)
        return toast(answer["message"], "success" if answer["ok"] else "danger")
    if action in ("drain", "resume"):
        nodes.node_drain(actor, node_id, draining=action == "drain")
    elif action in ("enable", "disable"):
        nodes.node_update(actor, node_id, {"is_enabled": action == "enable"})
    else:
        raise InvalidInput.field("action", "is not known.")
    return toast(_("Done."))


def _answer(
    request: HttpRequest, actor: Actor, kind: str, backend: str, instead_of: str | None = None
) -> HttpResponse:
    """What a press on Test or Save leads to: what was found, what is wrong, or the node's page."""
    body = node_body(request, kind, backend_class(backend))
    if instead_of is None:
        body["backend"] = backend
    do = request.POST.get("do", "test")
    try:
        if do == "test":
            name = body.pop("name")
            draft = {**body, "name": name} if instead_of is None else body
            found = nodes.node_try(actor, draft, instead_of=instead_of)
            return _shown(request, {"found": found, "host_key": request.POST.get("host_key", "")})
        force = do == "force"
        if instead_of is None:
            node = nodes.node_create(actor, _named(body), force=force)
        else:
            node = nodes.node_update(actor, instead_of, _unlocal(actor, instead_of, body), force=force)
        return _go(reverse("node", args=[node.pk]))
    except ComputeError as error:
        fields = dict(error.details.get("fields", {}))
        context = {
            "problem": "" if fields else error.message,
            "fields": fields,
            "may_force": isinstance(error, _AWAY),
            "unknown_key": error.details.get("host_key"),
            "host_key": request.POST.get("host_key", ""),
        }
        return _shown(request, context)


def _named(body: dict[str, Any]) -> dict[str, Any]:
    """The same pattern as over REST, where the serializer knows it."""
    nodes.node_name_check(body["name"])
    return body


def _unlocal(actor: Actor, node_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Of a node that is configured elsewhere only the name can be changed here."""
    nodes.node_name_check(body["name"])
    return {"name": body["name"]} if node_get(actor, node_id).is_local else body


def _shown(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    return render(request, "compute/_node_found.html", context)


def _go(url: str) -> HttpResponse:
    response = HttpResponse(status=204)
    response["HX-Redirect"] = url
    return response


def _coloured(row: dict[str, Any]) -> dict[str, Any]:
    row["colour"] = NodeStatus(row["status"]).colour
    row["title"] = _TITLES.get(row["backend"], row["backend"])
    return row


def _first_backend() -> str:
    usable = [name for name in backend_names() if not backend_problem(name)]
    return "docker" if "docker" in usable or not usable else usable[0]
