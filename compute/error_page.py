"""The page that says what went wrong, and what one can do now."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from compute.wording import later

_HINTS = {
    400: later("Look at the address, or go back and send it again."),
    403: later("Who looks after the project, or the site, can allow it."),
    404: later(
        "Perhaps it was deleted or renamed, or belongs to a project that you are no member of. "
        "Ctrl-K finds everything that you may see."
    ),
    409: later("Nothing was changed. Look how it stands now, and try again."),
    500: later(
        "Nothing that was under way is lost. Try again; if it happens again, "
        "tell who looks after LibGo the number below: the log names it."
    ),
    503: later("What runs goes on running. Try again in a moment."),
}
_STRANGER = later("Perhaps the address is wrong, or you see what is here when you have logged in.")
STALE_HINT = later("What you typed was not sent. Open the page anew, then send it again.")


def error_page(request: HttpRequest, message: object, status: int, hint: object = "") -> HttpResponse:
    """In the frame of the other pages for who is logged in. ``hint`` stands for what the status says."""
    if status == 404 and not request.user.is_authenticated:
        hint = hint or _STRANGER
    text = render_to_string("error.html", _context(request, message, status, hint), request)
    return HttpResponse(text, status=status)


def error_page_bare(request: HttpRequest, message: object, status: int) -> HttpResponse:
    """One that asks neither the database nor the frame: either may be what is broken."""
    return HttpResponse(render_to_string("error.html", _context(request, message, status)), status=status)


def _context(request: HttpRequest, message: object, status: int, hint: object = "") -> dict[str, Any]:
    usual = _HINTS.get(status) or _HINTS[500 if status > 500 else 409]
    return {
        "message": message,
        "status": status,
        "hint": hint or usual,
        "number": getattr(request, "request_id", "") if status >= 500 else "",
        "again": request.get_full_path() if request.method == "GET" and status >= 500 else "",
        "back": _came_from(request),
    }


def _came_from(request: HttpRequest) -> str:
    """The page of ours that led here; empty where there was none, or it was this one."""
    came = urlsplit(request.headers.get("Referer", ""))
    if not came.netloc or came.netloc != request.META.get("HTTP_HOST"):
        return ""
    back = came._replace(scheme="", netloc="").geturl()
    is_path = back.startswith("/") and not back.startswith("//")
    return back if is_path and (back != request.get_full_path() or request.method != "GET") else ""
