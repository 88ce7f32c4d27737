"""Fetch an image from an address that an administrator allowed: no other host, no inner one by a trick.

The name is looked up once, every address it has must be a public one, and the connection goes to that
very address, so an answer that changes in between leads nowhere. Redirects are followed only to what is
allowed, too.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from compute.addresses import address_is_never, address_is_public
from compute.errors import BackendError, InvalidInput, PayloadTooLarge, PolicyDenied

_TIMEOUT_S = 30.0
_REDIRECTS_MAX = 4
_CHUNK = 1024**2
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Fetched:
    """``size`` None where the server does not tell."""

    size: int | None
    chunks: Iterator[bytes]


def url_require(url: str, allowed: Sequence[str]) -> SplitResult:
    """The parts of an address that one of ``allowed`` is the beginning of. Raises ``PolicyDenied``
    (rule ``libvirt.imageSources``), ``InvalidInput``."""
    parts = _parts(url)
    for entry in allowed:
        begin = _parts(entry)
        folder = begin.path if begin.path.endswith("/") else f"{begin.path}/"
        if (parts.scheme, _origin(parts)) == (begin.scheme, _origin(begin)) and (
            parts.path == begin.path or parts.path.startswith(folder)
        ):
            return parts
    told = ", ".join(allowed) or "none"
    raise PolicyDenied(
        f"Images may not be fetched from there (libvirt.imageSources: {told}). Upload the file, or add its "
        "server to that setting.",
        rule="libvirt.imageSources",
    )


@contextlib.contextmanager
def fetched(url: str, allowed: Sequence[str], most: int) -> Iterator[Fetched]:
    """The body of ``url``. Raises ``PolicyDenied``, ``PayloadTooLarge``, ``BackendError`` with what the
    server answered."""
    for _ in range(_REDIRECTS_MAX + 1):
        parts = url_require(url, allowed)
        connection = _connect(parts)
        try:
            answer = _ask(connection, parts)
            if answer.status in (301, 302, 303, 307, 308):
                url = urljoin(url, answer.getheader("Location") or "")
                continue
            if answer.status != 200:
                raise BackendError(f"The server answered {answer.status}: there is nothing to fetch.")
            length = answer.getheader("Content-Length") or ""
            size = int(length) if length.isascii() and length.isdigit() else None
            if size is not None and size > most:
                raise PayloadTooLarge(f"The image has {size} bytes; at most {most} are taken.")
            yield Fetched(size, _read(answer, size))
            return
        finally:
            connection.close()
    raise BackendError("The server sends from one address to the next without an end.")


def _ask(connection: http.client.HTTPConnection, parts: SplitResult) -> http.client.HTTPResponse:
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "identity", "User-Agent": "LibGo"})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise BackendError(f"{parts.hostname} could not be asked: {type(error).__name__}.") from error


def _read(answer: http.client.HTTPResponse, size: int | None) -> Iterator[bytes]:
    got = 0
    while True:
        try:
            chunk = answer.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise BackendError("The server broke off in the middle of the image.") from error
        if not chunk:
            break
        got += len(chunk)
        yield chunk
    if size is not None and got != size:
        raise BackendError("The server broke off in the middle of the image.")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput.field("url", "is no address.") from error
    clean = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    steps = parts.path.lower().replace("%2e", ".").replace("%2f", "/").split("/")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not clean or port == 0:
        raise InvalidInput.field("url", "must be an address such as https://host/path/image.qcow2.")
    if parts.username or parts.password or parts.fragment or ".." in steps:
        raise InvalidInput.field("url", "must be without a user, a fragment and “..”.")
    return parts


def _origin(parts: SplitResult) -> tuple[str, int]:
    return str(parts.hostname).lower(), parts.port or _DEFAULT_PORTS[parts.scheme]


def _connect(parts: SplitResult) -> http.client.HTTPConnection:
    host, port = _origin(parts)
    address = _address(host, port)
    try:
        sock = socket.create_connection((address, port), timeout=_TIMEOUT_S)
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    except OSError as error:
        raise BackendError(f"{host} could not be reached: {type(error).__name__}.") from error
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    connection.sock = sock
    return connection


def _address(host: str, port: int) -> str:
    """The address to connect to. One that the setting itself writes in numbers may be an inner one."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise BackendError(f"There is no host {host} to fetch from.") from error
    if not all(address_is_public(text) and not address_is_never(text) for text in found):
        raise PolicyDenied(
            f"{host} is an address inside this network: images are fetched from public servers only.",
            rule="libvirt.imageSources",
        )
    return sorted(found)[0]
