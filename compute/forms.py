"""The form that makes an instance: what every backend asks, and how an app adds its own.

A backend's app registers a sub-class (``form=`` of ``backend_register``); one without a form gets
the fields below.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from compute.backends.registry import backend_registration
from compute.complaints import complain
from compute.errors import ComputeError, InvalidInput
from compute.services.instance_body import InstanceCreate
from compute.wording import later as _

MIB, GIB = 1024**2, 1024**3


class Lines(forms.CharField):
    """One item a line, to a list of texts."""

    widget = forms.Textarea

    def __init__(self, rows: int = 3, **more: Any) -> None:
        super().__init__(required=False, widget=forms.Textarea(attrs={"rows": rows}), **more)

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class Pairs(Lines):
    """NAME=value, one a line, to a mapping."""

    def to_python(self, value: Any) -> Any:
        lines = super().to_python(value)
        if not all("=" in line for line in lines):
            raise forms.ValidationError(_("Write NAME=value, one a line."))
        return dict(line.split("=", 1) for line in lines)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{key}={text}" for key, text in value.items())
        return value


class CreateForm(forms.Form):
    """``SECTIONS`` orders the fields: a title, and the names below it; all but the first are folded
    until one of their fields is filled in or wrong. ``FIELD_OF`` tells which field a complaint about
    a field of the API belongs to. ``config`` turns what was typed into the API's ``config``."""

    SECTIONS: ClassVar[list[tuple[str, list[str]]]] = [
        ("", ["name", "image", "cpu", "memory_mib", "project", "node", "node_labels", "auto_start"])
    ]
    FIELD_OF: ClassVar[dict[str, str]] = {}
    _COMMON: ClassVar[dict[str, str]] = {
        "name": "name",
        "config.image": "image",
        "resources.cpu.cores": "cpu",
        "resources.memory.limit": "memory_mib",
        "node": "node",
        "node_labels": "node_labels",
        "project": "project",
    }
    # What an empty field means, within it.
    IF_EMPTY: ClassVar[dict[str, str]] = {"cpu": _("no limit"), "memory_mib": _("no limit")}
    # Half as wide as the form: two stand side by side.
    NARROW: ClassVar[set[str]] = {"cpu", "memory_mib", "node", "node_labels", "network"}

    name = forms.CharField(max_length=63, help_text=_("Letters, digits, dots, dashes, underscores."))
    image = forms.CharField(max_length=255)
    cpu = forms.FloatField(required=False, min_value=0.01, max_value=1024, label=_("CPU cores"))
    memory_mib = forms.IntegerField(required=False, min_value=4, max_value=2**40, label=_("Memory (MiB)"))
    node = forms.CharField(max_length=63, required=False, help_text=_("Empty: the one with most room."))
    node_labels = Pairs(
        2, label=_("Labels of the node"), help_text=_("zone=a, one a line, instead of its name.")
    )
    project = forms.CharField(max_length=63, required=False)
    auto_start = forms.BooleanField(required=False, initial=True, label=_("Start it now"))

    def __init__(self, backend: str, data: Any = None, *, projects: Sequence[str] = (), **more: Any) -> None:
        """``projects``: where it may go, the usual one first; with one alone nobody is asked."""
        super().__init__(data, **more)
        self.backend = backend
        if len(projects) > 1:
            words = [(word, word) for word in projects]
            self.fields["project"] = forms.ChoiceField(choices=words, required=False)
        else:
            del self.fields["project"]
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, forms.CheckboxInput):
                kind = "form-check-input"
            elif isinstance(widget, forms.Select):
                kind = "form-select"
            else:
                kind = "form-control font-monospace" if isinstance(widget, forms.Textarea) else "form-control"
            widget.attrs.update({"class": kind})
        for name, shown in self.IF_EMPTY.items():
            if name in self.fields:
                self.fields[name].widget.attrs.setdefault("placeholder", shown)
        for name, choices in (("image", "images"), ("network", "networks"), ("node", "nodes")):
            if name in self.fields:
                self.fields[name].widget.attrs.update({"list": choices, "autocomplete": "off"})

    @property
    def sections(self) -> list[dict[str, Any]]:
        """``{"title", "fields", "open"}`` in order, for the template."""
        shown = []
        for title, names in self.SECTIONS:
            fields = [self[name] for name in names if name in self.fields]
            is_used = any(field.errors or (self.is_bound and field.value()) for field in fields)
            has_initial = any(self.initial.get(name) for name in names)
            if fields:
                shown.append({"title": title, "fields": fields, "open": is_used or has_initial})
        return shown

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The backend's part of the body, but for the image. ``given`` has no empty values."""
        return {}

    def body(self) -> InstanceCreate:
        """The request body that the same wish would have over REST."""
        given = {key: value for key, value in self.cleaned_data.items() if value not in (None, "", [], {})}
        return InstanceCreate(
            name=given["name"],
            backend=self.backend,
            node=given.get("node"),
            node_labels=given.get("node_labels", {}),
            project=given.get("project"),
            config={**({"image": given["image"]} if "image" in given else {}), **self.config(given)},
            resources=resources_of(given),
            labels=given.get("labels", {}),
            auto_start=bool(given.get("auto_start", False)),
        )

    def complain(self, error: ComputeError) -> str:
        """Put an error beside its field; what belongs to none is returned for the top."""
        known = {**self._COMMON, **self.FIELD_OF}

        def field_of(name: str) -> str:
            return known.get(name, known.get(".".join(name.split(".")[:2]), ""))

        return complain(self, error, field_of, {"NAME_CONFLICT": "name", "IMAGE_NOT_FOUND": "image"})


class LimitsForm(forms.Form):
    """New limits for an instance that is there; an empty field leaves its limit as it is."""

    cpu = forms.FloatField(required=False, min_value=0.01, max_value=1024)
    memory_mib = forms.IntegerField(required=False, min_value=4, max_value=2**40)

    def changes(self) -> dict[str, Any]:
        """The body of an update; raises ``InvalidInput`` naming the API's field."""
        if not self.is_valid():
            name, texts = next(iter(self.errors.items()))
            raise InvalidInput.field(_("CPU cores") if name == "cpu" else "memory", " ".join(map(str, texts)))
        given = {key: value for key, value in self.cleaned_data.items() if value is not None}
        return {"resources": resources_of(given)}


class ShellWords(forms.CharField):
    """Words as in a shell, to a list."""

    def to_python(self, value: Any) -> Any:
        try:
            return shlex.split(super().to_python(value) or "")
        except ValueError as error:
            raise forms.ValidationError(
                _("The quotes do not match: %(error)s.") % {"error": error}
            ) from error

    def prepare_value(self, value: Any) -> Any:
        return shlex.join(value) if isinstance(value, list) else value


def resources_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """``resources`` of the API from the fields ``cpu`` and ``memory_mib``."""
    resources: dict[str, Any] = {}
    if "cpu" in given:
        resources["cpu"] = {"cores": given["cpu"]}
    if "memory_mib" in given:
        resources["memory"] = {"limit": given["memory_mib"] * MIB}
    return resources


def form_class(backend: str) -> type[CreateForm]:
    """The form of a backend's own, or the common one."""
    dotted_path = backend_registration(backend).form
    if not dotted_path:
        return CreateForm
    module, _dot, name = dotted_path.rpartition(".")
    found: type[CreateForm] = getattr(importlib.import_module(module), name)
    return found
