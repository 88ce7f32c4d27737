"""Certificates and keys as text: what is wrong with them, and what of them may be shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_MAX_CHARS = 256 * 1024


class PemProblem(ValueError):
    """What is wrong, as the end of a sentence that begins with the field's name."""


def authorities_check(text: str) -> str:
    """One or more CA certificates, none of them over. Raises ``PemProblem``."""
    for certificate in _certificates(text):
        _validity_check(certificate)
        if not _is_authority(certificate):
            raise PemProblem(
                f"“{_name(certificate)}” is not a certificate authority (its CA flag is not set). "
                "Give the certificate of the authority (ca.pem), not the one of the server or of the client."
            )
    return _normal(text)


def certificate_check(text: str) -> str:
    """A certificate to show, perhaps with its intermediates. Raises ``PemProblem``."""
    _validity_check(_certificates(text)[0])
    return _normal(text)


def key_check(text: str) -> str:
    """A private key without a passphrase. Raises ``PemProblem``."""
    _key(text)
    return _normal(text)


def pair_check(certificate: str, key: str) -> None:
    """The key belongs to the certificate. Raises ``PemProblem``."""
    if _plain(_certificates(certificate)[0].public_key()) != _plain(_key(key).public_key()):
        raise PemProblem(
            "does not belong to the certificate. Give the key that the certificate was made for."
        )


def ssh_key_check(text: str) -> str:
    """A private ssh key without a passphrase. Raises ``PemProblem``."""
    normal = _normal(text)
    if "BEGIN OPENSSH PRIVATE KEY" not in normal:
        return key_check(text)
    try:
        serialization.load_ssh_private_key(normal.encode(), None)
    except TypeError as error:
        raise PemProblem(_HAS_PASSPHRASE) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # Which of the two it is depends on whether the key's cipher is known.
        raise PemProblem(_NO_KEY) from error
    return normal


def certificate_facts(text: str) -> dict[str, Any]:
    """What may be shown of the first certificate: names, times, fingerprint."""
    certificate = _certificates(text)[0]
    return {
        "subject": _name(certificate),
        "issuer": certificate.issuer.rfc4514_string()[:200],
        "not_before": certificate.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "not_after": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        "days_left": (certificate.not_valid_after_utc - datetime.now(timezone.utc)).days,
        "fingerprint_sha256": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    }


def key_fingerprint(public_key: str) -> str:
    """``SHA256:…`` of ``ssh-ed25519 AAAA…``, as ssh itself shows it."""
    raw = base64.b64decode(public_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


_NO_KEY = "is not a private key. Paste it whole, with its BEGIN and END lines."
_HAS_PASSPHRASE = (
    "is protected by a passphrase, which nobody could enter here. Give a key without one; "  # nosec B105 # words about a passphrase
    "LibGo stores it encrypted."
)


def _certificates(text: str) -> Sequence[x509.Certificate]:
    normal = _normal(text)
    if "PRIVATE KEY" in normal and "BEGIN CERTIFICATE" not in normal:
        raise PemProblem("is a private key, not a certificate.")
    try:
        found = x509.load_pem_x509_certificates(normal.encode())
    except ValueError as error:
        raise PemProblem(
            "is not a certificate in PEM. Paste it whole, with its BEGIN and END lines."
        ) from error
    return found


def _validity_check(certificate: x509.Certificate) -> None:
    now = datetime.now(timezone.utc)
    if certificate.not_valid_after_utc < now:
        day = certificate.not_valid_after_utc.date().isoformat()
        raise PemProblem(f"has expired on {day} (“{_name(certificate)}”). Give one that is still valid.")
    if certificate.not_valid_before_utc > now:
        day = certificate.not_valid_before_utc.date().isoformat()
        raise PemProblem(f"is valid only from {day} on (“{_name(certificate)}”). Check the clocks.")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        # Certificates of the first version have no such flag.
        return certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject
    except ValueError as error:
        raise PemProblem("holds extensions that cannot be read.") from error


def _key(text: str) -> Any:
    normal = _normal(text)
    if "BEGIN CERTIFICATE" in normal and "PRIVATE KEY" not in normal:
        raise PemProblem("is a certificate, not a private key.")
    try:
        return serialization.load_pem_private_key(normal.encode(), None)
    except TypeError as error:
        raise PemProblem(_HAS_PASSPHRASE) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PemProblem(_NO_KEY) from error


def _plain(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:200] or "without a name"


def _normal(text: str) -> str:
    if len(text) > _MAX_CHARS:
        raise PemProblem("is too long.")
    return text.replace("\r\n", "\n").strip() + "\n"
