"""The catalogues below ``LOCALE_PATHS``: what must be translated, and the form that gettext reads."""
