"""Working on LibGo itself: tracebacks in the browser, static files read on every request."""

from libgo_site.settings.base import *  # noqa: F403

DEBUG = True
WHITENOISE_AUTOREFRESH = True
# The edition is that of the start, and files are edited meanwhile.
WHITENOISE_IMMUTABLE_FILE_TEST = "$^"
