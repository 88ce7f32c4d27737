"""Which addresses of a libvirt host are taken, and on what terms.

Forms of https://libvirt.org/uri.html, as a narrow allow-list: the QEMU driver alone, and of its many
parameters only the path of a local socket. The others name programs to run (``command``,
``netcat``), files to read (``pkipath``, ``keyfile``) or switch checks off (``no_verify``): what of that
is needed, LibGo sets itself when it connects.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from compute.backends.types import NodeAccess
from compute.errors import InvalidInput, PolicyDenied
from compute.tell import tell

TLS_PORT, PLAIN_PORT, SSH_PORT = 16514, 16509, 22
_SOCKET_PATH_MAX = 107
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def address_check(access: NodeAccess) -> NodeAccess:
    """The same access with its address in one form. Raises ``InvalidInput`` and ``PolicyDenied``."""
    if any(ord(character) < 33 or ord(character) == 127 for character in access.url):
        raise InvalidInput.field("url", "holds spaces or control characters.")
    try:
        parts = urlsplit(access.url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput.field("url", "cannot be read as an address.") from error
    driver, _, transport = parts.scheme.partition("+")
    if driver != "qemu" or transport not in ("", "unix", "tls", "ssh", "tcp"):
        raise InvalidInput.field(
            "url", "must be qemu:///system, qemu+tls://host/system or qemu+ssh://user@host/system."
        )
    if parts.fragment or parts.password:
        raise InvalidInput.field("url", "takes no password and no fragment.")
    if not transport and parts.hostname:
        # libvirt itself would take this for TLS; say so, or it is not.
        raise InvalidInput.field("url", "names a host without the way to it: use qemu+tls:// or qemu+ssh://.")
    if transport in ("", "unix"):
        return _local(access, parts)
    _host_check(parts)
    if transport == "ssh":
        return _ssh(access, parts, port)
    return _tcp(access, parts, port, is_tls=transport == "tls")


def _local(access: NodeAccess, parts: SplitResult) -> NodeAccess:
    if parts.netloc or parts.path not in ("/system", "/session"):
        raise InvalidInput.field(
            "url", "must be qemu:///system, or qemu:///session for an account's own VMs."
        )
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = given.pop("socket", "")
    if given or (parts.query and not path):
        raise InvalidInput.field("url", "takes no parameter but socket, the path of libvirt's socket.")
    if path and (not _is_plain_path(path) or parts.path != "/system"):
        raise InvalidInput.field("url", "must name the socket by its absolute path, without “..”.")
    _refuse(access, "tls", "A socket of this machine needs no certificates.")
    _refuse(access, "ssh", "Use an address that begins with qemu+ssh://.")
    url = f"qemu+unix:///system?socket={path}" if path else f"qemu://{parts.path}"
    return NodeAccess(url, _without_insecure(access.options), access.secrets)


def _is_plain_path(path: str) -> bool:
    return bool(re.fullmatch(r"(?:/[A-Za-z0-9._-]+)+", path)) and not (
        len(path) > _SOCKET_PATH_MAX or "/../" in f"{path}/"
    )


def _host_check(parts: SplitResult) -> None:
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise InvalidInput.field("url", "has no host name that libvirt could use.")
    if parts.username and not _USER.fullmatch(parts.username):
        raise InvalidInput.field("url", "has a user name that cannot be used.")
    if parts.query:
        raise InvalidInput.field(
            "url", "takes no parameters; keys, certificates and known hosts have fields of their own."
        )


def _tcp(access: NodeAccess, parts: SplitResult, port: int | None, *, is_tls: bool) -> NodeAccess:
    if parts.username or parts.path != "/system":
        raise InvalidInput.field("url", f"must be {parts.scheme}://host/system, with nothing after it.")
    _refuse(access, "ssh", "Use an address that begins with qemu+ssh://.")
    options = dict(access.options)
    if is_tls:
        _certificates_require(access)
        options.pop("insecure", None)
        return NodeAccess(
            f"qemu+tls://{_netloc(parts, port, TLS_PORT)}/system", {**options, "tls": True}, access.secrets
        )
    _refuse(access, "tls", "Use an address that begins with qemu+tls://.")
    if is_loopback(str(parts.hostname)):
        options = _without_insecure(options)
    elif not options.get("insecure"):
        raise PolicyDenied(
            "libvirt over TCP without TLS gives everyone on that network the rights of root on the host. Use "
            "qemu+tls:// with certificates, use qemu+ssh://, or say insecure: true if you really mean it.",
            rule="node_plain_tcp",
        )
    return NodeAccess(f"qemu+tcp://{_netloc(parts, port, PLAIN_PORT)}/system", options, access.secrets)


def _certificates_require(access: NodeAccess) -> None:
    """libvirt knows its clients by nothing else, and a client's library takes all three from files."""
    wanted = {
        "ca": tell("the authority that signed the host's certificate"),
        "cert": tell("LibGo's certificate"),
    }
    for name, what in wanted.items():
        if f"tls_{name}" not in access.secrets and f"tls_{name}_path" not in access.options:
            raise InvalidInput.field(f"tls.{name}", f"is missing: {what}.")


def _ssh(access: NodeAccess, parts: SplitResult, port: int | None) -> NodeAccess:
    if parts.path not in ("/system", "/session"):
        raise InvalidInput.field("url", "must be qemu+ssh://user@host/system, with nothing after it.")
    _refuse(access, "tls", "ssh has its own encryption.")
    login = f"{parts.username}@" if parts.username else ""
    url = f"qemu+ssh://{login}{_netloc(parts, port, SSH_PORT)}{parts.path}"
    return NodeAccess(url, _without_insecure(access.options), access.secrets)


def _netloc(parts: SplitResult, port: int | None, default: int) -> str:
    host = str(parts.hostname)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port and port != default else shown


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


def _without_insecure(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "insecure"}
