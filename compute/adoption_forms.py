"""The forms of adoption: what is wanted, and a standing rule, in the words of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from compute.thing_forms import ThingForm
from compute.wording import later as _

_LABELS_MAX = 4000


class AdoptionFilterForm(ThingForm):
    """``project`` is whose they become; the other fields narrow what is adopted. Empty means any."""

    NARROW: ClassVar[set[str]] = {"project", "node", "backend", "instance_name", "image", "network"}
    FIELD_OF: ClassVar[dict[str, str]] = {
        "filter.labels": "labels",
        **{f"filter.{name}": name for name in ("node", "backend", "image", "network")},
        "filter.name": "instance_name",
    }

    project = forms.ChoiceField(label=_("Into the project"))
    node = forms.ChoiceField(required=False)
    backend = forms.ChoiceField(required=False)
    instance_name = forms.CharField(
        label=_("Name"),
        max_length=255,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "web-*"}),
    )
    image = forms.CharField(
        max_length=255, required=False, widget=forms.TextInput(attrs={"placeholder": "nginx:*"})
    )
    network = forms.CharField(
        max_length=255, required=False, widget=forms.TextInput(attrs={"placeholder": "front*"})
    )
    labels = forms.CharField(
        max_length=_LABELS_MAX,
        required=False,
        widget=forms.Textarea(attrs={"placeholder": "com.docker.compose.project=blog"}),
        help_text=_("One a line, all must hold: key=pattern, or the key alone for any value."),
    )

    def __init__(
        self,
        projects: Iterable[str],
        nodes: Iterable[str],
        backends: Iterable[str],
        data: Any = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        names = list(nodes)
        super().__init__(projects, ["", *names], data)
        self.initial = dict(initial or {})
        for field, word, values in (("node", _("Any node"), names), ("backend", _("Any backend"), backends)):
            choices = [("", word), *((name, name) for name in values)]
            self.fields[field].choices = choices  # type: ignore[attr-defined]

    @property
    def adoption_filter(self) -> dict[str, Any]:
        """The filter as the API takes it."""
        given = self.cleaned_data
        found = {name: given[name] for name in ("node", "backend", "image", "network") if given[name]}
        if given["instance_name"]:
            found["name"] = given["instance_name"]
        pairs = [line.partition("=") for line in given["labels"].splitlines() if line.strip()]
        labels = {key.strip(): value.strip() for key, _equals, value in pairs if key.strip()}
        return {**found, "labels": labels} if labels else found


class AdoptionRuleForm(AdoptionFilterForm):
    field_order = (
        *("name", "project", "node", "backend", "instance_name", "image", "network", "labels"),
        *("position", "enabled"),
    )
    NARROW: ClassVar[set[str]] = AdoptionFilterForm.NARROW | {"name", "position"}

    name = forms.CharField(label=_("Name of the rule"), max_length=63)
    position = forms.IntegerField(
        label=_("Place"),
        min_value=0,
        max_value=100_000,
        required=False,
        help_text=_("Lower ones are asked first; the first that matches decides. Empty: behind the others."),
    )
    enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    @staticmethod
    def initial_of(row: Mapping[str, Any]) -> dict[str, Any]:
        """What the form of a rule that is there begins with; ``row`` has the public shape."""
        wanted = row["filter"]
        labels = "\n".join(f"{key}={value}" if value else key for key, value in wanted["labels"].items())
        return {
            **{name: row[name] for name in ("name", "position", "enabled")},
            **{name: wanted[name] for name in ("node", "backend", "image", "network")},
            "project": row["project"]["name"],
            "instance_name": wanted["name"],
            "labels": labels,
        }

    def body(self) -> dict[str, Any]:
        given = self.cleaned_data
        body = {name: given[name] for name in ("name", "project", "enabled")}
        if given["position"] is not None:
            body["position"] = given["position"]
        return {**body, "filter": self.adoption_filter}
