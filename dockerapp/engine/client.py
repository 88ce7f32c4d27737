"""One pooled client per node: pinned API version, own deadlines, bounded answers, nothing done twice."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiodocker
import aiohttp
import requests
from docker import APIClient
from docker.transport import UnixHTTPAdapter
from requests.adapters import HTTPAdapter

from compute.backends.turnstile import engine_waited_for
from compute.backends.types import NodeConfig
from compute.errors import BackendError, BackendUnavailable
from dockerapp.engine.answers import ANSWER_MAX, BoundedClient, never_sent, too_long
from dockerapp.engine.errors import engine_errors, not_an_engine, unreachable
from dockerapp.engine.lines import SocketLines
from dockerapp.engine.ssh import Tunnel
from dockerapp.engine.tls import tls_context, tls_refusal_hear

T = TypeVar("T")
_POOL_SIZE = 32
_NEWEST = "1.45"
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}")
# The longest wait for the very first answer: whoever meets a hung engine must learn it soon.
_FIRST_ANSWER_S = 1.5
# Over a network the first answer has a key exchange before it.
_FIRST_ANSWER_FAR_S = 5.0
_GREETING_MAX, _PIECE = 256 * 1024, 64 * 1024
_NO_REDIRECTS = 0
# How a line looks that the other side has cut.
_CUT = ("SSLEOFError", "ConnectionResetError", "BrokenPipeError", "RemoteDisconnected")
# Whose listening socket means that the engine itself is on this machine.
_LOCAL_LISTENERS = ("dockerd", "systemd", "podman")


class _Adapter(HTTPAdapter):
    """Over TCP: a deadline of its own for connecting, a pool as large as that of a socket, and exactly
    the certificates of the node."""

    def __init__(self, connect_timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls
        super().__init__(pool_maxsize=_POOL_SIZE)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        reading = kwargs.get("timeout")
        if not isinstance(reading, tuple):
            kwargs["timeout"] = (min(self._connect_timeout_s, reading or self._connect_timeout_s), reading)
        return super().send(request, *args, **kwargs)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._tls is None:
            return host, pool
        # The context knows everything; what stands beside it would be loaded into it.
        verified = self._tls.verify_mode == ssl.CERT_REQUIRED
        return host, {
            "ssl_context": self._tls,
            "cert_reqs": "CERT_REQUIRED" if verified else "CERT_NONE",
            "assert_hostname": None if verified else False,
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The library would add its own bundle of authorities here."""
        if self._tls is None:
            super().cert_verify(conn, url, verify, cert)


class _SocketAdapter(UnixHTTPAdapter):
    """One pool for all that is asked over a socket. The library has one for each address, so every
    container would have connections of its own, which stay open."""

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        return super().get_connection("http+docker://localhost", proxies)


class StreamClient(aiodocker.Docker):
    """The library leaves a connector that it was given open; this one is ours alone."""

    async def object(self, path: str, *, method: str = "GET", params: Mapping[str, str]) -> dict[str, Any]:
        """One answer, which must be a JSON object; nothing at all is an empty one. Podman does not say
        that its answers are JSON, and then the library does not look into them. Raises ``ValueError``."""
        async with self._query(path, method, params=params, timeout=None) as response:
            raw = b""
            while piece := await response.content.read(_PIECE):
                raw += piece
                if len(raw) > ANSWER_MAX:
                    raise too_long()
        found = json.loads(raw) if raw.strip() else {}
        if not isinstance(found, dict):
            raise ValueError("The engine did not answer with an object.")
        return found

    async def close(self) -> None:
        await super().close()
        await self.connector.close()


class EngineClient:
    """``api`` for commands, ``quick`` for questions that must be answered at once."""

    def __init__(self, node: NodeConfig) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._api: APIClient | None = None
        self._quick: APIClient | None = None
        self._tls: ssl.SSLContext | None = None
        self._is_local: bool | None = None
        self._tunnel = _tunnel_of(node)
        options = node.options
        self._retries = min(int(options.get("max_retries", 2)), 5)
        self._retry_delay_s = float(options.get("retry_delay_s", 0.2))
        self.version = str(options.get("api_version") or "")
        self._product = ""

    @property
    def product(self) -> str:
        """Who speaks Docker's API there: ``docker`` or ``podman``."""
        if not self._product:
            self._greet()
        return self._product

    @property
    def is_local(self) -> bool:
        """Whether the engine proved to run on this machine: the process behind its socket is an engine
        here, not a forwarder. Its containers may still be another's: look for each by its own id."""
        if self._is_local is None and self.node.url.startswith("unix://"):
            self._is_local = _listens_here(self.node.url.removeprefix("unix://"))
        return bool(self._is_local)

    @property
    def api(self) -> APIClient:
        """The client for commands; connects on first use to negotiate the version."""
        # Outside the lock: a hung engine must not make callers wait one after another.
        version, address = self.negotiated(), self._address()
        with self._lock:
            if self._api is None:
                self._api = self._client(address, self.node.request_timeout_s, version)
            return self._api

    @property
    def quick(self) -> APIClient:
        """The client whose every call ends within ``connect_timeout_s``."""
        version, address = self.negotiated(), self._address()
        with self._lock:
            if self._quick is None:
                self._quick = self._client(address, self.node.connect_timeout_s, version)
            return self._quick

    def negotiated(self) -> str:
        """The API version both sides speak; asked for once."""
        if not self.version:
            theirs = self._greet()
            if theirs is None:
                raise not_an_engine(self.node.name)
            self.version = ".".join(map(str, min(theirs, _parts(_NEWEST))))
        return self.version

    def call(self, method: Callable[[APIClient], T], *, quick: bool = False) -> T:
        """Run ``method`` on the client. Tries again, with growing pauses, only while the engine
        could not even be connected to, so nothing is ever done twice."""
        with engine_waited_for(self.node):
            return self._called(method, quick)

    def _called(self, method: Callable[[APIClient], T], quick: bool) -> T:
        try:
            return self._tried(method, quick)
        except BackendUnavailable as error:
            if error.details.get("reason") != "api_version" or self.node.options.get("api_version"):
                raise
        # Another engine stands there now, older or newer. It refused before it did anything.
        with self._lock:
            self._api = self._quick = None
            self.version = self._product = ""
        return self._tried(method, quick)

    def _tried(self, method: Callable[[APIClient], T], quick: bool) -> T:
        for attempt in range(self._retries + 1):
            with engine_errors(self.node.name, asks_only=quick):
                try:
                    return method(self.quick if quick else self.api)
                except requests.exceptions.ConnectionError as error:
                    self._complain(error)
                    if attempt == self._retries or not never_sent(error):
                        raise
            time.sleep(self._retry_delay_s * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def stream_client(self) -> StreamClient:
        """A client of its own for one stream in the running event loop; the caller closes it."""
        address, version = self._address(wait=False), f"v{self.negotiated()}"
        if address.startswith("unix://"):
            path = address.removeprefix("unix://")
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(path, limit=0)
            return StreamClient(url="unix://localhost", connector=connector, api_version=version)
        tls = self._context()
        connector = aiohttp.TCPConnector(limit=0, ssl=tls if tls else True)
        return StreamClient(url=address, connector=connector, api_version=version)

    def close(self) -> None:
        with self._lock:
            for client in (self._api, self._quick):
                if client is not None:
                    client.close()
            self._api = self._quick = None
        if self._tunnel is not None:
            self._tunnel.close()

    def docker_host(self) -> str:
        """The address as the engine's own programs take it; over ssh that of the tunnel's near end."""
        return f"unix://{self._tunnel.open()}" if self._tunnel is not None else self.node.url

    def _address(self, *, wait: bool = True) -> str:
        """Where the engine is spoken to; raises ``BackendUnavailable`` while the way there is shut."""
        if self._tunnel is not None:
            return f"unix://{self._tunnel.open(wait=wait)}"
        scheme = "https://" if self._context() else "http://"
        return self.node.url.replace("tcp://", scheme, 1)

    def _context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            self._tls = tls_context(self.node)
        return self._tls

    def _client(self, address: str, timeout_s: float, version: str) -> APIClient:
        client = BoundedClient(
            base_url=address,
            version=version,
            timeout=timeout_s,
            max_pool_size=_POOL_SIZE,
            tries=self._retries,
            pause_s=self._retry_delay_s,
        )
        # REQUESTS_CA_BUNDLE of the environment would replace the node's own CA.
        client.trust_env = False
        # An engine never sends us elsewhere; what does is none.
        client.max_redirects = _NO_REDIRECTS
        if address.startswith("unix://"):
            client.mount("http+docker://", _SocketAdapter(f"http+{address}", timeout_s, 1, _POOL_SIZE))
            client.lines = SocketLines(address.removeprefix("unix://"), _POOL_SIZE, ANSWER_MAX)
        for scheme in ("http://", "https://"):
            connecting = min(timeout_s, self.node.connect_timeout_s)
            client.mount(scheme, _Adapter(connecting, self._context()))
        return client

    def _greet(self) -> tuple[int, ...] | None:
        """Who answers there, and its API version; None when it is no engine."""
        address = self._address()
        at_most = _FIRST_ANSWER_S if address.startswith("unix://") else _FIRST_ANSWER_FAR_S
        client = self._client(address, min(self.node.connect_timeout_s, at_most), "1.24")
        try:
            with engine_errors(self.node.name, asks_only=True):
                try:
                    # Podman takes a second for its version, and milliseconds for this.
                    ping, _ = _asked(client, "_ping")
                    theirs = _parts_of(ping.headers.get("Api-Version")) if ping.ok else None
                    if theirs is not None:
                        self._product = "podman" if "Libpod-Api-Version" in ping.headers else "docker"
                        return theirs
                    answer, raw = _asked(client, "version")
                except requests.exceptions.ConnectionError as error:
                    self._complain(error)
                    raise
        finally:
            client.close()
        if answer.status_code == 400 and b"HTTPS server" in raw:
            why = "its port speaks TLS. Give the node its certificates (tls)."
            raise unreachable(self.node.name, "wants_tls", why)
        self._product = "docker"
        try:
            found = json.loads(raw) if answer.ok else None
        except ValueError:
            return None
        return _parts_of(found.get("ApiVersion")) if isinstance(found, dict) else None

    def _complain(self, error: Exception) -> None:
        """Raises what is known better than that the connection broke: by the tunnel, or by the other
        side's own word."""
        problem = self._tunnel.complaint() if self._tunnel is not None else None
        if problem is not None:
            raise problem from error
        if self._tls is not None and any(word in repr(error) for word in _CUT):
            tls_refusal_hear(self._tls, self.node.url, self.node.connect_timeout_s)


def _tunnel_of(node: NodeConfig) -> Tunnel | None:
    if not node.url.startswith("ssh://"):
        return None
    try:
        return Tunnel(node)
    except ValueError as error:
        raise BackendUnavailable(
            f"The address of {node.name} cannot be used; write ssh://user@host:22.", node=node.name
        ) from error


def _listens_here(path: str) -> bool | None:
    """Who made the listening socket, as the kernel tells (unix(7), SO_PEERCRED); None if nobody
    answers now. A process of another PID name space shows as 0."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid = struct.unpack("3i", raw)[0]
            return pid > 0 and Path(f"/proc/{pid}/comm").read_text().strip() in _LOCAL_LISTENERS
        except OSError:
            return None


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _parts_of(text: Any) -> tuple[int, ...] | None:
    """A version that an engine tells; None for anything else."""
    return _parts(text) if isinstance(text, str) and _VERSION.fullmatch(text) else None


def _asked(client: APIClient, path: str) -> tuple[requests.Response, bytes]:
    """The answer and the beginning of its body, whoever it comes from."""
    answer = client.get(f"{client.base_url}/{path}", timeout=client.timeout, stream=True)
    return answer, answer.raw.read(_GREETING_MAX, decode_content=True)


def rows_of(value: Any) -> list[Mapping[str, Any]]:
    """A list of objects, as an engine answers that is asked for one. Raises ``BackendError`` for anything
    else: what is no list must not be taken for an empty one."""
    rows: list[Any] = as_list(value) if value is None or isinstance(value, list) else [None]
    if not all(isinstance(row, Mapping) for row in rows):
        raise BackendError("The engine did not answer with a list.", state="wrong_answer")
    return rows


def as_list(value: Any) -> list[Any]:
    """The engine writes null where it means an empty list."""
    return list(value) if value else []
