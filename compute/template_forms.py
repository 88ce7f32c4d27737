"""The forms of templates: one to write them, one made of their parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from compute.complaints import complain
from compute.errors import ComputeError
from compute.forms import Pairs
from compute.wording import later as _

SITE = _("(the whole site)")
_PREFIX = "parameter_"


class _Styled(forms.Form):
    NARROW: ClassVar[set[str]] = {"name", "project", "backend", "description", "comment", "count", "version"}

    def dress(self) -> None:
        for field in self.fields.values():
            widget, kind = field.widget, "form-control"
            if isinstance(widget, forms.CheckboxInput):
                kind = "form-check-input"
            elif isinstance(widget, forms.Select):
                kind = "form-select"
            elif isinstance(widget, forms.Textarea):
                kind = "form-control font-monospace"
            widget.attrs["class"] = kind

    def complain(self, error: ComputeError) -> str:
        """Put an error beside its field; what belongs to none is returned for the top."""
        return complain(self, error, self._field_of, is_named=True)

    def _field_of(self, name: str) -> str:
        return name.partition(".")[0]


class JsonText(forms.CharField):
    """A JSON value as text."""

    # An empty object is something.
    empty_values = (None, "")

    def __init__(self, rows: int, **more: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "false"}), **more)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(_("This is no JSON: %(error)s.") % {"error": error}) from error

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class TemplateForm(_Styled):
    """``is_copy``: it comes from an instance, so its body is not asked for."""

    name = forms.CharField(max_length=63)
    project = forms.ChoiceField(required=False)
    backend = forms.ChoiceField()
    description = forms.CharField(max_length=500, required=False)
    body = JsonText(
        14, help_text=_("As POST /compute/instances takes it, without name; ${who} is a parameter.")
    )
    parameters = JsonText(
        10,
        required=False,
        help_text=_(
            "Each with name, type (string, int, bool, choice, size), default, required, secret, "
            "description, choices."
        ),
    )
    comment = forms.CharField(max_length=500, required=False, help_text=_("Why this version was made."))

    def __init__(
        self,
        projects: Sequence[str],
        backends: Sequence[str],
        data: Any = None,
        *,
        initial: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        super().__init__(data, initial=dict(initial or {}))
        for name, words in (("project", projects), ("backend", backends)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [(word, word) for word in words]
        for name in without:
            del self.fields[name]
        self.dress()

    def given(self) -> dict[str, Any]:
        """The body of the API's request."""
        found = {key: value for key, value in self.cleaned_data.items() if value is not None}
        if "parameters" in self.fields:
            found["parameters"] = found.get("parameters") or []
        if found.get("project") == SITE:
            found["project"] = None
        elif not found.get("project"):
            found.pop("project", None)
        return found


class UseForm(_Styled):
    """What a template asks, beside names and places."""

    NARROW: ClassVar[set[str]] = {"name", "count", "project", "node"}

    name = forms.CharField(max_length=63)
    count = forms.IntegerField(min_value=1, max_value=100, initial=1, label=_("How many"), required=False)
    project = forms.ChoiceField(required=False)
    node = forms.CharField(max_length=63, required=False, help_text=_("Empty: the one with most room."))
    node_labels = Pairs(
        2, label=_("Labels of the node"), help_text=_("zone=a, one a line, instead of its name.")
    )
    # Of a page that shows another than the newest; empty: the newest.
    version = forms.IntegerField(min_value=1, required=False, widget=forms.HiddenInput())

    def __init__(
        self,
        parameters: Sequence[Mapping[str, Any]],
        projects: Sequence[str],
        data: Any = None,
        *,
        version: int | None = None,
    ) -> None:
        super().__init__(data, initial={"version": version})
        project = self.fields["project"]
        assert isinstance(project, forms.ChoiceField)
        project.choices = [(word, word) for word in projects]
        if len(projects) < 2:
            del self.fields["project"]
        for item in parameters:
            self.fields[_PREFIX + item["name"]] = _field(item)
        self.order_fields(["name", "count", *(_PREFIX + item["name"] for item in parameters)])
        self.dress()

    def given(self) -> dict[str, Any]:
        """The body of the API's request."""
        filled = {key: value for key, value in self.cleaned_data.items() if value not in (None, "", {})}
        parameters = {
            key.removeprefix(_PREFIX): value for key, value in filled.items() if key.startswith(_PREFIX)
        }
        rest = {key: value for key, value in filled.items() if not key.startswith(_PREFIX)}
        return {**rest, "parameters": parameters}

    def _field_of(self, name: str) -> str:
        if name.startswith("parameters."):
            return _PREFIX + name.removeprefix("parameters.")
        return super()._field_of(name)


def _field(item: Mapping[str, Any]) -> forms.Field:
    common: dict[str, Any] = {
        "label": item["name"].replace("_", " ").capitalize(),
        "help_text": item["description"],
        "required": item["required"] and item["default"] is None,
        "initial": item["default"],
    }
    if item["type"] == "bool":
        return forms.BooleanField(**{**common, "required": False})
    if item["type"] == "int":
        return forms.IntegerField(**common)
    if item["type"] == "choice":
        words = [(word, word) for word in item["choices"]]
        return forms.ChoiceField(choices=words if common["required"] else [("", "–"), *words], **common)
    if item["type"] == "size":
        return forms.RegexField(r"^[0-9.]+\s*[A-Za-z]*$", **{**common, "initial": _size(item["default"])})
    if item["secret"]:
        return forms.CharField(
            max_length=4096, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), **common
        )
    return forms.CharField(max_length=4096, **common)


def _size(value: Any) -> Any:
    """In whole GiB or MiB where it is."""
    for power, unit in ((3, "GiB"), (2, "MiB")):
        if isinstance(value, int) and value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return value
