"""Who asks: a bearer token, or the browser's session with its CSRF token."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.authentication import SessionAuthentication as RestSessionAuthentication
from rest_framework.request import Request

from compute.actor import Actor, Credential
from compute.models import User
from compute.selectors.access import actor_for
from compute.services.accounts import access_token_open
from compute.services.tokens import token_open


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        token = _word(request, "bearer")
        return None if token is None else access_token_open(token)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="libgo"'


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token <personal token>``."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        token = _word(request, "token")
        return None if token is None else token_open(token, request.META.get("REMOTE_ADDR") or "")


class SessionAuthentication(RestSessionAuthentication):
    """The cookie of the pages; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        return found[0], Credential(session_key=request._request.session.session_key or "")


def _word(request: Request, wanted: str) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == wanted else None


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = JwtAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        told = "A personal token of one's profile: Token libgo_…"
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": told}


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
        user_agent=request.META.get("HTTP_USER_AGENT") or "",
        credential=request.auth if isinstance(request.auth, Credential) else None,
    )
