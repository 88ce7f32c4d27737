"""Personal tokens of the API: long-lived words that let a program do a part of what its maker may.

The text is ``libgo_<prefix>_<secret>``: the prefix finds the row and tells people which one it is, the
secret (256 random bits) is kept as its SHA-256 only, which needs no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from compute.actor import Actor, Credential, Scope
from compute.audit import audit
from compute.directories.ldap import PROVIDER as LDAP
from compute.errors import InvalidInput, InvalidState, NameConflict, NotFound, Unauthenticated
from compute.events import rights_changed
from compute.models import ApiToken, DirectoryIdentity, Project, User
from compute.selectors.access import person_require, visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import time_text
from compute.states import TOKEN_SCOPES, Permission

TOKENS_MAX = 50
_WORD = "libgo"
# Writing the last use at every request would make of each read a write.
_USE_WRITTEN_EVERY = timedelta(seconds=60)


def tokens_list(actor: Actor) -> list[dict[str, Any]]:
    """One's own, the newest first; never their secrets."""
    rows = list(ApiToken.objects.filter(user_id=actor.user_id))
    wanted = {uid for row in rows for uid in row.project_uids or ()}
    names = {str(row.pk): row.name for row in Project.objects.filter(pk__in=wanted)} if wanted else {}
    return [token_dict(row, names) for row in rows]


def token_dict(row: ApiToken, names: Mapping[str, str]) -> dict[str, Any]:
    """The public shape; ``names`` of projects by their ids."""
    uids = row.project_uids
    projects = None if uids is None else [{"id": uid, "name": names.get(uid, "")} for uid in uids]
    return {
        "id": str(row.pk),
        "name": row.name,
        "prefix": f"{_WORD}_{row.prefix}",
        "scopes": row.scopes,
        "projects": projects,
        "created_at": time_text(row.created_at),
        "expires_at": time_text(row.expires_at) if row.expires_at else None,
        "is_expired": row.expires_at is not None and row.expires_at <= timezone.now(),
        "last_used_at": time_text(row.last_used_at) if row.last_used_at else None,
        "last_address": row.last_address,
    }


def token_create(actor: Actor, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """``name, scopes, projects?, expires_at?``. The shape, and the token itself, which cannot be read
    again. Raises ``PermissionDenied`` for a token, ``InvalidInput``, ``NameConflict``."""
    person_require(actor)
    assert actor.user_id is not None
    scopes = _scopes(given.get("scopes"))
    projects = _projects(actor, given.get("projects"))
    expires_at = _expiry(given.get("expires_at"))
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiToken(
        user_id=actor.user_id,
        name=_name(given.get("name")),
        prefix=prefix,
        digest=_digest(secret),
        scopes=scopes,
        project_uids=None if projects is None else [str(project.pk) for project in projects],
        expires_at=expires_at,
    )
    try:
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=actor.user_id)
            if ApiToken.objects.filter(user_id=actor.user_id).count() >= TOKENS_MAX:
                raise InvalidState(
                    f"You have {TOKENS_MAX} tokens, which is the most. Revoke one.", state="full"
                )
            row.save(force_insert=True)
            details = {"scopes": scopes, "projects": row.project_uids, "token": f"{_WORD}_{prefix}"}
            audit(actor, "profile.token_create", row.name, target_uid=row.pk, details=details)
    except IntegrityError as error:
        raise NameConflict(f"You have a token “{row.name}” already.") from error
    names = {str(project.pk): project.name for project in projects or ()}
    return token_dict(row, names), f"{_WORD}_{prefix}_{secret}"


def token_revoke(actor: Actor, token_id: uuid.UUID | str) -> None:
    """It stops working at once. A token may revoke itself, and no other. Raises ``NotFound``."""
    try:
        wanted = uuid.UUID(str(token_id))
    except ValueError as error:
        raise NotFound("You have no such token.") from error
    if actor.credential.token_id != wanted:
        person_require(actor)
    with transaction.atomic():
        row = ApiToken.objects.filter(pk=wanted, user_id=actor.user_id).first()
        if row is None:
            raise NotFound("You have no such token.")
        audit(actor, "profile.token_revoke", row.name, target_uid=row.pk)
        row.delete()
        rights_changed(actor.user_id)


def tokens_end(user: User) -> int:
    """All of an account, when its password is changed or it is switched off; how many there were."""
    return ApiToken.objects.filter(user=user).delete()[0]


def token_open(text: str, remote_address: str) -> tuple[User, Credential]:
    """Whose token this is and what it may. Raises ``Unauthenticated``."""
    word, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    rows = ApiToken.objects.filter(prefix=prefix[:16], user__is_active=True)
    rows = rows.select_related("user", "user__directory")
    row = rows.first() if word == _WORD and prefix else None
    # Compared also when there is none, so that the time tells nothing about prefixes.
    fits = hmac.compare_digest(row.digest if row else _digest(""), _digest(secret))
    if row is None or not fits:
        raise Unauthenticated("The token is unknown or was revoked.")
    if row.expires_at and row.expires_at <= timezone.now():
        raise Unauthenticated("The token has expired. Make a new one in your profile.")
    identity = getattr(row.user, "directory", None)
    if identity is not None and identity.provider != LDAP and identity.seen_at <= _seen_since():
        raise Unauthenticated(
            "Its owner did not sign in to the pages for long, so this token rests. Sign in once and it "
            "works again."
        )
    _used(row, remote_address)
    return row.user, _credential(row)


def token_again(token_id: uuid.UUID) -> Credential:
    """What it may now; asked by what stays open. Raises ``Unauthenticated``."""
    row = tokens_alive().filter(pk=token_id).first()
    if row is None:
        raise Unauthenticated("The token was revoked or has expired.")
    return _credential(row)


def token_within(token_id: uuid.UUID | None, scope: Scope) -> Credential:
    """What work that was asked for earlier, with this ``scope``, may do by that token now: what both let
    through. Raises ``Unauthenticated``, also when nobody knows which token it was."""
    if token_id is None:
        raise Unauthenticated("The token it was asked for with is not known.")
    now = token_again(token_id).scope
    assert now is not None
    sets = [each.project_ids for each in (scope, now) if each.project_ids is not None]
    projects = frozenset.intersection(*sets) if sets else None
    return Credential(token_id=token_id, scope=Scope(scope.permissions & now.permissions, projects))


def tokens_alive() -> QuerySet[ApiToken]:
    """Those that work now, whoever's: not expired, and not resting, because a provider's person who did not
    sign in for long may have left there meanwhile. (The people of LDAP are looked up.)"""
    unseen = DirectoryIdentity.objects.filter(user=OuterRef("user_id"), seen_at__lte=_seen_since())
    rows = ApiToken.objects.filter(~Exists(unseen.exclude(provider=LDAP)))
    return rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


def _seen_since() -> datetime:
    return timezone.now() - timedelta(seconds=settings.LIBGO["oidc"]["tokens_rest_after_s"])


def _credential(row: ApiToken) -> Credential:
    permissions: frozenset[Permission] = frozenset()
    for word in row.scopes:
        permissions |= TOKEN_SCOPES.get(word, frozenset())
    uids = row.project_uids
    chosen = None if uids is None else frozenset(uuid.UUID(uid) for uid in uids)
    return Credential(token_id=row.pk, scope=Scope(permissions, chosen))


def _used(row: ApiToken, remote_address: str) -> None:
    now = timezone.now()
    if row.last_used_at is None or row.last_used_at < now - _USE_WRITTEN_EVERY:
        unwritten = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_WRITTEN_EVERY)
        rows = ApiToken.objects.filter(unwritten, pk=row.pk)
        rows.update(last_used_at=now, last_address=remote_address[:64])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _name(value: Any) -> str:
    text = str(value or "").strip()
    if not 0 < len(text) <= 63 or not text.isprintable():
        raise InvalidInput.field("name", "must be 1 to 63 printable characters.")
    return text


def _scopes(value: Iterable[str] | None) -> list[str]:
    words = list(dict.fromkeys(value or ()))
    if not words or any(word not in TOKEN_SCOPES for word in words):
        raise InvalidInput.field("scopes", f"must be one or more of {', '.join(TOKEN_SCOPES)}.")
    return words


def _projects(actor: Actor, value: Iterable[str] | None) -> list[Project] | None:
    if value is None:
        return None
    found = []
    for word in dict.fromkeys(value):
        project = visible(actor, Project.objects.all(), "pk").filter(by_id_or_name(word)).first()
        if project is None:
            raise InvalidInput.field("projects", f"there is no project “{word[:63]}” of yours.")
        found.append(project)
    if not found:
        raise InvalidInput.field("projects", "name at least one, or leave it out for all.")
    return found


def _expiry(value: datetime | None) -> datetime | None:
    """Without one it is the longest that the site allows."""
    most, now = settings.LIBGO["access"]["token_max_days"], timezone.now()
    latest = now + timedelta(days=most) if most else None
    if value is None:
        return latest
    if value <= now:
        raise InvalidInput.field("expires_at", "must be in the future.")
    if latest is not None and value > latest:
        raise InvalidInput.field("expires_at", f"may be at most {most} days from now.")
    return value
