"""Which addresses of an engine are taken, and on what terms."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from compute.backends.types import NodeAccess
from compute.errors import InvalidInput, PolicyDenied
from dockerapp.engine.ssh import ssh_target
from dockerapp.engine.tls import tls_used

_SOCKET_PATH_MAX = 107
_TLS_PORT, _PLAIN_PORT = 2376, 2375


def address_check(access: NodeAccess) -> NodeAccess:
    """The same access with its address in one form. Raises ``InvalidInput`` and ``PolicyDenied``."""
    if any(ord(character) < 33 or ord(character) == 127 for character in access.url):
        raise InvalidInput.field("url", "holds spaces or control characters.")
    try:
        parts = urlsplit(access.url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput.field("url", "cannot be read as an address.") from error
    if parts.query or parts.fragment or parts.password:
        raise InvalidInput.field("url", "takes no password, query or fragment.")
    if parts.scheme == "unix":
        return _socket(access, parts)
    if parts.scheme in ("tcp", "http", "https"):
        return _tcp(access, parts, port)
    if parts.scheme == "ssh":
        return _ssh(access)
    raise InvalidInput.field("url", "must begin with unix://, tcp:// or ssh://.")


def _socket(access: NodeAccess, parts: SplitResult) -> NodeAccess:
    if parts.netloc or not parts.path.startswith("/") or len(parts.path) > _SOCKET_PATH_MAX:
        raise InvalidInput.field(
            "url", "must name a socket by its absolute path: unix:///var/run/docker.sock."
        )
    _refuse(access, "tls", "A socket of this machine needs no certificates.")
    _refuse(access, "ssh", "Use an address that begins with ssh://.")
    return NodeAccess(access.url, _without_insecure(access.options), access.secrets)


def _tcp(access: NodeAccess, parts: SplitResult, port: int | None) -> NodeAccess:
    if not parts.hostname or parts.path.rstrip("/") or parts.username:
        raise InvalidInput.field("url", "must be tcp://host:port, with nothing after it.")
    _refuse(access, "ssh", "Use an address that begins with ssh://.")
    options = dict(access.options)
    if parts.scheme == "https":
        options["tls"] = True
        options.setdefault("tls_verify", True)
    is_tls = tls_used(options, access.secrets)
    if is_tls:
        options.pop("insecure", None)
    elif is_loopback(parts.hostname):
        options = _without_insecure(options)
    elif not options.get("insecure"):
        raise PolicyDenied(
            "Docker over TCP without TLS gives everyone on that network the rights of root on the host. Give "
            "the node certificates (tls), use ssh://, or say insecure: true if you really mean it.",
            rule="node_plain_tcp",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    number = port or (_TLS_PORT if is_tls else _PLAIN_PORT)
    return NodeAccess(f"tcp://{host}:{number}", options, access.secrets)


def _ssh(access: NodeAccess) -> NodeAccess:
    complaints = {
        "host": "has no host name that ssh could use.",
        "user": "has a user name that ssh could not use.",
        "path": "may name the engine's socket at the end, by letters, digits, dots and dashes only.",
    }
    try:
        ssh_target(access.url)
    except ValueError as error:
        why = complaints.get(str(error), "must be ssh://user@host:port.")
        raise InvalidInput.field("url", why) from error
    _refuse(access, "tls", "ssh has its own encryption.")
    return NodeAccess(access.url, _without_insecure(access.options), access.secrets)


def is_loopback(host: str) -> bool:
    """Whether what is said to it stays on this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(access: NodeAccess, part: str, why: str) -> None:
    if any(key.partition("_")[0] == part for key in (*access.options, *access.secrets)):
        raise InvalidInput.field(part, f"does not fit this address. {why}")


def _without_insecure(options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "insecure"}
