"""Names of models, fields and values in the admin, in the reader's language.

The models keep the plain names that Django makes for them; what is shown is laid over these, so that a new
field asks for its word by itself (``compute/translations/extract.py``) and nothing of it reaches a migration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Field, Model
from django.forms.utils import pretty_name
from django.utils.text import camel_case_to_spaces
from django.utils.translation import pgettext_lazy

from compute.states import action_words
from compute.told import WORD
from compute.wording import later

# What Django says in English alone, so far; our catalogues say it instead.
DJANGOS = (
    later("Search"),
    later("After you’ve created a user, you’ll be able to edit more user options."),
    later("Password-based authentication"),
    later("Enabled"),
    later("Disabled"),
    later(
        "Whether the user will be able to authenticate using a password or not. If disabled, they may still "
        "be able to authenticate using other backends, such as Single Sign-On or LDAP."
    ),
    later("Reset password"),
    later("Set password"),
    later("Raw passwords are not stored, so there is no way to see the user’s password."),
)
# Tells a name in the admin from the same word elsewhere.
CONTEXT = "admin"


def admin_words_lay() -> None:
    """Once, when every app has registered what it shows."""
    for model in _models():
        name, plural = _names(model)
        if name:
            model._meta.verbose_name = pgettext_lazy(CONTEXT, name)
            model._meta.verbose_name_plural = pgettext_lazy(CONTEXT, plural)
        for field in _fields(model):
            field.verbose_name = pgettext_lazy(CONTEXT, _field_name(field))
        for field in model._meta.local_fields:
            if field.choices:
                words = [(value, pgettext_lazy(WORD, action_words(str(value)))) for value, _ in field.choices]
                field.choices = words
        for column in _columns(model):
            column.fget.short_description = pgettext_lazy(CONTEXT, _column_name(column))


def admin_labels() -> set[str]:
    """All of it but the values, in the source's language."""
    found: set[str] = set()
    for model in _models():
        found |= {*_names(model), *map(_field_name, _fields(model)), *map(_column_name, _columns(model))}
    return found - {""}


def _models() -> list[type[Model]]:
    """Those of ours, and what stands in their forms."""
    own = {model for model in admin.site._registry if model.__module__.startswith(("compute.", "dockerapp."))}
    return sorted(own, key=lambda model: model.__name__)


def _names(model: type[Model]) -> tuple[str, str]:
    """Nothing for the account, which Django itself names."""
    if any(parent._meta.abstract for parent in model.__mro__[1:] if hasattr(parent, "_meta")):
        return "", ""
    name = camel_case_to_spaces(model.__name__)
    return name, re.sub("(?<![aeou])y$", "ie", name) + "s"


def _fields(model: type[Model]) -> list[Any]:
    """Without those that have a name of their own."""
    fields: list[Any] = list(model._meta.local_fields)
    return [field for field in fields if field._verbose_name is None]


def _field_name(field: Field[Any, Any]) -> str:
    return field.name.replace("_", " ")


def _columns(model: type[Model]) -> Iterator[Any]:
    """Properties that a list shows."""
    for name in admin.site._registry[model].get_list_display(None):  # type: ignore[arg-type]
        found = getattr(model, str(name), None)
        if isinstance(found, property):
            yield found


def _column_name(column: Any) -> str:
    return pretty_name(column.fget.__name__)
