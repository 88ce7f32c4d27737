"""The forms of libvirt's networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.thing_forms import ThingForm
from compute.wording import later as _

_MODES = (
    ("nat", _("NAT: guests reach out behind the host’s address")),
    ("route", _("Routed: guests are reached at their own addresses")),
    ("isolated", _("Isolated: guests reach each other and the host only")),
    ("open", _("Open: as routed, without firewall rules of libvirt")),
    ("bridge", _("Bridge: guests join a bridge that the host has")),
)


class KvmNetworkForm(ThingForm):
    """What a new network needs; ``EditForm`` is the same for one that is there."""

    FIELD_OF: ClassVar[dict[str, str]] = {
        "forward.mode": "mode",
        "forward.dev": "dev",
        "ip": "address",
        "ip.address": "address",
        "ip.netmask": "address",
        "ip.dhcp.enabled": "dhcp",
        "ip.dhcp.start": "start",
        "ip.dhcp.end": "end",
    }
    NARROW: ClassVar[set[str]] = {"node", "start", "end", "bridge_name", "dev"}
    FURTHER: ClassVar[tuple[str, ...]] = ("start", "end", "bridge_name", "dev")
    field_order: tuple[str, ...] = ("name", "mode", "address", "dhcp", "autostart")

    project = None  # type: ignore[assignment]
    name = forms.CharField(max_length=63)
    mode = forms.ChoiceField(choices=_MODES, label=_("Kind"))
    address = forms.CharField(
        max_length=40,
        required=False,
        label=_("Address of the host on it"),
        help_text=_("Such as 10.20.30.1/24; the rest of the subnet is the guests’. Empty: a free one."),
    )
    dhcp = forms.BooleanField(required=False, initial=True, label=_("Give addresses by DHCP"))
    autostart = forms.BooleanField(required=False, initial=True, label=_("Start it with the host"))
    start = forms.CharField(
        max_length=15, required=False, label=_("DHCP from"), help_text=_("Empty: all of it.")
    )
    end = forms.CharField(max_length=15, required=False, label=_("DHCP to"))
    bridge_name = forms.CharField(
        max_length=15,
        required=False,
        label=_("Bridge"),
        help_text=_(
            "For the kind Bridge: the one to join. Else the name of its own; empty: libvirt’s choice."
        ),
    )
    dev = forms.CharField(
        max_length=15,
        required=False,
        label=_("Leave by"),
        help_text=_("An interface of the host; empty: any."),
    )

    def body(self) -> dict[str, Any]:
        """The body of ``POST /networks``."""
        given: Mapping[str, Any] = self.cleaned_data
        body: dict[str, Any] = {
            "forward": {"mode": given["mode"], "dev": given["dev"].strip()},
            "bridge_name": given["bridge_name"].strip(),
            "autostart": given["autostart"],
            "ip": _ip(given),
        }
        return {**body, "name": given["name"]} if "name" in given else body


class KvmNetworkEditForm(KvmNetworkForm):
    """The body of ``PUT /networks/:name``, as it is now at first."""

    name = None  # type: ignore[assignment]
    node = None  # type: ignore[assignment]
    field_order = ("mode", "address", "dhcp", "autostart")

    def __init__(self, row: Mapping[str, Any], data: Any = None) -> None:
        super().__init__([], [], data)
        ip = row["ip"] or {}
        dhcp = ip.get("dhcp") or {}
        known = {
            "mode": row["forward"]["mode"],
            "address": f"{ip['address']}/{ip['netmask']}" if ip else "",
            "dhcp": bool(dhcp.get("enabled")),
            "start": dhcp.get("start", ""),
            "end": dhcp.get("end", ""),
            "bridge_name": row["bridge_name"],
            "dev": row["forward"]["dev"],
            "autostart": row["autostart"],
        }
        for name, value in known.items():
            self.fields[name].initial = value
        self.fields["address"].help_text = _("Such as 10.20.30.1/24. Empty: none, for an isolated network.")


def _ip(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """None without an address. A DHCP that is switched off takes its hosts along."""
    text = given["address"].replace(" ", "")
    if not text:
        return None
    address, _slash, netmask = text.partition("/")
    dhcp: dict[str, Any] = {"enabled": given["dhcp"]}
    if given["dhcp"]:
        dhcp |= {key: given[key].strip() for key in ("start", "end")}
    else:
        dhcp["hosts"] = []
    return {"address": address, "netmask": netmask or "24", "dhcp": dhcp}
