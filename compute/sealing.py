"""Secrets at rest: sealed in the database, with a key that is not in it.

The key comes from ``LIBGO_SECRET_KEY`` (or the file that holds it under ``var/``); each use has a key
of its own by HKDF (RFC 5869). A seal is a Fernet token: AES-128-CBC with HMAC-SHA256, so what was
tampered with, or sealed with another key, does not open.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from compute.errors import BackendUnavailable

_PURPOSE = b"libgo sealed values v1"
_BACKUPS = b"libgo backups v1"
_AUDIT = b"libgo audit cuts v1"


class SealedOtherwise(BackendUnavailable):
    """Something was sealed with a ``LIBGO_SECRET_KEY`` that this site no longer has."""


def seal(value: Any) -> str:
    """A JSON value as text that only this site can open."""
    return _keys().encrypt(orjson.dumps(value)).decode()


def unseal(text: str) -> Any:
    """What was sealed; None for the empty text. Raises ``SealedOtherwise`` when the key does not fit."""
    if not text:
        return None
    try:
        return orjson.loads(_keys().decrypt(text.encode()))
    except InvalidToken as error:
        raise SealedOtherwise(
            "A stored credential cannot be opened: it was sealed with another LIBGO_SECRET_KEY. Set that "
            "key again, or enter the credential anew."
        ) from error


def backup_keys() -> list[bytes]:
    """32 bytes each, for what is kept outside the database; the first seals, all of them open."""
    return _derived(_BACKUPS)


def audit_keys() -> list[bytes]:
    """32 bytes each, to sign what is cut off the audit; the first signs, all of them verify."""
    return _derived(_AUDIT)


def _derived(purpose: bytes) -> list[bytes]:
    given = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [HKDF(SHA256(), 32, salt=None, info=purpose).derive(str(text).encode()) for text in given]


@lru_cache(maxsize=1)
def _keys() -> MultiFernet:
    """The first key seals; the older ones of ``SECRET_KEY_FALLBACKS`` still open."""
    return MultiFernet([_key(str(text)) for text in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str) -> Fernet:
    derived = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
