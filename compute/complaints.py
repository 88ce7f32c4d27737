"""What a refused request says to a person: beside the fields of its form, or in one line, in the reader's
language."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django import forms

from compute.errors import ComputeError
from compute.told import told_text
from compute.wording import event_text

_BY_CODE = {"NAME_CONFLICT": "name"}


def complaints_text(error: ComputeError, *, is_named: bool = False) -> str:
    """Of all fields, one after the other, with the names of these when ``is_named``; without fields the
    message."""
    fields = error.details.get("fields") or {}
    said = (told_text(f"{name}: {text}" if is_named else str(text)) for name, text in fields.items())
    return " ".join(said) or told_text(str(error.message))


def complain(
    form: forms.Form,
    error: ComputeError,
    field_of: Callable[[str], str],
    by_code: Mapping[str, str] = _BY_CODE,
    *,
    is_named: bool = False,
) -> str:
    """Put an error beside its field; what belongs to none is returned for the top. ``field_of``: the name of
    the API's field to that of the form's. ``by_code``: the field that an error without fields is about.
    ``is_named``: the name of the API's field stands before what is said of it where it is another."""
    fields, rest = error.details.get("fields", {}), []
    for name, text in fields.items():
        field = field_of(name)
        if field not in form.fields:
            rest.append(event_text(f"{name}: {text}"))
        else:
            form.add_error(field, event_text(f"{name}: {text}" if is_named and field != name else text))
    about = by_code.get(error.code)
    if about in form.fields:
        form.add_error(about, event_text(error.message))
    elif not fields:
        rest.append(event_text(error.message))
    return " ".join(rest)
