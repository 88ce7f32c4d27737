"""Who asks: a bearer token, or the browser's session with its CSRF token."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.authentication import SessionAuthentication as RestSessionAuthentication
from rest_framework.request import Request

from compute.actor import Actor
from compute.models import User
from compute.selectors.access import actor_for
from compute.services.accounts import user_from_access_token


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return user_from_access_token(token.strip()), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="libgo"'


class SessionAuthentication(RestSessionAuthentication):
    """The cookie of the pages; unsafe methods need the CSRF token."""


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = JwtAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def request_actor(request: Request) -> Actor:
    """The actor behind an authenticated request."""
    user = request.user
    assert isinstance(user, User)
    return actor_for(
        user,
        remote_address=request.META.get("REMOTE_ADDR") or "",
        request_id=getattr(request, "request_id", "") or "",
    )
