"""Looking at a form while it is filled in: what is wrong with it so far, and the request of the API that
would do the same.

A form that includes ``compute/_api_line.html`` is sent here and there by ``static/js/forms.js``, with a
header that says it is only looked at; its view then answers with ``form_look`` before it would do anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.forms import BaseForm
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _

from compute.errors import ComputeError

_BASE = "/api/v1"
# What says nothing is left out; ``False`` and 0 say something.
_NOTHING: tuple[Any, ...] = (None, "", {}, [])


@dataclass(frozen=True)
class ApiCall:
    """``path`` below the API's base. ``whole``: of a change, where what was emptied says something, too."""

    path: str
    body: Mapping[str, Any]
    query: Mapping[str, Any] = field(default_factory=dict)
    method: str = "POST"
    whole: bool = False

    def shown(self) -> dict[str, Any]:
        query = urlencode({key: value for key, value in self.query.items() if value not in _NOTHING})
        body = {key: value for key, value in self.body.items() if self.whole or value not in _NOTHING}
        return {
            "method": self.method,
            "url": f"{_BASE}{self.path}{'?' if query else ''}{query}",
            "body": body,
        }


def secret_shown(name: str) -> str:
    """Stands in a body for what is not shown: the line has ``$name`` there (see ``static/js/forms.js``)."""
    return f"\x01{name}"


def is_look(request: HttpRequest) -> bool:
    return request.method == "POST" and request.headers.get("X-Form-Look") == "1"


def form_look(
    form: BaseForm, call: Callable[[], ApiCall], check: Callable[[], None] | None = None
) -> JsonResponse:
    """``call`` is asked of a form that holds; ``check`` raises what the service would complain of, which the
    form then puts beside its fields (``complain``). ``{"call": {"method", "url", "body"} | null, "errors":
    {field: text}, "message": text}``."""
    found, message = None, ""
    if form.is_valid():
        found = call().shown()
        try:
            if check is not None:
                check()
        except ComputeError as error:
            message = form.complain(error)  # type: ignore[attr-defined]
    errors = {name: " ".join(map(str, texts)) for name, texts in form.errors.items()}
    return JsonResponse({"call": found, "errors": errors, "message": message})


def plain_look(call: ApiCall, needed: Mapping[str, str]) -> JsonResponse:
    """The same of a form that is no ``Form``; ``needed``: the texts of the fields that must not be empty."""
    missing = {name: str(_("is missing.")) for name, text in needed.items() if not text}
    return JsonResponse({"call": None if missing else call.shown(), "errors": missing, "message": ""})
