"""The sessions of an account: begun by a sign-in, listed in the profile, ended one by one or together."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from compute.actor import Actor, Credential
from compute.audit import audit
from compute.errors import NotFound, Unauthenticated
from compute.events import rights_changed
from compute.models import AuditEvent, RefreshToken, SignIn, User
from compute.selectors.access import actor_for, person_require
from compute.selectors.page import time_text
from compute.services.tokens import token_again, tokens_end

_RECENT, _RECENT_DAYS = 20, 30


@dataclass(frozen=True)
class Visitor:
    """Who knocks, as far as the request tells."""

    remote_address: str = ""
    user_agent: str = ""
    request_id: str = ""

    def called(self, username: str) -> Actor:
        """Nobody yet, under the name that was given."""
        nobody = Actor(None, username[:150], remote_address=self.remote_address)
        return replace(nobody, user_agent=self.user_agent, request_id=self.request_id)

    def known(self, user: User) -> Actor:
        """Whose account it turned out to be."""
        return actor_for(
            user,
            remote_address=self.remote_address,
            user_agent=self.user_agent,
            request_id=self.request_id,
        )


@dataclass(frozen=True)
class Began:
    """How a session began: ``kind`` page or api; ``method`` password, ldap, oidc, with ``+totp`` or
    ``+recovery`` behind it."""

    kind: str
    method: str
    expires_at: datetime
    session_key: str = ""


def sign_in_begin(user: User, began: Began, visitor: Visitor) -> SignIn:
    """Record a session, and that somebody came in."""
    now = timezone.now()
    row = SignIn.objects.create(
        user=user,
        kind=began.kind,
        method=began.method,
        session_key=began.session_key,
        remote_address=visitor.remote_address[:64],
        user_agent=visitor.user_agent[:200],
        last_used_at=now,
        expires_at=began.expires_at,
    )
    User.objects.filter(pk=user.pk).update(last_login=now)
    actor = replace(visitor.known(user), via=began.method[:16])
    audit(actor, "auth.login", target_uid=row.pk, details={"method": began.method, "kind": began.kind})
    return row


def sign_ins_list(actor: Actor) -> list[dict[str, Any]]:
    """One's sessions that hold, the last used first."""
    rows = SignIn.objects.filter(user_id=actor.user_id, ended_at=None, expires_at__gt=timezone.now())
    return [_shape(row, actor.credential) for row in rows]


def sign_ins_recent(actor: Actor) -> list[dict[str, Any]]:
    """The last sign-ins of one's account within ``_RECENT_DAYS``, the refused ones too."""
    since = timezone.now() - timedelta(days=_RECENT_DAYS)
    rows = AuditEvent.objects.filter(action="auth.login", timestamp__gt=since)
    rows = rows.filter(Q(user_uid=actor.user_id) | Q(user_uid=None, username=actor.username))
    return [
        {
            "at": time_text(row.timestamp),
            "result": row.result,
            "remote_address": row.remote_address,
            "method": str(row.details.get("method", "")),
            "kind": str(row.details.get("kind", "")),
        }
        for row in rows.order_by("-timestamp")[:_RECENT]
    ]


def sign_in_end(actor: Actor, sign_in_id: uuid.UUID | str) -> None:
    """End one of one's own sessions; its sockets close within seconds. Raises ``NotFound``."""
    person_require(actor)
    try:
        row = SignIn.objects.filter(
            pk=uuid.UUID(str(sign_in_id)), user_id=actor.user_id, ended_at=None
        ).first()
    except ValueError:
        row = None
    if row is None:
        raise NotFound("You have no such session.")
    with transaction.atomic():
        _end([row])
        audit(actor, "auth.session_end", target_uid=row.pk)


def session_ended(session_key: str) -> None:
    """The person logged out of the pages. Nobody's session has no key, and sessions of the API have none."""
    if session_key:
        rows = SignIn.objects.filter(session_key=session_key, ended_at=None)
        user_id = rows.values_list("user_id", flat=True).first()
        rows.update(ended_at=timezone.now())
        rights_changed(user_id)


def session_renamed(before: str, after: str) -> None:
    """Django gave the session another key."""
    if before and after:
        SignIn.objects.filter(session_key=before, ended_at=None).update(session_key=after)


def family_ended(family: uuid.UUID) -> None:
    """A family of refresh tokens was revoked."""
    rows = SignIn.objects.filter(pk=family, ended_at=None)
    user_id = rows.values_list("user_id", flat=True).first()
    rows.update(ended_at=timezone.now())
    rights_changed(user_id)


def account_lock_out(user: User, *, keep: Credential | None = None) -> None:
    """End every session and token of the account, but the session of the pages in ``keep``."""
    rows = SignIn.objects.filter(user=user, ended_at=None)
    kept = keep.session_key if keep else ""
    if kept:
        rows = rows.exclude(session_key=kept)
    _end(list(rows))
    RefreshToken.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
    tokens_end(user)
    rights_changed(user.pk)


def sessions_end(user_id: Any) -> None:
    """End every session of the account; its tokens stay."""
    _end(list(SignIn.objects.filter(user_id=user_id, ended_at=None)))
    RefreshToken.objects.filter(user_id=user_id, revoked_at=None).update(revoked_at=timezone.now())
    rights_changed(user_id)


def actor_again(actor: Actor) -> Actor:
    """The same person with the rights of now, for what stays open. Raises ``Unauthenticated`` when the
    account or the credential it was opened with is over."""
    user = User.objects.filter(pk=actor.user_id, is_active=True).first()
    if user is None:
        raise Unauthenticated("The account is switched off.")
    credential, now = actor.credential, timezone.now()
    if credential.token_id is not None:
        credential = token_again(credential.token_id)
    if credential.family is not None:
        if RefreshToken.objects.filter(family=credential.family, revoked_at__isnull=False).exists():
            raise Unauthenticated("The session was ended.")
    if credential.session_key:
        if not Session.objects.filter(session_key=credential.session_key, expire_date__gt=now).exists():
            raise Unauthenticated("The session was ended.")
    return actor_for(
        user,
        remote_address=actor.remote_address,
        request_id=actor.request_id,
        credential=credential,
        user_agent=actor.user_agent,
    )


def _end(rows: list[SignIn]) -> None:
    now = timezone.now()
    ids = [row.pk for row in rows]
    SignIn.objects.filter(pk__in=ids).update(ended_at=now)
    RefreshToken.objects.filter(family__in=ids, revoked_at=None).update(revoked_at=now)
    rights_changed(*{row.user_id for row in rows})
    Session.objects.filter(session_key__in=[row.session_key for row in rows if row.session_key]).delete()


def _shape(row: SignIn, credential: Credential) -> dict[str, Any]:
    is_current = row.pk == credential.family or bool(
        row.session_key and row.session_key == credential.session_key
    )
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "method": row.method,
        "remote_address": row.remote_address,
        "user_agent": row.user_agent,
        "created_at": time_text(row.created_at),
        "last_used_at": time_text(row.last_used_at),
        "expires_at": time_text(row.expires_at),
        "is_current": is_current,
    }
