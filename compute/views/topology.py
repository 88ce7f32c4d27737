"""The picture of networks with the machines and containers on them, drawn on the server as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_GET

from compute.selectors.topology import HostSeen, MemberSeen, NetworkSeen, topology
from compute.states import InstanceState
from compute.views.common import actor_of, page

# One unit is a CSS pixel on the narrowest screen; two columns with room for the lines between.
_WIDTH, _BOX, _ROW, _HEIGHT, _TOP = 360, 150, 50, 42, 6
_LETTERS, _SMALL_LETTERS = 18, 25
_MEMBERS_MAX = 80
_COLOURS = 8


@require_GET
@page
def network_map(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("node", "")[:100]
    hosts = topology(actor_of(request))
    names = [host.node.name for host in hosts]
    drawn = [drawing(host) for host in hosts if wanted in ("", host.node.name)]
    context = {"hosts": drawn, "nodes": names, "wanted": wanted}
    part = request.GET.get("part") == "body"
    return render(request, f"compute/{'_network_map' if part else 'network_map'}.html", context)


def drawing(host: HostSeen) -> dict[str, Any]:
    """Where everything stands: networks on the left by name, who is on them on the right, near to
    their networks; what does not fit any more is counted."""
    rank = {network.name: number for number, network in enumerate(_by_use(host))}
    members = sorted(host.members, key=lambda member: (_middle(member, rank), member.name))
    shown, rest = members[:_MEMBERS_MAX], len(members) - _MEMBERS_MAX
    boxes = [_network_box(host, network, rank[network.name], shown) for network in _by_use(host)]
    places = {box["name"]: box for box in boxes}
    placed = [_member_box(member, number) for number, member in enumerate(shown)]
    return {
        "node": host.node,
        "width": _WIDTH,
        "height": _TOP * 2 + _ROW * max(len(boxes), len(placed), 1),
        "box": _BOX,
        "box_height": _HEIGHT,
        "networks": boxes,
        "members": placed,
        "lines": [line for member in placed for line in _lines(member, places)],
        "alone": host.alone,
        "rest": max(0, rest),
    }


def _by_use(host: HostSeen) -> list[NetworkSeen]:
    """Used ones first: lines are shorter, and a long tail of empty networks does not part them."""
    used = {name for member in host.members for name in member.addresses}
    return sorted(host.networks, key=lambda network: (network.name not in used, network.name))


def _middle(member: MemberSeen, rank: Mapping[str, int]) -> float:
    places = [rank[name] for name in member.addresses]
    return sum(places) / len(places)


def _network_box(
    host: HostSeen, network: NetworkSeen, number: int, shown: list[MemberSeen]
) -> dict[str, Any]:
    detail = " · ".join(word for word in (network.driver, *network.subnets) if word)
    if not network.known:
        detail = "outside the engine’s networks"
    elif not network.active:
        detail = f"stopped · {detail}"
    return {
        "name": network.name,
        "label": _short(network.name, _LETTERS),
        "detail": detail,
        "small": _short(detail, _SMALL_LETTERS),
        "url": _url(host.node.backend, network.id),
        "active": network.active,
        "known": network.known,
        "colour": number % _COLOURS,
        "y": _TOP + number * _ROW,
        "members": [member.name for member in shown if network.name in member.addresses],
    }


def _member_box(member: MemberSeen, number: int) -> dict[str, Any]:
    known = [address for address in member.addresses.values() if address]
    detail = known[0] if len(known) == 1 else f"{len(known)} addresses" if known else member.state
    return {
        "id": member.id,
        "name": member.name,
        "label": _short(member.name, _LETTERS - 2),
        "small": _short(detail, _SMALL_LETTERS),
        "type": member.type,
        "state": member.state,
        "colour": InstanceState(member.state).colour,
        "joined": member.addresses,
        "x": _WIDTH - _BOX,
        "y": _TOP + number * _ROW,
    }


def _lines(member: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A curve from each of its networks to it."""
    found = []
    for name in member["joined"]:
        box = places[name]
        start, end = box["y"] + _HEIGHT / 2, member["y"] + _HEIGHT / 2
        left, right = _BOX, member["x"]
        bend = (left + right) / 2
        runs = member["state"] == InstanceState.RUNNING.value and box["active"]
        path = f"M{left} {start:g} C{bend:g} {start:g} {bend:g} {end:g} {right} {end:g}"
        found.append({"path": path, "colour": box["colour"], "runs": runs})
    return found


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _url(backend: str, network_id: str) -> str:
    """The page of a network is its backend's own; empty where it has none."""
    if not network_id:
        return ""
    try:
        return reverse(f"{backend}_network", args=[network_id])
    except NoReverseMatch:
        return ""
