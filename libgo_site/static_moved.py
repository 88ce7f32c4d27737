"""Static files under an address that is not this edition's: from a page that was opened before an upgrade, or
from a link that somebody made."""

from __future__ import annotations

import re

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

_EDITION = re.compile(r"^[0-9a-f]{12}/")


@require_safe
@never_cache
def static_moved(request: HttpRequest, name: str) -> HttpResponse:
    """To the same file of today, if there is one. Relative imports of a script go on from there."""
    known = _EDITION.sub("", name)
    # The right edition was looked for already, and a name that leaves the folder is none.
    if request.path.startswith(settings.STATIC_URL) or not known or ".." in known or not finders.find(known):
        raise Http404
    return HttpResponseRedirect(static(known))
