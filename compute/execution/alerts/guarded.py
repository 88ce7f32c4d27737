"""One POST to an address that somebody typed in: it must not reach what is inside.

The name is resolved once; every address it has must be public (IPv4 hidden in IPv6 is looked at as what it
is), and the connection goes to one of exactly these, so a name that changes in between leads nowhere.
Redirects are not followed, little is read of the answer, and all of it has one deadline.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from compute.addresses import address_is_never, address_is_public

CONNECT_S = 5.0
DEADLINE_S = 15.0
_READ_MAX = 64 * 1024


class Refused(Exception):
    """It was not sent, or not taken; the text is for the log of deliveries. ``is_final``: trying again
    would change nothing."""

    def __init__(self, text: str, *, status: int | None = None, is_final: bool = False) -> None:
        super().__init__(text)
        self.status, self.is_final = status, is_final


@dataclass(frozen=True)
class Post:
    url: str
    body: bytes
    headers: Mapping[str, str]
    allow_internal: bool = False


def url_check(url: str) -> SplitResult:
    """Raises ``ValueError`` for what is no plain address of a web server."""
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("must be an address without spaces or special letters.")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("may hold no user name or password.")
    if parts.fragment:
        raise ValueError("may hold no “#”.")
    if parts.port == 0:
        raise ValueError("has no such port.")
    return parts


def addresses_checked(host: str, port: int, *, allow_internal: bool) -> list[str]:
    """Every address of the host. Raises ``Refused`` when one of them is inside."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"The name {host} is not known.") from error
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    for address in addresses:
        if address_is_never(address):
            raise Refused(f"{host} is at an address that is never called.", is_final=True)
        if not allow_internal and not address_is_public(address):
            raise Refused(
                f"{host} is at an internal address. An administrator may allow that for this channel.",
                is_final=True,
            )
    return addresses


def post(wanted: Post) -> int:
    """The status, 200 to 299. Raises ``Refused``."""
    parts = url_check(wanted.url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    addresses = addresses_checked(host, port, allow_internal=wanted.allow_internal)
    connection = _Connection(host, port, addresses, parts.scheme == "https")
    # A server that sends a byte now and then would keep us for ever: each read has its own time.
    deadline = threading.Timer(DEADLINE_S, connection.cut)
    deadline.daemon = True
    deadline.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=wanted.body, headers=dict(wanted.headers))
        answer = connection.getresponse()
        answer.read(_READ_MAX)
        status = answer.status
        if connection.is_cut:
            raise OSError("it was cut")
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: the deadline closed what was being read.
        reason = "it took too long" if connection.is_cut else (str(error) or type(error).__name__)
        raise Refused(f"{host} did not take it: {reason}"[:400]) from error
    finally:
        deadline.cancel()
        connection.close()
    if 200 <= status < 300:
        return status
    text = "It answered by sending elsewhere, which is not followed." if 300 <= status < 400 else ""
    raise Refused(text or f"It answered {status}.", status=status, is_final=status == 410)


class _Connection(http.client.HTTPConnection):
    """To one of the given addresses and to nothing else; proxies of the environment are not asked."""

    def __init__(self, host: str, port: int, addresses: list[str], is_tls: bool) -> None:
        super().__init__(host, port, timeout=CONNECT_S)
        self._addresses, self._is_tls = addresses, is_tls
        if is_tls:
            self.default_port = http.client.HTTPS_PORT
        self.is_cut = False
        # http.client lets go of its own when the answer says that the line will be closed.
        self._line: socket.socket | None = None

    def connect(self) -> None:
        problem: OSError | None = None
        for address in self._addresses[:4]:
            try:
                self._line = self.sock = _line(address, self.port)
                break
            except OSError as error:
                problem = error
        else:
            raise problem or OSError("it has no address")
        if self._is_tls:
            context = ssl.create_default_context()
            self._line = self.sock = context.wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """From another thread: whatever waits for the peer ends."""
        self.is_cut = True
        if self._line is not None:
            try:
                self._line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _line(address: str, port: int) -> socket.socket:
    """Connected without asking for a name again."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.settimeout(CONNECT_S)
        line.connect((address, port))
    except OSError:
        line.close()
        raise
    return line
