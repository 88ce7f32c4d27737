"""Django's WSGI handler; the web process runs it inside ``asgi.py``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "libgo_site.settings.prod")
application = get_wsgi_application()
