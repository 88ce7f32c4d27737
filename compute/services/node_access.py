"""What a request says of the way to an engine, turned into options to store and secrets to seal."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from compute.backends.types import NodeAccess
from compute.certificates import (
    PemProblem,
    authorities_check,
    certificate_check,
    key_check,
    pair_check,
    ssh_key_check,
)
from compute.errors import InvalidInput

ACCESS_FIELDS = ("url", "tls", "ssh", "insecure")
_TLS_TEXTS: dict[str, Callable[[str], str]] = {
    "ca": authorities_check,
    "cert": certificate_check,
    "key": key_check,
}
_TLS_PATHS = ("ca_path", "cert_path", "key_path")
_SSH = ("user", "port", "key", "key_path", "host_key", "known_hosts")
_HOST_KEY = re.compile(r"((?:ssh|ecdsa)-[a-z0-9-]{3,40}) ([A-Za-z0-9+/=]{40,4000})(?: .*)?")
_KNOWN_HOST = re.compile(r"(?:@[a-z-]+ )?\S+ (?:ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+(?: .*)?")
_PATH_MAX = 4000


def access_merged(before: NodeAccess, given: Mapping[str, Any]) -> NodeAccess:
    """``before`` with the ``url``, ``tls``, ``ssh`` and ``insecure`` of a body; null takes away what was
    there. Another scheme in the address drops the credentials of the old way. Raises ``InvalidInput``
    keyed by the field, for instance ``tls.key``."""
    url = str(given.get("url") or before.url).strip()
    options, secrets = dict(before.options), dict(before.secrets)
    if _scheme(url) != _scheme(before.url):
        _drop(options, secrets, "tls", "ssh")
        options.pop("insecure", None)
    if "tls" in given:
        _tls_merge(options, secrets, given["tls"])
    if "ssh" in given:
        url = _ssh_merge(url, options, secrets, given["ssh"])
    if "insecure" in given:
        options["insecure"] = bool(given["insecure"])
    return NodeAccess(url, options, secrets)


def _tls_merge(options: dict[str, Any], secrets: dict[str, str], given: Any) -> None:
    if given is None:
        _drop(options, secrets, "tls")
        return
    accepted = ("verify", *_TLS_TEXTS, *_TLS_PATHS)
    _known("tls", given, accepted)
    options["tls"] = True
    if given.get("verify") is not None:
        if not isinstance(given["verify"], bool):
            raise InvalidInput.field("tls.verify", "must be true or false.")
        options["tls_verify"] = given["verify"]
    options.setdefault("tls_verify", True)
    for name, check in _TLS_TEXTS.items():
        if name in given:
            options.pop(f"tls_{name}_path", None)
            _secret(secrets, f"tls_{name}", f"tls.{name}", given[name], check)
    for name in _TLS_PATHS:
        if name in given:
            secrets.pop(f"tls_{name.removesuffix('_path')}", None)
            _path(options, f"tls_{name}", f"tls.{name}", given[name])
    _pair(options, secrets)


def _pair(options: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
    """A certificate and its key come together, and the same way."""
    for cert, key, suffix in (("tls_cert", "tls_key", ""), ("tls_cert_path", "tls_key_path", "_path")):
        has_cert, has_key = cert in secrets or cert in options, key in secrets or key in options
        if has_cert and not has_key:
            raise InvalidInput.field(
                f"tls.key{suffix}", "is missing: the certificate is of no use without it."
            )
        if has_key and not has_cert:
            raise InvalidInput.field(f"tls.cert{suffix}", "is missing: the key is of no use without it.")
    if "tls_cert" in secrets:
        try:
            pair_check(secrets["tls_cert"], secrets["tls_key"])
        except PemProblem as problem:
            raise InvalidInput.field("tls.key", str(problem)) from problem


def _ssh_merge(url: str, options: dict[str, Any], secrets: dict[str, str], given: Any) -> str:
    if given is None:
        _drop(options, secrets, "ssh")
        return url
    _known("ssh", given, _SSH)
    if "key" in given:
        options.pop("ssh_key_path", None)
        _secret(secrets, "ssh_key", "ssh.key", given["key"], ssh_key_check)
    if "key_path" in given:
        secrets.pop("ssh_key", None)
        _path(options, "ssh_key_path", "ssh.key_path", given["key_path"])
    for name, other, check in (
        ("host_key", "known_hosts", host_key_check),
        ("known_hosts", "host_key", _known_hosts_check),
    ):
        if name in given:
            options.pop(f"ssh_{name}", None)
            text = _text(f"ssh.{name}", given[name])
            if text:
                options.pop(f"ssh_{other}", None)
                options[f"ssh_{name}"] = check(text)
    return _with_login(url, given.get("user"), given.get("port"))


def host_key_check(text: str) -> str:
    """``type base64`` of a public host key. Raises ``InvalidInput``."""
    found = _HOST_KEY.fullmatch(text.strip())
    if found:
        try:
            raw = base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raw = b""
        # A key begins with its own type, told by its length (RFC 4253, 6.6).
        if raw[4 : 4 + len(found[1])] == found[1].encode():
            return f"{found[1]} {found[2]}"
    raise InvalidInput.field(
        "ssh.host_key", "is not a public host key; it looks like “ssh-ed25519 AAAA…” (ssh-keyscan shows it)."
    )


def _known_hosts_check(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not lines or not all(_KNOWN_HOST.fullmatch(line) for line in lines):
        raise InvalidInput.field("ssh.known_hosts", "needs lines as in ~/.ssh/known_hosts: host, type, key.")
    return "\n".join(lines)


def _with_login(url: str, user: Any, port: Any) -> str:
    """The address with another user or port in it; "" and null leave it alone."""
    try:
        parts = urlsplit(url)
        own_port = parts.port
    except ValueError as error:
        raise InvalidInput.field("url", "cannot be read as an address.") from error
    if user not in (None, "") and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]{0,63}", str(user)):
        raise InvalidInput.field("ssh.user", "is not a user name.")
    if port not in (None, "") and (
        isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536
    ):
        raise InvalidInput.field("ssh.port", "must be a number from 1 to 65535.")
    login, number = user or parts.username, port or own_port
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    netloc = f"{login}@{host}" if login else host
    return urlunsplit(parts._replace(netloc=f"{netloc}:{number}" if number else netloc))


def _secret(secrets: dict[str, str], key: str, field: str, value: Any, check: Callable[[str], str]) -> None:
    secrets.pop(key, None)
    text = _text(field, value)
    if text:
        try:
            secrets[key] = check(text)
        except PemProblem as problem:
            raise InvalidInput.field(field, str(problem)) from problem


def _path(options: dict[str, Any], key: str, field: str, value: Any) -> None:
    options.pop(key, None)
    text = _text(field, value)
    if text:
        if not text.startswith("/") or len(text) > _PATH_MAX or "\x00" in text:
            raise InvalidInput.field(field, "must be the absolute path of a file on LibGo's own server.")
        options[key] = text


def _text(field: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput.field(field, "must be text.")
    return value.strip()


def _known(part: str, given: Any, accepted: tuple[str, ...]) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput.field(part, "must be an object.")
    for key in given:
        if key not in accepted:
            raise InvalidInput.field(f"{part}.{str(key)[:50]}", f"is not one of {', '.join(accepted)}.")


def _drop(options: dict[str, Any], secrets: dict[str, str], *parts: str) -> None:
    for held in (options, secrets):
        for key in [key for key in held if key.partition("_")[0] in parts]:
            del held[key]


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()
