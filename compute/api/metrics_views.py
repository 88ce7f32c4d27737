"""``/metrics``: for Prometheus with the configured token, and for administrators."""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from compute.actor import Actor
from compute.api.authentication import JwtAuthentication, SessionAuthentication, TokenAuthentication
from compute.api.base import ApiView
from compute.selectors.access import action_require
from compute.selectors.metrics import metrics_text

_SCRAPER = "scraper"


class Scraper:
    """Whoever knows the token of the configuration. It is nobody's account and opens nothing else."""

    is_authenticated = True
    is_active = True


class ScrapeToken(BaseAuthentication):
    """``Authorization: Bearer <metrics.token>``."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        wanted = str(settings.LIBGO["metrics"]["token"])
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not wanted or scheme.lower() != "bearer":
            return None
        return (Scraper(), _SCRAPER) if hmac.compare_digest(given.strip().encode(), wanted.encode()) else None


class Metrics(ApiView):
    schema = None
    authentication_classes = (ScrapeToken, JwtAuthentication, TokenAuthentication, SessionAuthentication)

    @property
    def actor(self) -> Actor:
        if self.request.auth != _SCRAPER:
            return super().actor
        return Actor(None, _SCRAPER, remote_address=self.request.META.get("REMOTE_ADDR") or "")

    def get(self, request: Request) -> HttpResponse:
        if request.auth != _SCRAPER:
            action_require(self.actor, "site.metrics")
        return HttpResponse(metrics_text(), content_type="text/plain; version=0.0.4; charset=utf-8")
