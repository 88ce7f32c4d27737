"""The language of who has no account yet, and the words of the scripts."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import get_language, override
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_POST
from django.views.i18n import JavaScriptCatalog

from compute.views.common import page
from compute.wording import event_text

_YEAR_S = 365 * 86400
_TOLD_MAX = 4000


@require_POST
def language_choose(request: HttpRequest) -> HttpResponse:
    """Keep the choice in this browser, and go back to where it was made."""
    to = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure())
    answer = redirect(to if is_ours else "login")
    chosen = request.POST.get("language", "")
    if chosen in dict(settings.LANGUAGES):
        answer.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            chosen,
            max_age=_YEAR_S,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return answer


class _Words(JavaScriptCatalog):
    def get_paths(self, packages: Any) -> list[str]:
        return [str(path) for path in settings.LOCALE_PATHS]


_words = _Words.as_view()


@require_GET
@gzip_page
def words(request: HttpRequest) -> HttpResponse:
    """A script with gettext's functions and a language's words. Its address changes with them; compressed,
    for it holds no secret."""
    language = request.GET.get("language", "")
    if language not in dict(settings.LANGUAGES):
        language = get_language() or settings.LANGUAGE_CODE
    with override(language):
        answer = _words(request)
    assert isinstance(answer, HttpResponse)
    kept = request.GET.get("version") == words_version(language)
    answer["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if kept else "no-cache"
    return answer


@require_GET
@page
def told(request: HttpRequest) -> HttpResponse:
    """``{"text"}``: what the API or a socket told a script in English, in the reader's language."""
    return JsonResponse({"text": event_text(request.GET.get("text", "")[:_TOLD_MAX])})


def words_url(language: str) -> str:
    """Where the scripts' words in this language are."""
    return f"{reverse('words')}?{urlencode({'language': language, 'version': words_version(language)})}"


@lru_cache
def words_version(language: str) -> str:
    """Changes with the words; looked at once for each process."""
    digest = hashlib.sha256()
    for folder in settings.LOCALE_PATHS:
        path = Path(folder) / language / "LC_MESSAGES" / "djangojs.mo"
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:12]
