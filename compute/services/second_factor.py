"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for the day it is
lost. A code is taken once, and so many tries a while are all one has."""

from __future__ import annotations

import hashlib
import hmac
import io
import time
import uuid
from typing import Any

import pyotp
import segno
from django.db import transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit
from compute.errors import InvalidInput, InvalidState, RateLimited, Unauthenticated
from compute.live import rate_limit_clear, rate_limit_hit
from compute.models import RecoveryCode, SecondFactor, User
from compute.sealing import seal, unseal
from compute.selectors.access import action_require, person_require, second_factor_missing
from compute.services.accounts import user_get
from compute.services.sign_ins import Visitor

CODE_TRIES, CODE_WINDOW_S = 8, 300
_RECOVERY_CODES = 10
_STEP_S = 30
_TOTP, _PROVIDER = "totp", "provider"


def factor_status(actor: Actor) -> dict[str, Any]:
    """``method`` is empty, totp or provider; ``is_missing``: the site asks for one."""
    user = user_get(actor, actor.user_id)
    left = RecoveryCode.objects.filter(user=user, used_at=None).count() if user.second_factor else 0
    return {
        "is_enabled": bool(user.second_factor),
        "method": user.second_factor,
        "recovery_codes_left": left,
        "is_missing": second_factor_missing(user),
    }


def factor_begin(actor: Actor, password: str) -> dict[str, str]:
    """A new secret, which counts once a code of it was entered. The password shows that it is not
    somebody at an unlocked screen. Raises ``InvalidInput``, ``InvalidState``."""
    person_require(actor)
    user = user_get(actor, actor.user_id)
    _not_yet(user)
    _tries_count(user)
    if user.has_usable_password() and not user.check_password(password):
        raise InvalidInput.field("password", "is wrong.")
    secret = pyotp.random_base32()
    sealed = {"secret": seal(secret), "confirmed_at": None, "last_step": 0}
    SecondFactor.objects.update_or_create(user=user, defaults=sealed)
    rate_limit_clear(_tries_key(user))
    return {"secret": secret, "uri": _uri(user, secret)}


def factor_pending(actor: Actor) -> dict[str, str] | None:
    """The secret that waits for its first code; None if none does."""
    row = SecondFactor.objects.filter(user_id=actor.user_id, confirmed_at=None).select_related("user").first()
    if row is None or actor.credential.token_id is not None:
        return None
    secret = unseal(row.secret)
    return {"secret": secret, "uri": _uri(row.user, secret)}


def factor_picture(actor: Actor) -> bytes | None:
    """The pending secret as a QR code, SVG."""
    pending = factor_pending(actor)
    if pending is None:
        return None
    out = io.BytesIO()
    segno.make(pending["uri"], error="m").save(out, kind="svg", scale=5, border=3, light="#fff", dark="#000")
    return out.getvalue()


def factor_confirm(actor: Actor, code: str) -> list[str]:
    """Switch it on; the recovery codes, which cannot be read again. Raises ``InvalidInput``."""
    person_require(actor)
    user = user_get(actor, actor.user_id)
    _not_yet(user)
    _tries_count(user)
    with transaction.atomic():
        row = SecondFactor.objects.select_for_update(no_key=True).filter(user=user, confirmed_at=None).first()
        if row is None:
            raise InvalidState("Begin with a new secret first.", state="none")
        if not _totp_spend(row, code):
            raise InvalidInput.field("code", "is not the one that the app shows now.")
        SecondFactor.objects.filter(pk=row.pk).update(confirmed_at=timezone.now())
        User.objects.filter(pk=user.pk).update(second_factor=_TOTP)
        codes = _recovery_make(user)
        audit(actor, "profile.second_factor_on", user.get_username(), target_uid=user.pk)
    rate_limit_clear(_tries_key(user))
    return codes


def factor_disable(actor: Actor, code: str) -> None:
    """Switch it off with one more of its codes. Raises ``InvalidInput``, ``RateLimited``."""
    user = _own_with_code(actor, code)
    with transaction.atomic():
        _forget(user)
        audit(actor, "profile.second_factor_off", user.get_username(), target_uid=user.pk)


def recovery_renew(actor: Actor, code: str) -> list[str]:
    """New recovery codes; the old ones are void. Raises ``InvalidInput``, ``RateLimited``."""
    user = _own_with_code(actor, code)
    with transaction.atomic():
        codes = _recovery_make(user)
        audit(actor, "profile.recovery_codes", user.get_username(), target_uid=user.pk)
    return codes


def factor_reset(actor: Actor, user_id: uuid.UUID | str) -> None:
    """An administrator takes away the factor that somebody lost. Raises ``NotFound``, ``InvalidState``."""
    action_require(actor, "user.update")
    person_require(actor)
    with transaction.atomic():
        user = user_get(actor, user_id)
        if user.pk == actor.user_id:
            raise InvalidState("Switch your own off in your profile, with a code.", state="own")
        if user.second_factor != _TOTP:
            raise InvalidState("This account has no second factor here.", state="none")
        _forget(user)
        audit(actor, "user.second_factor_reset", user.get_username(), target_uid=user.pk)


def factor_check(user: User, code: str, visitor: Visitor) -> str:
    """Spend one code at a sign-in: "totp" or "recovery". Raises ``Unauthenticated``, ``RateLimited``."""
    _tries_count(user)
    method = _spend(user, code)
    if not method:
        audit(visitor.known(user), "auth.login", result="refused", details={"method": "second factor"})
        raise Unauthenticated("The code is wrong or was used before.", second_factor=True)
    rate_limit_clear(_tries_key(user))
    return method


def _own_with_code(actor: Actor, code: str) -> User:
    person_require(actor)
    user = user_get(actor, actor.user_id)
    if user.second_factor != _TOTP:
        raise InvalidState("You have no second factor here.", state="none")
    _tries_count(user)
    if not _spend(user, code):
        raise InvalidInput.field("code", "is wrong or was used before.")
    rate_limit_clear(_tries_key(user))
    return user


def _spend(user: User, code: str) -> str:
    row = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    if row is None:
        return ""
    if _totp_spend(row, code):
        return "totp"
    unused = RecoveryCode.objects.filter(user=user, digest=_digest(code), used_at=None)
    return "recovery" if unused.update(used_at=timezone.now()) else ""


def _totp_spend(row: SecondFactor, code: str) -> bool:
    """The code of this half-minute, the one before or the one after, if none so late was taken yet."""
    totp, now = pyotp.TOTP(unseal(row.secret)), int(time.time()) // _STEP_S
    typed = "".join(code.split())
    fitting = [
        step
        for step in (now - 1, now, now + 1)
        if hmac.compare_digest(totp.generate_otp(step).encode(), typed.encode())
    ]
    return any(
        SecondFactor.objects.filter(pk=row.pk, last_step__lt=step).update(last_step=step) for step in fitting
    )


def _recovery_make(user: User) -> list[str]:
    codes = [pyotp.random_base32(32)[:16] for _ in range(_RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]


def _digest(code: str) -> str:
    plain = "".join(letter for letter in code.upper() if letter.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _forget(user: User) -> None:
    SecondFactor.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    User.objects.filter(pk=user.pk).update(second_factor="")


def _not_yet(user: User) -> None:
    if user.second_factor == _PROVIDER:
        raise InvalidState("Your sign-in provider sees to the second factor.", state="provider")
    if user.second_factor:
        raise InvalidState("You have a second factor already; switch it off first.", state="on")


def _tries_key(user: User) -> str:
    return f"second:{user.pk}"


def _tries_count(user: User) -> None:
    wait_s = rate_limit_hit(_tries_key(user), CODE_TRIES, CODE_WINDOW_S)
    if wait_s:
        raise RateLimited(
            f"Too many tries with the second factor. Wait {wait_s} seconds.", retry_after=wait_s
        )


def _uri(user: User, secret: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=user.get_username(), issuer_name="LibGo")
