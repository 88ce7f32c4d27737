"""The dialogs that set limits: in cores and GiB, where the API has bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.forms import Pairs
from compute.wording import later as _

_MIB, _GIB = 1024**2, 1024**3
_UNIT = {"max_memory_gib": _GIB, "max_storage_gib": _GIB, "assumed_memory_mib": _MIB}


def _api_name(name: str) -> str:
    return name.replace("_gib", "_bytes").replace("_mib", "_bytes")


class MaximumsForm(forms.Form):
    """An empty field is no limit."""

    NARROW: ClassVar[set[str]] = {
        *("max_instances", "max_cpu_cores", "max_memory_gib", "max_storage_gib", "assumed_cpu_cores"),
        *("assumed_memory_mib", "cpu_overcommit", "memory_overcommit"),
    }

    max_instances = forms.IntegerField(required=False, min_value=0, max_value=10**6, label=_("Instances"))
    max_cpu_cores = forms.FloatField(required=False, min_value=0, max_value=10**6, label=_("CPU cores"))
    max_memory_gib = forms.FloatField(required=False, min_value=0, max_value=2**30, label=_("Memory (GiB)"))
    max_storage_gib = forms.FloatField(required=False, min_value=0, max_value=2**30, label=_("Storage (GiB)"))

    def __init__(self, known: Mapping[str, Any], data: Any = None) -> None:
        """``known``: what is set now, as the API tells it."""
        self._known = known
        initial: dict[str, Any] = {name: known.get(_api_name(name)) for name in self.base_fields}
        for name, unit in _UNIT.items():
            if initial.get(name) is not None:
                initial[name] = round(initial[name] / unit, 3)
        super().__init__(data, initial=initial)
        for field in self.fields.values():
            is_text = isinstance(field.widget, forms.Textarea)
            field.widget.attrs["class"] = "form-control font-monospace" if is_text else "form-control"

    def body(self) -> dict[str, Any]:
        """The body of the API's request. What was not touched stays to the byte, whatever its field shows."""
        given, touched = dict(self.cleaned_data), set(self.changed_data)
        return {_api_name(name): self._value(name, value, name in touched) for name, value in given.items()}

    def _value(self, name: str, value: Any, is_touched: bool) -> Any:
        if name not in _UNIT or value is None:
            return value
        return int(value * _UNIT[name]) if is_touched else self._known.get(_api_name(name))


class SiteLimitsForm(MaximumsForm):
    """An empty field: as the configuration says."""

    assumed_cpu_cores = forms.FloatField(
        required=False, min_value=0, max_value=1024, label=_("Cores of an instance that states none")
    )
    assumed_memory_mib = forms.FloatField(
        required=False, min_value=0, max_value=2**30, label=_("Its memory (MiB)")
    )
    cpu_overcommit = forms.FloatField(
        required=False, min_value=0, max_value=1000, label=_("CPU over-commit"), help_text=_("0: no limit.")
    )
    memory_overcommit = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1000,
        label=_("Memory over-commit"),
        help_text=_("0: no limit."),
    )


class PlacementForm(MaximumsForm):
    """Of a node: an empty ratio is the site's."""

    max_instances = max_cpu_cores = max_memory_gib = max_storage_gib = None  # type: ignore[assignment]

    labels = Pairs(3, help_text=_("zone=a, one a line. New instances can ask for them."))
    cpu_overcommit = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1000,
        label=_("CPU over-commit"),
        help_text=_("4: given away four times. Empty: as the site says; 0: no limit."),
    )
    memory_overcommit = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1000,
        label=_("Memory over-commit"),
        help_text=_("1.5: half as much again. Empty: as the site says; 0: no limit."),
    )
