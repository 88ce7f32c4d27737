"""The picture of networks with the machines and containers on them, drawn on the server as SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from compute.selectors.topology import HostSeen, MemberSeen, NetworkSeen, topology
from compute.states import InstanceState
from compute.views.common import actor_of, page
from compute.wording import word_text

# One unit is a CSS pixel on the narrowest screen; two columns with room for the lines between.
_WIDTH, _BOX, _ROW, _HEIGHT, _TOP = 360, 150, 50, 42, 6
_LETTERS, _SMALL_LETTERS = 18, 25
_COLOURS = 8
# More than so many on one node stand in bunches: who is on the same networks, as small plates.
_SINGLE_MAX = 40
_BUNCH_X, _PLATE, _PLATE_GAP, _PLATE_ROW, _PLATE_LETTERS, _BUNCH_HEAD = 250, 104, 6, 20, 15, 24
_PLATE_COLUMNS = 8
# The list for narrow screens names so many of a network; the search finds the others.
_LISTED_MAX = 25
_BUNCH_WIDTH = _PLATE_COLUMNS * (_PLATE + _PLATE_GAP) + _PLATE_GAP


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
    """Where everything stands: networks on the left by name, who is on them on the right, near to their
    networks. ``listed`` is the same to read: each network with who is on it, the first of many."""
    networks = _by_use(host)
    rank = {network.name: number for number, network in enumerate(networks)}
    members = sorted(host.members, key=lambda member: (_middle(member, rank), member.name))
    boxes = [_network_box(host, network, rank[network.name]) for network in networks]
    places = {box["name"]: box for box in boxes}
    drawn = _single(members, places) if len(members) <= _SINGLE_MAX else _bunched(members, places)
    return {
        "node": host.node,
        "box": _BOX,
        "box_height": _HEIGHT,
        "networks": boxes,
        "listed": _listed(boxes, members),
        "alone": host.alone,
        "count": len(members),
        **drawn,
        "height": max(drawn["height"], _TOP * 2 + _ROW * max(len(boxes), 1)),
    }


def _single(members: list[MemberSeen], places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Each by itself, with a line to each of its networks."""
    placed = [_member_box(member, number) for number, member in enumerate(members)]
    lines = [line for member in placed for line in _lines(member, places)]
    return {"width": _WIDTH, "height": _TOP * 2 + _ROW * len(placed), "members": placed, "lines": lines}


def _bunched(members: list[MemberSeen], places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Those on the same networks in one bunch, with a line from the bunch to each network: hundreds of
    lines would hide what they tell."""
    together: dict[tuple[str, ...], list[MemberSeen]] = defaultdict(list)
    for member in members:
        together[tuple(member.addresses)].append(member)
    bunches, lines, y, base = [], [], _TOP, reverse("instances")
    for names, inside in together.items():
        rows = -(-len(inside) // _PLATE_COLUMNS)
        height = _BUNCH_HEAD + rows * _PLATE_ROW + _PLATE_GAP
        bunch = {
            "title": " + ".join(names),
            "label": _short(" + ".join(names), 48),
            "count": len(inside),
            "x": _BUNCH_X,
            "y": y,
            "width": _BUNCH_WIDTH,
            "height": height,
            "plates": [_plate(member, number, y, base) for number, member in enumerate(inside)],
        }
        bunches.append(bunch)
        lines += [
            _line(places[name], _BUNCH_X, y + _BUNCH_HEAD / 2, is_on=places[name]["active"]) for name in names
        ]
        y += height + _PLATE_GAP * 2
    return {"width": _BUNCH_X + _BUNCH_WIDTH + 1, "height": y, "bunches": bunches, "lines": lines}


# There may be thousands: no template, and what all share stands in the style sheet.
_PLATE_MARK = (
    '<a class="plate {}" href="{}" data-key="{}" data-instance="{}" transform="translate({} {})">'
    '<title>{}</title><rect/><circle class="text-{}" r="3"/><text>{}</text></a>'
)


def _plate(member: MemberSeen, number: int, top: float, base: str) -> SafeString:
    """``base`` is the address of all instances."""
    row, column = divmod(number, _PLATE_COLUMNS)
    shown = _shown(member)
    return format_html(
        _PLATE_MARK,
        member.type,
        f"{base}/{member.id}",
        member.id,
        member.name,
        _BUNCH_X + _PLATE_GAP + column * (_PLATE + _PLATE_GAP),
        f"{top + _BUNCH_HEAD + row * _PLATE_ROW:g}",
        shown["said"],
        shown["colour"],
        _short(member.name, _PLATE_LETTERS),
    )


def _listed(boxes: list[dict[str, Any]], members: list[MemberSeen]) -> list[dict[str, Any]]:
    on: dict[str, list[tuple[MemberSeen, str]]] = defaultdict(list)
    for member in members:
        for name, address in member.addresses.items():
            on[name].append((member, address))
    return [
        {
            **box,
            "on": [{**_shown(member), "address": at} for member, at in on[box["name"]][:_LISTED_MAX]],
            "more": max(0, len(on[box["name"]]) - _LISTED_MAX),
        }
        for box in boxes
    ]


def _by_use(host: HostSeen) -> list[NetworkSeen]:
    """Used ones first: lines are shorter, and a long tail of empty networks does not part them."""
    used = {name for member in host.members for name in member.addresses}
    return sorted(host.networks, key=lambda network: (network.name not in used, network.name))


def _middle(member: MemberSeen, rank: Mapping[str, int]) -> float:
    places = [rank[name] for name in member.addresses]
    return sum(places) / len(places)


def _network_box(host: HostSeen, network: NetworkSeen, number: int) -> dict[str, Any]:
    detail = " · ".join(word for word in (network.driver, *network.subnets) if word)
    if not network.known:
        detail = _("outside the engine’s networks")
    elif not network.active:
        detail = _("stopped · %(detail)s") % {"detail": detail}
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
        "count": sum(network.name in member.addresses for member in host.members),
    }


def _member_box(member: MemberSeen, number: int) -> dict[str, Any]:
    known = [address for address in member.addresses.values() if address]
    detail = (
        known[0]
        if len(known) == 1
        else ngettext("%(n)d address", "%(n)d addresses", len(known)) % {"n": len(known)}
        if known
        else word_text(member.state)
    )
    return {
        **_shown(member),
        "label": _short(member.name, _LETTERS - 2),
        "small": _short(detail, _SMALL_LETTERS),
        "x": _WIDTH - _BOX,
        "y": _TOP + number * _ROW,
    }


def _shown(member: MemberSeen) -> dict[str, Any]:
    return {
        "id": member.id,
        "name": member.name,
        "type": member.type,
        "state": member.state,
        "colour": InstanceState(member.state).colour,
        "joined": member.addresses,
        "said": _said(member),
    }


def _said(member: MemberSeen) -> str:
    """All that is known of it, in a line: shown beside the pointer, and searched."""
    places = ", ".join(f"{name} {address}".rstrip() for name, address in member.addresses.items())
    return f"{member.name}, {_kind(member.type, member.state, get_language())}: {places}"


@lru_cache
def _kind(type: str, state: str, language: str | None) -> str:
    """``language`` is the active one: the same few words a thousand times."""
    return f"{word_text(type)}, {word_text(state)}"


def _lines(member: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A curve from each of its networks to it."""
    runs = member["state"] == InstanceState.RUNNING.value
    return [
        _line(
            places[name], member["x"], member["y"] + _HEIGHT / 2, is_on=runs and bool(places[name]["active"])
        )
        for name in member["joined"]
    ]


def _line(box: Mapping[str, Any], right: float, end: float, *, is_on: bool) -> dict[str, Any]:
    start, bend = box["y"] + _HEIGHT / 2, (_BOX + right) / 2
    path = f"M{_BOX} {start:g} C{bend:g} {start:g} {bend:g} {end:g} {right} {end:g}"
    return {"path": path, "colour": box["colour"], "runs": is_on}


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
