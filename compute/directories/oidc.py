"""OpenID Connect, as a relying party (Authlib): the code flow with PKCE, state and nonce; the ID token's
signature, issuer, audience, nonce and times are checked. Keys are read again when an unknown one signs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import requests
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
from authlib.integrations.django_client import OAuth
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from joserfc.errors import JoseError

from compute.directories.person import Person
from compute.errors import BackendUnavailable, Unauthenticated

log = structlog.get_logger(__name__)
_TIMEOUT_S = 10
_METADATA_S = 3600
_LEEWAY_S = 60
# Signatures by a key pair: with a shared secret anybody who knows it could sign.
_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
_GROUPS_MAX = 1000


@dataclass(frozen=True)
class SignedOn:
    """``logout_url`` is where the provider's own session can be ended too; empty if it has no such page."""

    person: Person
    logout_url: str


def oidc_begin(config: Mapping[str, Any], request: HttpRequest, redirect_uri: str) -> HttpResponseBase:
    """Send the browser to the provider; state, nonce and PKCE verifier stay in the session. Raises
    ``BackendUnavailable``."""
    client = _client(config)
    try:
        answer: HttpResponseBase = client.authorize_redirect(request, redirect_uri)
        return answer
    except requests.RequestException as error:
        raise _unavailable(str(error)) from error


def oidc_finish(config: Mapping[str, Any], request: HttpRequest, back_to: str) -> SignedOn:
    """Who came back from the provider. Raises ``Unauthenticated``, ``BackendUnavailable``."""
    client = _client(config)
    options = {
        "iss": {"essential": True, "values": [config["issuer"]]},
        "aud": {"essential": True, "values": [config["client_id"]]},
    }
    try:
        token = client.authorize_access_token(request, claims_options=options, leeway=_LEEWAY_S)
        claims = token.get("userinfo")
        if not claims or not claims.get("sub"):
            raise Unauthenticated("The sign-in provider did not say who you are.")
        return SignedOn(_person(config, client, token, claims), _logout_url(client, token, back_to))
    except MismatchingStateError as error:
        raise Unauthenticated("This sign-in was not begun here, or it took too long. Try again.") from error
    except requests.RequestException as error:
        raise _unavailable(str(error)) from error
    except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError, RuntimeError) as error:
        log.warning("oidc_refused", reason=str(error)[:300])
        if isinstance(error, OAuthError) and error.error == "access_denied":
            raise Unauthenticated("The sign-in provider did not let you in.") from error
        raise Unauthenticated("The answer of the sign-in provider cannot be trusted. Try again.") from error


def oidc_look(config: Mapping[str, Any]) -> str:
    """For doctor: whether the provider can be asked; what is wrong, or an empty text."""
    try:
        client = _client(config)
        client.fetch_jwk_set(force=True)
    except BackendUnavailable as error:
        return str(error.details.get("reason", error.message))
    except (requests.RequestException, ValueError, RuntimeError) as error:
        return f"its keys cannot be read: {error}"
    return ""


def oidc_forget() -> None:
    """Read the provider's metadata again at the next use."""
    _made.cache_clear()


def _client(config: Mapping[str, Any]) -> Any:
    words = ("issuer", "client_id", "client_secret", "ca_path")
    given = (*(str(config[word]) for word in words), " ".join(config["scopes"]))
    return _made(given, int(time.monotonic() // _METADATA_S))


@lru_cache(maxsize=2)
def _made(given: tuple[str, ...], hour: int) -> Any:
    """One client for each configuration and hour, so that changed metadata are seen."""
    issuer, client_id, client_secret, ca_path, scopes = given
    client = OAuth().register(
        "libgo",
        client_id=client_id,
        client_secret=client_secret or None,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": _TIMEOUT_S,
            "verify": ca_path or True,
        },
    )
    try:
        metadata = client.load_server_metadata()
    except (requests.RequestException, ValueError) as error:
        raise _unavailable(str(error)) from error
    if metadata.get("issuer") != issuer:
        raise _unavailable(f"it calls itself {metadata.get('issuer')} and not {issuer}")
    client.client_kwargs["token_endpoint_auth_method"] = _secret_by(metadata) if client_secret else "none"
    offered = set(metadata.get("id_token_signing_alg_values_supported") or ["RS256"])
    metadata["id_token_signing_alg_values_supported"] = sorted(offered & _ALGORITHMS)
    if not offered & _ALGORITHMS:
        raise _unavailable("it signs by no algorithm that LibGo takes")
    return client


def _secret_by(metadata: Mapping[str, Any]) -> str:
    ways = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return "client_secret_basic" if "client_secret_basic" in ways else "client_secret_post"


def _person(config: Mapping[str, Any], client: Any, token: Any, claims: Mapping[str, Any]) -> Person:
    told = dict(claims)
    wanted = (config["groups_claim"], config["username_claim"])
    if any(name not in told for name in wanted) and client.server_metadata.get("userinfo_endpoint"):
        more = client.userinfo(token=token)
        if more.get("sub") == told["sub"]:
            told = {**more, **told}
    groups = told.get(config["groups_claim"]) or []
    names = [groups] if isinstance(groups, str) else list(groups)[:_GROUPS_MAX]
    return Person(
        provider=config["issuer"],
        subject=str(told["sub"]),
        username=str(told.get(config["username_claim"]) or told["sub"]),
        email=str(told.get("email") or "") if told.get("email_verified", True) else "",
        groups=tuple(str(name) for name in names),
    )


def _logout_url(client: Any, token: Mapping[str, Any], back_to: str) -> str:
    if not client.server_metadata.get("end_session_endpoint"):
        return ""
    made = client.create_logout_url(back_to, token.get("id_token"), client_id=client.client_id)
    return str(made["url"])


def _unavailable(reason: str) -> BackendUnavailable:
    log.warning("oidc_unavailable", reason=reason[:300])
    return BackendUnavailable(
        "The sign-in provider cannot be reached now. Try again, or use an account of this site.",
        reason=reason[:300],
    )
