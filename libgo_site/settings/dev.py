"""Working on LibGo itself: tracebacks in the browser, static files read on every request."""

from libgo_site.settings.base import *  # noqa: F403

DEBUG = True
WHITENOISE_AUTOREFRESH = True
