"""``./libgo up`` and production: the base as it is."""

from libgo_site.settings.base import *  # noqa: F403
