"""Objects closed and opened as streams.

Backups hold what instances hold, secrets too, and lie where others administer. So each object is sealed
with AES-256-GCM in pieces of 1 MiB, each with a nonce of its own number; the last one is marked, and the
name of the object is bound to each: a flipped byte, a piece left out, two exchanged, an end cut off, or
one object in another's place does not open. (The STREAM construction: https://eprint.iacr.org/2015/189)

Layout: magic (8), key id (8), salt (16); then pieces of 1 MiB + 16 bytes of tag, the last one shorter.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from compute.backupstore.store import pieces
from compute.errors import BackupDamaged
from compute.sealing import SealedOtherwise

_MAGIC = b"LIBGOBK1"
_ID_BYTES, _SALT_BYTES, _TAG_BYTES = 8, 16, 16
_HEAD_BYTES = len(_MAGIC) + _ID_BYTES + _SALT_BYTES
_PIECE_BYTES = 1024 * 1024


def sealed(chunks: Iterable[bytes], key: bytes, name: str) -> Iterator[bytes]:
    """``key``: 32 bytes of the site. ``name``: where it will lie; it opens only as this."""
    salt = os.urandom(_SALT_BYTES)
    cipher, bound = AESGCM(_derived(key, salt)), name.encode()
    yield _MAGIC + _key_id(key) + salt
    number, held = 0, None
    for piece in pieces(chunks, _PIECE_BYTES):
        if held is not None:
            yield cipher.encrypt(_nonce(number, last=False), held, bound)
            number += 1
        held = piece
    yield cipher.encrypt(_nonce(number, last=True), held or b"", bound)


def opened(chunks: Iterable[bytes], keys: Sequence[bytes], name: str) -> Iterator[bytes]:
    """What was sealed. Raises ``BackupDamaged`` at the first piece that is not as it was, and
    ``SealedOtherwise`` when none of ``keys`` is the one it was sealed with."""
    source = _cut(chunks)
    head = next(source, b"")
    if len(head) != _HEAD_BYTES or not head.startswith(_MAGIC):
        raise _damaged(name)
    key_id, salt = head[len(_MAGIC) : len(_MAGIC) + _ID_BYTES], head[-_SALT_BYTES:]
    key = next((key for key in keys if _key_id(key) == key_id), None)
    if key is None:
        raise SealedOtherwise(
            "This backup was sealed with another LIBGO_SECRET_KEY. Set that key again, or list it among the "
            "older ones."
        )
    cipher, bound, number, held = AESGCM(_derived(key, salt)), name.encode(), 0, None
    for piece in source:
        if held is not None:
            yield _open(cipher, _nonce(number, last=False), held, bound)
            number += 1
        held = piece
    yield _open(cipher, _nonce(number, last=True), held or b"", bound)


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The head, then whole pieces with their tags."""
    held, size = bytearray(), _HEAD_BYTES
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
            size = _PIECE_BYTES + _TAG_BYTES
    if held:
        yield bytes(held)


def _open(cipher: AESGCM, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, data, bound)
    except (InvalidTag, ValueError) as error:
        raise _damaged(bound.decode()) from error


def _damaged(name: str) -> BackupDamaged:
    return BackupDamaged(
        f"The part “{name.rpartition('/')[2]}” of this backup is damaged or was tampered with. Take another "
        "backup."
    )


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _derived(key: bytes, salt: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=salt, info=b"libgo backup object v1").derive(key)


def _key_id(key: bytes) -> bytes:
    return HKDF(SHA256(), _ID_BYTES, salt=None, info=b"libgo backup key id v1").derive(key)
