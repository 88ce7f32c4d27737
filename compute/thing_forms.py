"""The forms of what is no instance: few fields, in the words of people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms

from compute.complaints import complain
from compute.errors import ComputeError


class ThingForm(forms.Form):
    """Where it goes, then what it is. ``FIELD_OF``: which field a complaint about the API's belongs to."""

    FIELD_OF: ClassVar[dict[str, str]] = {}
    NARROW: ClassVar[set[str]] = {"project", "node"}
    # Folded away until they are filled in or wrong.
    FURTHER: ClassVar[tuple[str, ...]] = ()

    project = forms.ChoiceField()
    node = forms.ChoiceField()

    def __init__(self, projects: Iterable[str], nodes: Iterable[str], data: Any = None) -> None:
        super().__init__(data)
        for name, words in (("project", list(projects)), ("node", list(nodes))):
            if name not in self.fields:
                # What belongs to the host has no project.
                continue
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

    def body(self) -> dict[str, Any]:
        """The body of the API's request."""
        return dict(self.cleaned_data)

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
        return complain(self, error, lambda name: self.FIELD_OF.get(name, name.partition(".")[0]))
