"""One pooled client per node: pinned API version, own deadlines, retries only where nothing was sent."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import aiodocker
import aiohttp
import requests
from docker import APIClient
from docker.tls import TLSConfig
from requests.adapters import HTTPAdapter

from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable
from dockerapp.engine.errors import engine_errors

T = TypeVar("T")
_POOL_SIZE = 32
_NEWEST = "1.45"
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}")
# The longest wait for the very first answer: whoever meets a hung engine must learn it soon.
_FIRST_ANSWER_S = 1.5


class _Adapter:
    """Over TCP: a deadline of its own for connecting, and a pool as large as that of a socket."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._adapter = HTTPAdapter(pool_maxsize=_POOL_SIZE)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        reading = kwargs.get("timeout")
        if not isinstance(reading, tuple):
            kwargs["timeout"] = (min(self._connect_timeout_s, reading or self._connect_timeout_s), reading)
        return self._adapter.send(request, *args, **kwargs)

    def close(self) -> None:
        self._adapter.close()


class StreamClient(aiodocker.Docker):
    """The library leaves a connector that it was given open; this one is ours alone."""

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
        options = node.options
        self._retries = min(int(options.get("max_retries", 2)), 5)
        self._retry_delay_s = float(options.get("retry_delay_s", 0.2))
        self.version = str(options.get("api_version") or "")

    @property
    def is_local(self) -> bool:
        """Whether the engine shares this machine's file system."""
        return self.node.url.startswith("unix://")

    @property
    def api(self) -> APIClient:
        """The client for commands; connects on first use to negotiate the version."""
        # Outside the lock: a hung engine must not make callers wait one after another.
        version = self.negotiated()
        with self._lock:
            if self._api is None:
                self._api = self._client(self.node.request_timeout_s, version)
            return self._api

    @property
    def quick(self) -> APIClient:
        """The client whose every call ends within ``connect_timeout_s``."""
        version = self.negotiated()
        with self._lock:
            if self._quick is None:
                self._quick = self._client(self.node.connect_timeout_s, version)
            return self._quick

    def negotiated(self) -> str:
        """The API version both sides speak; asked for once."""
        if not self.version:
            client = self._client(min(self.node.connect_timeout_s, _FIRST_ANSWER_S), "1.24")
            try:
                with engine_errors(self.node.name, asks_only=True):
                    answer = client.get(f"{client.base_url}/version", timeout=client.timeout)
                    answer.raise_for_status()
                    theirs = _version_of(answer.json())
            finally:
                client.close()
            if theirs is None:
                raise BackendUnavailable(
                    f"What answers on {self.node.name} is not a Docker engine.", node=self.node.name
                )
            self.version = ".".join(map(str, min(theirs, _parts(_NEWEST))))
        return self.version

    def call(self, method: Callable[[APIClient], T], *, quick: bool = False) -> T:
        """Run ``method`` on the client. Tries again, with growing pauses, only while the engine
        could not even be connected to, so nothing is ever done twice."""
        for attempt in range(self._retries + 1):
            with engine_errors(self.node.name, asks_only=quick):
                try:
                    return method(self.quick if quick else self.api)
                except requests.exceptions.ConnectionError as error:
                    if attempt == self._retries or not _never_sent(error):
                        raise
            time.sleep(self._retry_delay_s * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def stream_client(self) -> StreamClient:
        """A client of its own for one stream in the running event loop; the caller closes it."""
        url, version = self.node.url, f"v{self.negotiated()}"
        if self.is_local:
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
            return StreamClient(url="unix://localhost", connector=connector, api_version=version)
        tls = self._ssl_context()
        scheme = "https" if tls else "http"
        connector = aiohttp.TCPConnector(limit=0, ssl=tls if tls else True)
        address = url.replace("tcp://", f"{scheme}://", 1)
        return StreamClient(url=address, connector=connector, api_version=version)

    def close(self) -> None:
        with self._lock:
            for client in (self._api, self._quick):
                if client is not None:
                    client.close()
            self._api = self._quick = None

    def _client(self, timeout_s: float, version: str) -> APIClient:
        client = APIClient(
            base_url=self.node.url,
            version=version,
            timeout=timeout_s,
            tls=self._tls() or False,
            max_pool_size=_POOL_SIZE,
        )
        # REQUESTS_CA_BUNDLE of the environment would replace the node's own CA.
        client.trust_env = False
        for scheme in ("http://", "https://"):
            client.mount(scheme, _Adapter(min(timeout_s, self.node.connect_timeout_s)))
        return client

    def _tls(self) -> TLSConfig | None:
        options = self.node.options
        certificate, key = options.get("tls_cert_path"), options.get("tls_key_path")
        if not options.get("tls_verify") and not certificate:
            return None
        with engine_errors(self.node.name):
            return TLSConfig(
                client_cert=(certificate, key) if certificate and key else None,
                ca_cert=options.get("tls_ca_path") or None,
                verify=bool(options.get("tls_verify", True)),
            )

    def _ssl_context(self) -> ssl.SSLContext | None:
        options = self.node.options
        if self._tls() is None:
            return None
        with engine_errors(self.node.name):
            context = ssl.create_default_context(cafile=options.get("tls_ca_path") or None)
            if options.get("tls_cert_path"):
                context.load_cert_chain(options["tls_cert_path"], options.get("tls_key_path"))
        if not options.get("tls_verify", True):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _version_of(answer: Any) -> tuple[int, ...] | None:
    """The API version in the answer to ``/version``; None when something else answered."""
    text = answer.get("ApiVersion") if isinstance(answer, dict) else None
    return _parts(text) if isinstance(text, str) and _VERSION.fullmatch(text) else None


def _never_sent(error: Exception) -> bool:
    text = repr(error)
    return any(word in text for word in ("FileNotFoundError", "ConnectionRefused", "NewConnectionError"))


def as_list(value: Any) -> list[Any]:
    """The engine writes null where it means an empty list."""
    return list(value) if value else []
