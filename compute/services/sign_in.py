"""Coming in with a password and, where there is one, a second factor; the same for pages and API."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from compute.audit import audit
from compute.directories.oidc import oidc_begin, oidc_finish
from compute.errors import NotFound, PolicyDenied, RateLimited, Unauthenticated
from compute.live import rate_limit_back, rate_limit_clear, rate_limit_hit
from compute.models import User
from compute.selectors.page import time_text
from compute.services.accounts import TokenPair, pair_make
from compute.services.directory import ldap_login, person_admit
from compute.services.second_factor import factor_check
from compute.services.sign_ins import Began, Visitor, sign_in_begin

CHALLENGE_S = 300
OIDC = "oidc"
OIDC_STARTS, OIDC_WINDOW_S = 60, 60
_SALT = "libgo second factor"


def password_check(username: str, password: str, visitor: Visitor) -> tuple[User, str]:
    """The account that the password opens, and the method: of the second factor nothing is known yet.
    Raises ``Unauthenticated``, ``PolicyDenied``, and ``RateLimited`` after too many wrong tries."""
    counted = _tries_count(username, visitor.remote_address)
    user = authenticate(username=username, password=password)
    if user is None:
        user = ldap_login(username, password, visitor)
        if user is not None:
            _tries_return(counted)
            return user, "ldap"
    if not isinstance(user, User):
        audit(visitor.called(username), "auth.login", result="refused", details={"method": "password"})
        raise Unauthenticated("The user name or the password is wrong.")
    _tries_return(counted)
    if settings.LIBGO["access"]["password_login"] == "admins" and not user.is_superuser:
        raise PolicyDenied(
            "Passwords of this site open only administrators' accounts. Use single sign-on.",
            rule="password_login",
        )
    if user.second_factor == "provider":
        # It would be let in without the second factor that the provider asks for.
        raise PolicyDenied("This account comes in by single sign-on.", rule="single_sign_on")
    return user, "password"


def oidc_start(request: HttpRequest, redirect_uri: str, visitor: Visitor) -> HttpResponseBase:
    """Off to the sign-in provider. Raises ``NotFound`` without one, ``BackendUnavailable``."""
    config = _oidc()
    wait_s = rate_limit_hit(f"oidc:{visitor.remote_address}", OIDC_STARTS, OIDC_WINDOW_S)
    if wait_s:
        raise RateLimited("Too many sign-ins were begun from here. Wait a little.", retry_after=wait_s)
    return oidc_begin(config, request, redirect_uri)


def oidc_end(request: HttpRequest, back_to: str, visitor: Visitor) -> tuple[User, str]:
    """Back from the provider: the account, and where the provider's own session can be ended. Raises
    ``Unauthenticated``, ``PolicyDenied``, ``BackendUnavailable``."""
    config = _oidc()
    try:
        found = oidc_finish(config, request, back_to)
    except Unauthenticated:
        audit(visitor.called(""), "auth.login", result="refused", details={"method": OIDC})
        raise
    return person_admit(found.person, config, visitor), found.logout_url


def oidc_session_end() -> datetime:
    """When a session of a person of the provider that begins now is over: never later than any other."""
    config, access = settings.LIBGO["oidc"], settings.LIBGO["access"]
    return timezone.now() + timedelta(seconds=min(config["session_max_s"], access["session_lifetime_s"]))


def _oidc() -> Mapping[str, Any]:
    config: Mapping[str, Any] = settings.LIBGO["oidc"]
    if not config["issuer"]:
        raise NotFound("This site has no sign-in provider.")
    return config


def challenge_make(user: User, method: str) -> dict[str, Any]:
    """Who passed the first step may within ``CHALLENGE_S`` take the second with this word."""
    word = {"user": str(user.pk), "ver": user.token_version, "method": method, "once": secrets.token_hex(8)}
    expires_at = timezone.now() + timedelta(seconds=CHALLENGE_S)
    return {"challenge": signing.dumps(word, salt=_SALT), "expires_at": time_text(expires_at)}


def challenge_pass(challenge: str, code: str, visitor: Visitor) -> tuple[User, str]:
    """The account and the method, when the code fits. Raises ``Unauthenticated``, ``RateLimited``."""
    try:
        word = signing.loads(challenge, salt=_SALT, max_age=CHALLENGE_S)
    except signing.BadSignature as error:
        raise Unauthenticated("That took too long. Log in again with your password.") from error
    user = User.objects.filter(pk=word["user"], token_version=word["ver"], is_active=True).first()
    if user is None:
        raise Unauthenticated("The account was changed meanwhile. Log in again.")
    return user, f"{word['method']}+{factor_check(user, code, visitor)}"


def login(username: str, password: str, code: str, visitor: Visitor) -> TokenPair:
    """Begin a session of the API. Without a ``code`` where one is needed ``Unauthenticated`` tells of
    ``second_factor`` a challenge for ``login_finish``."""
    user, method = password_check(username, password, visitor)
    if user.second_factor == "totp":
        if not code:
            raise Unauthenticated(
                "The password is right; now send a code of your second factor to /auth/second-factor.",
                second_factor=challenge_make(user, method),
            )
        method = f"{method}+{factor_check(user, code, visitor)}"
    return _api_begin(user, method, visitor)


def login_finish(challenge: str, code: str, visitor: Visitor) -> TokenPair:
    """The second step of ``login``. Raises ``Unauthenticated``, ``RateLimited``."""
    user, method = challenge_pass(challenge, code, visitor)
    return _api_begin(user, method, visitor)


def page_begin(user: User, method: str, session_key: str, expires_at: datetime, visitor: Visitor) -> None:
    """Record that a session of the pages began."""
    sign_in_begin(user, Began("page", method, expires_at, session_key), visitor)


def _api_begin(user: User, method: str, visitor: Visitor) -> TokenPair:
    lifetime = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
    assert isinstance(lifetime, timedelta)
    row = sign_in_begin(user, Began("api", method, timezone.now() + lifetime), visitor)
    return pair_make(user, row.pk)


def _tries_count(username: str, remote_address: str) -> tuple[list[str], int]:
    """One more try of this account from this address, of the address, and of the account from
    anywhere. The last is the largest: nobody shall be shut out by others' tries too easily."""
    tries, window_s = settings.LIBGO["access"]["login_tries"], int(settings.LIBGO["access"]["login_window_s"])
    account = username.lower()[:150]
    keys = [
        (f"login:pair:{remote_address}:{account}", tries),
        (f"login:address:{remote_address}", 5 * tries),
        (f"login:account:{account}", 10 * tries),
    ]
    for key, most in keys if tries else ():
        wait_s = rate_limit_hit(key, most, window_s)
        if wait_s:
            raise RateLimited(
                f"Too many tries to log in. Wait {wait_s} seconds, then try again.", retry_after=wait_s
            )
    return [key for key, _ in keys], window_s


def _tries_return(counted: tuple[list[str], int]) -> None:
    """It was the owner: only wrong tries count."""
    (pair, address, account), window_s = counted
    rate_limit_clear(pair)
    rate_limit_back(address, window_s)
    rate_limit_back(account, window_s)
