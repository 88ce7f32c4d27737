"""Certificates of a test's own, as a site that follows Docker's documentation would have them."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = (timedelta(minutes=-5), timedelta(hours=1))
OVER = (timedelta(days=-2), timedelta(days=-1))


class Authority:
    """Makes certificates into ``folder``: ``ca.pem``, ``<name>.pem``, ``<name>.key``."""

    def __init__(self, folder: Path, valid: tuple[timedelta, timedelta] = VALID) -> None:
        folder.mkdir()
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"LibGo test {folder.name}")])
        flag = x509.BasicConstraints(True, None)
        self.ca = self._write("ca.pem", self._sign(self._name, self._key, flag, valid))

    def issue(
        self, name: str, valid: tuple[timedelta, timedelta] = VALID, address: str = "127.0.0.1"
    ) -> tuple[str, str]:
        """Paths of a certificate for ``address`` and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = self._write(f"{name}.pem", self._sign(subject, key, alternative, valid))
        path = self.folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, str(path)

    def texts(self, name: str, **more: Any) -> dict[str, str]:
        """``ca``, ``cert`` and ``key`` as the API takes them."""
        certificate, key = self.issue(name, **more)
        return {
            "ca": Path(self.ca).read_text(),
            "cert": Path(certificate).read_text(),
            "key": Path(key).read_text(),
        }

    def _sign(
        self, subject: x509.Name, key: Any, extension: x509.ExtensionType, valid: tuple[timedelta, timedelta]
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + valid[0])
            .not_valid_after(now + valid[1])
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)
