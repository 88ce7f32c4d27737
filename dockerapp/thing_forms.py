"""The forms of networks and volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.forms import Pairs
from compute.thing_forms import ThingForm
from compute.wording import later as _


class NetworkForm(ThingForm):
    field_order = ("name", "subnet", "internal")
    FIELD_OF: ClassVar[dict[str, str]] = {
        "ipam": "subnet",
        "ipam.0.subnet": "subnet",
        "ipam.0.gateway": "gateway",
        "ipam.0.ip_range": "ip_range",
        "ipam.1.subnet": "subnet6",
        "ipam.1.gateway": "subnet6",
    }
    NARROW: ClassVar[set[str]] = {"project", "node", "gateway", "ip_range", "driver", "subnet6"}
    FURTHER: ClassVar[tuple[str, ...]] = ("gateway", "ip_range", "driver", "subnet6", "options", "labels")

    name = forms.CharField(max_length=128)
    subnet = forms.CharField(
        max_length=64,
        required=False,
        help_text=_("Such as 10.89.0.0/24. Empty: the engine takes a free one."),
    )
    internal = forms.BooleanField(required=False, label=_("Internal: no way out of it, and none in"))
    gateway = forms.CharField(max_length=64, required=False, help_text=_("Empty: the first address."))
    ip_range = forms.CharField(
        max_length=64, required=False, label=_("Range"), help_text=_("Where addresses are given from.")
    )
    driver = forms.CharField(max_length=128, required=False, initial="bridge")
    subnet6 = forms.CharField(
        max_length=64, required=False, label=_("IPv6 subnet"), help_text=_("fd00:89::/64")
    )
    options = Pairs(help_text=_("NAME=value, one a line."))
    labels = Pairs(help_text=_("NAME=value, one a line."))

    def body(self) -> dict[str, Any]:
        """The body of ``POST /docker/networks``."""
        given: Mapping[str, Any] = self.cleaned_data
        first = {key: given[key] for key in ("subnet", "gateway", "ip_range")}
        pools = [first] if any(first.values()) else []
        if given["subnet6"]:
            pools.append({"subnet": given["subnet6"]})
        return {
            "name": given["name"],
            "driver": given["driver"],
            "internal": given["internal"],
            "ipv6": bool(given["subnet6"]) or ":" in given["subnet"],
            "ipam": pools,
            "options": given["options"],
            "labels": given["labels"],
        }


class VolumeForm(ThingForm):
    field_order = ("name",)
    FURTHER: ClassVar[tuple[str, ...]] = ("driver", "options", "labels")

    name = forms.CharField(max_length=128, required=False, help_text=_("Empty: a long random one."))
    driver = forms.CharField(max_length=128, required=False, initial="local")
    options = Pairs(help_text=_("NAME=value, one a line, such as type=nfs. For administrators."))
    labels = Pairs(help_text=_("NAME=value, one a line."))

    def body(self) -> dict[str, Any]:
        """The body of ``POST /docker/volumes``."""
        return {key: self.cleaned_data[key] for key in ("name", "driver", "options", "labels")}
