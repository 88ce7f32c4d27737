"""The forms of networks and volumes: few fields, in the words of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from compute.errors import ComputeError
from compute.forms import Pairs


class ThingForm(forms.Form):
    """Where it goes, then what it is. ``FIELD_OF``: which field a complaint about the API's belongs to."""

    FIELD_OF: ClassVar[dict[str, str]] = {}
    NARROW: ClassVar[set[str]] = {"project", "node"}
    field_order = ("name", "subnet", "internal")
    # Folded away until they are filled in or wrong.
    FURTHER: ClassVar[tuple[str, ...]] = ()

    project = forms.ChoiceField()
    node = forms.ChoiceField()

    def __init__(self, projects: Iterable[str], nodes: Iterable[str], data: Any = None) -> None:
        super().__init__(data)
        for name, words in (("project", list(projects)), ("node", list(nodes))):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [(word, word) for word in words]
            if len(words) == 1:
                field.initial, field.widget, field.required = words[0], forms.HiddenInput(), True
        for field in self.fields.values():
            widget, kind = field.widget, "form-control"
            if isinstance(widget, forms.CheckboxInput):
                kind = "form-check-input"
            elif isinstance(widget, forms.Select):
                kind = "form-select"
            elif isinstance(widget, forms.Textarea):
                kind = "form-control font-monospace"
                widget.attrs["rows"] = 2
            widget.attrs.setdefault("class", kind)

    @property
    def first(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in self.FURTHER]

    @property
    def further(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FURTHER]

    @property
    def opened(self) -> bool:
        return any(self[name].errors or self.data.get(name) for name in self.FURTHER)

    def complain(self, error: ComputeError) -> str:
        """Put an error beside its field; what belongs to none is returned for the top."""
        rest = []
        for name, text in error.details.get("fields", {}).items():
            field = self.FIELD_OF.get(name, name.partition(".")[0])
            if field in self.fields:
                self.add_error(field, text)
            else:
                rest.append(f"{name}: {text}")
        if error.code == "NAME_CONFLICT":
            self.add_error("name", error.message)
        elif not error.details.get("fields"):
            rest.append(error.message)
        return " ".join(rest)


class NetworkForm(ThingForm):
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
        max_length=64, required=False, help_text="Such as 10.89.0.0/24. Empty: the engine takes a free one."
    )
    internal = forms.BooleanField(required=False, label="Internal: no way out of it, and none in")
    gateway = forms.CharField(max_length=64, required=False, help_text="Empty: the first address.")
    ip_range = forms.CharField(
        max_length=64, required=False, label="Range", help_text="Where addresses are given from."
    )
    driver = forms.CharField(max_length=128, required=False, initial="bridge")
    subnet6 = forms.CharField(max_length=64, required=False, label="IPv6 subnet", help_text="fd00:89::/64")
    options = Pairs(help_text="NAME=value, one a line.")
    labels = Pairs(help_text="NAME=value, one a line.")

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
    FURTHER: ClassVar[tuple[str, ...]] = ("driver", "options", "labels")

    name = forms.CharField(max_length=128, required=False, help_text="Empty: a long random one.")
    driver = forms.CharField(max_length=128, required=False, initial="local")
    options = Pairs(help_text="NAME=value, one a line, such as type=nfs. For administrators.")
    labels = Pairs(help_text="NAME=value, one a line.")

    def body(self) -> dict[str, Any]:
        """The body of ``POST /docker/volumes``."""
        return {key: self.cleaned_data[key] for key in ("name", "driver", "options", "labels")}
