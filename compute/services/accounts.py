"""Coming in and going out: tokens, passwords, accounts.

Access tokens are short JWTs (RFC 7519) bound to the account's ``token_version``. Refresh tokens are
random words, stored hashed, spent once by a conditional UPDATE; a second use of a spent one revokes
its whole family (RFC 9700, 4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, QuerySet, prefetch_related_objects
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from compute.actor import Actor, Credential
from compute.audit import audit, changes_of
from compute.errors import InvalidInput, InvalidState, NameConflict, NotFound, RateLimited, Unauthenticated
from compute.events import rights_changed
from compute.live import TICKET_TTL_S, rate_limit_clear, rate_limit_hit, ticket_issue, ticket_spend
from compute.models import Membership, Project, RefreshToken, SignIn, User
from compute.selectors.access import action_require, person_require
from compute.selectors.page import time_text
from compute.selectors.prepared import Prepared
from compute.services.sign_ins import Visitor, account_lock_out, actor_again, family_ended, sessions_end
from compute.states import Role

_USERNAME_MAX = 150


@dataclass(frozen=True)
class TokenPair:
    access: str
    refresh: str
    expires_at: datetime
    user: User


def refresh(token: str, visitor: Visitor) -> TokenPair:
    """Spend a refresh token for a new pair. Raises ``Unauthenticated``; a spent one revokes its
    family, because either the client or a thief holds a copy."""
    now = timezone.now()
    row = RefreshToken.objects.filter(pk=_token_id(token)).select_related("user").first()
    if row is None or row.expires_at < now or row.revoked_at or not row.user.is_active:
        raise Unauthenticated("The refresh token is not valid. Log in again.")
    spent = RefreshToken.objects.filter(pk=row.pk, spent_at=None, revoked_at=None).update(spent_at=now)
    if not spent:
        RefreshToken.objects.filter(family=row.family, revoked_at=None).update(revoked_at=now)
        family_ended(row.family)
        audit(visitor.known(row.user), "auth.refresh_reused", result="refused")
        raise Unauthenticated("The refresh token was used before. Log in again.")
    pair = pair_make(row.user, row.family)
    lasts = now + settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]  # type: ignore[operator]
    SignIn.objects.filter(pk=row.family).update(last_used_at=now, expires_at=lasts)
    return pair


def logout(actor: Actor, token: str | None) -> None:
    """End the session that ``token`` belongs to, or every session of the account without one; its
    access tokens stop working at once."""
    person_require(actor)
    if token:
        row = RefreshToken.objects.filter(user_id=actor.user_id, pk=_token_id(token)).first()
        if row is not None:
            rows = RefreshToken.objects.filter(family=row.family, revoked_at=None)
            rows.update(revoked_at=timezone.now())
            family_ended(row.family)
    else:
        User.objects.filter(pk=actor.user_id).update(token_version=F("token_version") + 1)
        sessions_end(actor.user_id)
    audit(actor, "auth.logout")


def _signed_in(family: uuid.UUID, user_id: uuid.UUID) -> QuerySet[User]:
    ended = RefreshToken.objects.filter(family=family, revoked_at__isnull=False)
    return User.objects.filter(pk=user_id, is_active=True).exclude(Exists(ended))


_SIGNED_IN = Prepared(_signed_in, keys=2)


def access_token_open(token: str) -> tuple[User, Credential]:
    """Who holds this access token now, and of which session it is. Raises ``Unauthenticated``."""
    try:
        claims = AccessToken(token)  # type: ignore[arg-type]
        family = uuid.UUID(str(claims["fam"]))
        user = _SIGNED_IN.first(family, uuid.UUID(str(claims["user_id"])))
    except (TokenError, KeyError, ValueError) as error:
        raise Unauthenticated("The access token is not valid or has expired.") from error
    if user is None or claims.get("ver") != user.token_version:
        raise Unauthenticated("The access token is no longer valid. Log in again.")
    return user, Credential(family=family)


def ws_ticket(actor: Actor) -> dict[str, Any]:
    """A word that opens one socket, once, within seconds, with no more rights than its maker has."""
    held = actor.credential
    ticket = ticket_issue(
        {
            "user": str(actor.user_id),
            "token": str(held.token_id or ""),
            "family": str(held.family or ""),
            "session": held.session_key,
        }
    )
    return {"ticket": ticket, "expires_at": time_text(timezone.now() + timedelta(seconds=TICKET_TTL_S))}


def ticket_open(ticket: str, remote_address: str) -> Actor:
    """Who made the ticket. Raises ``Unauthenticated``."""
    data = ticket_spend(ticket)
    if data is None:
        raise Unauthenticated("The ticket is unknown, used, or too old.")
    token, family = data.get("token"), data.get("family")
    credential = Credential(
        token_id=uuid.UUID(token) if token else None,
        family=uuid.UUID(family) if family else None,
        session_key=data.get("session", ""),
    )
    user_id = uuid.UUID(data["user"])
    return actor_again(Actor(user_id, "", remote_address=remote_address, credential=credential))


def user_dict(user: User) -> dict[str, Any]:
    """The public shape. ``directory``: the OpenID issuer or ldap, for those who come from there."""
    prefetch_related_objects([user], "memberships__project")
    memberships = user.memberships.all()
    identity = getattr(user, "directory", None)
    return {
        "id": str(user.pk),
        "username": user.get_username(),
        "email": user.email,
        "is_admin": user.is_superuser,
        "is_active": user.is_active,
        "roles": [Role.ADMIN.value] if user.is_superuser else sorted({item.role for item in memberships}),
        "language": user.language,
        "second_factor": user.second_factor,
        "directory": identity.provider if identity else "",
        "projects": [
            {"id": str(item.project_id), "name": item.project.name, "role": item.role} for item in memberships
        ],
    }


def user_get(actor: Actor, user_id: uuid.UUID | str | None) -> User:
    """Oneself, or anyone for an admin. Raises ``NotFound``."""
    if str(user_id) != str(actor.user_id):
        action_require(actor, "user.read")
    try:
        found = User.objects.filter(pk=uuid.UUID(str(user_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such user.")
    return found


def users_list(actor: Actor) -> list[dict[str, Any]]:
    action_require(actor, "user.read")
    rows = User.objects.select_related("directory").prefetch_related("memberships__project")
    return [user_dict(user) for user in rows.order_by("username")]


def user_create(actor: Actor, given: Mapping[str, Any]) -> User:
    """``username, password, email?, role?`` (admin, operator, viewer in the default project)."""
    action_require(actor, "user.create")
    username = _username(given.get("username"))
    user = User(username=username, email=_email(given.get("email")))
    _password_check(given.get("password"), user, "password")
    role = _role(given.get("role", Role.VIEWER.value))
    # Nobody could tell Olga from olga, in the audit for instance.
    alike = User.objects.filter(username__iexact=username).values_list("username", flat=True).first()
    if alike is not None:
        raise NameConflict(f"There is already a user “{alike}”.")
    user.set_password(given["password"])
    try:
        with transaction.atomic():
            user.save()
            _role_set(user, role)
            audit(actor, "user.create", username, target_uid=user.pk, details={"role": role.value})
    except IntegrityError as error:
        raise NameConflict(f"There is already a user “{username}”.") from error
    return user


def user_update(actor: Actor, user_id: uuid.UUID | str, given: Mapping[str, Any]) -> User:
    """Merge ``email, role, is_active, password``. Admins only. A new password and switching it off end
    the account's sessions and tokens."""
    action_require(actor, "user.update")
    if "password" in given:
        person_require(actor)
    with transaction.atomic():
        user = user_get(actor, user_id)
        before = account_told(user)
        if "email" in given:
            user.email = _email(given["email"])
        if "is_active" in given:
            user.is_active = bool(given["is_active"])
        if "password" in given:
            _password_check(given["password"], user, "password")
            user.set_password(given["password"])
        user.token_version += 1
        user.save()
        if "password" in given:
            account_lock_out(user)
        if "role" in given:
            _role_set(user, _role(given["role"]))
        account_changed(actor, user, before, sorted(given))
    return user


def account_changed(actor: Actor, user: User, before: Mapping[str, Any], fields: list[str]) -> None:
    """What follows whenever an administrator changed an account, within the same transaction: who was
    switched off is out, what is open asks again, and the audit has what it was (``account_told``). Raises
    ``InvalidState`` where nobody would be left to administer."""
    if not user.is_active:
        account_lock_out(user)
    _admin_left_check()
    rights_changed(user.pk)
    details = {"fields": fields, **changes_of(before, account_told(user))}
    audit(actor, "user.update", user.get_username(), target_uid=user.pk, details=details)


def account_told(user: User) -> dict[str, Any]:
    """For the audit: what of an account an administrator sets."""
    roles = Membership.objects.filter(user=user).values_list("project__name", "role")
    return {
        "email": user.email,
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        **{f"role in {project}": role for project, role in roles},
    }


def user_delete(actor: Actor, user_id: uuid.UUID | str) -> None:
    """Remove an account; the last administrator cannot be removed."""
    action_require(actor, "user.delete")
    with transaction.atomic():
        user = user_get(actor, user_id)
        audit(actor, "user.delete", user.get_username(), target_uid=user.pk)
        rights_changed(user.pk)
        user.delete()
        _admin_left_check()


def profile_update(actor: Actor, given: Mapping[str, Any]) -> User:
    """Merge one's own ``email`` and ``language`` (of the pages; empty: as the browser asks)."""
    person_require(actor)
    user = user_get(actor, actor.user_id)
    before = _profile_told(user)
    if "email" in given:
        user.email = _email(given["email"])
    if "language" in given:
        user.language = _language(given["language"])
    if "email" in given or "language" in given:
        user.save(update_fields=["email", "language"])
        details = changes_of(before, _profile_told(user))
        audit(actor, "profile.update", user.get_username(), target_uid=user.pk, details=details)
    return user


def _profile_told(user: User) -> dict[str, str]:
    return {"email": user.email, "language": user.language}


def _language(given: str) -> str:
    known = [language for language, _ in settings.LANGUAGES]
    if given and given not in known:
        raise InvalidInput.field("language", f"must be one of {', '.join(known)}, or empty.")
    return given


def password_change(actor: Actor, old: str, new: str) -> None:
    """Change one's own password; every other session ends, and so do all personal tokens. Raises
    ``InvalidInput``, ``InvalidState``, ``RateLimited``."""
    person_require(actor)
    user = user_get(actor, actor.user_id)
    if not user.has_usable_password():
        raise InvalidState("Your password is kept elsewhere; change it there.", state="external")
    _old_password_check(user, old)
    if new == old:
        raise InvalidInput.field("new_password", "is the one that you have.")
    _password_check(new, user, "new_password")
    with transaction.atomic():
        user.set_password(new)
        user.token_version += 1
        user.save()
        account_lock_out(user, keep=actor.credential)
        audit(actor, "profile.password", user.get_username(), target_uid=user.pk)


def _old_password_check(user: User, old: str) -> None:
    """As often as at a sign-in: whoever came by an open session shall not find out the password by it."""
    access = settings.LIBGO["access"]
    key, tries, window_s = f"password:{user.pk}", int(access["login_tries"]), int(access["login_window_s"])
    wait_s = rate_limit_hit(key, tries, window_s) if tries else 0
    if wait_s:
        raise RateLimited(
            f"Too many wrong passwords. Wait {wait_s} seconds, then try again.", retry_after=wait_s
        )
    if not user.check_password(old):
        raise InvalidInput.field("old_password", "is wrong.")
    rate_limit_clear(key)


def pair_make(user: User, family: uuid.UUID) -> TokenPair:
    """The next tokens of a session."""
    lifetimes: dict[str, Any] = settings.SIMPLE_JWT
    now = timezone.now()
    access = AccessToken()
    access["user_id"], access["ver"], access["fam"] = str(user.pk), user.token_version, str(family)
    word = secrets.token_urlsafe(32)
    RefreshToken.objects.create(
        pk=_token_id(word),
        family=family,
        user=user,
        expires_at=now + lifetimes["REFRESH_TOKEN_LIFETIME"],
    )
    return TokenPair(str(access), word, now + lifetimes["ACCESS_TOKEN_LIFETIME"], user)


def _token_id(token: str) -> uuid.UUID:
    """The stored form of a refresh token: half of its SHA-256, so the table holds no secrets."""
    return uuid.UUID(bytes=hashlib.sha256(token.encode()).digest()[:16])


def _username(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _USERNAME_MAX or not value.isprintable():
        raise InvalidInput.field("username", "must be 1 to 150 printable characters.")
    return value


def _email(value: Any) -> str:
    if not value:
        return ""
    try:
        validate_email(value)
    except (ValidationError, TypeError) as error:
        raise InvalidInput.field("email", "is not an e-mail address.") from error
    return str(value)


def _role(value: Any) -> Role:
    try:
        return Role(value)
    except ValueError as error:
        words = ", ".join(role.value for role in Role)
        raise InvalidInput.field("role", f"must be one of {words}.") from error


def _role_set(user: User, role: Role) -> None:
    user.is_superuser = user.is_staff = role is Role.ADMIN
    user.save(update_fields=["is_superuser", "is_staff"])
    default = Project.objects.get(is_default=True)
    Membership.objects.update_or_create(user=user, project=default, defaults={"role": role.value})


def _password_check(value: Any, user: User, field: str) -> None:
    if not isinstance(value, str):
        raise InvalidInput.field(field, "is required.")
    try:
        validate_password(value, user)
    except ValidationError as error:
        raise InvalidInput.field(field, " ".join(error.messages)) from error


def _admin_left_check() -> None:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        raise InvalidState("This would leave the site without an administrator.", state="last_admin")
