"""The TLS side of a node: one context for commands and streams alike, made from texts or from files."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable
from compute.tell import tell


def tls_used(options: Mapping[str, Any], secrets: Mapping[str, str]) -> bool:
    """Whether the node is spoken to over TLS: it was asked for, or there is a certificate to show."""
    asked = options.get("tls") or options.get("tls_verify") or options.get("tls_cert_path")
    return bool(asked or "tls_cert" in secrets)


def tls_context(node: NodeConfig) -> ssl.SSLContext | None:
    """None for a node without TLS. Verification is on unless it was switched off by name. Raises
    ``BackendUnavailable`` for files or texts that cannot be used."""
    options, secrets = node.options, node.secrets
    if not tls_used(options, secrets):
        return None
    # Not create_default_context: newer Pythons make that refuse authorities made as Docker documents it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not options.get("tls_verify", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _explained(node, tell("the file of the authority (CA)")):
        if secrets.get("tls_ca"):
            context.load_verify_locations(cadata=secrets["tls_ca"])
        elif options.get("tls_ca_path"):
            context.load_verify_locations(cafile=options["tls_ca_path"])
        else:
            context.load_default_certs()
    with _explained(node, tell("LibGo's certificate or its key")):
        if secrets.get("tls_cert"):
            with _in_memory(secrets["tls_cert"] + "\n" + secrets.get("tls_key", "")) as path:
                context.load_cert_chain(path, password=_no_password)
        elif options.get("tls_cert_path"):
            context.load_cert_chain(
                options["tls_cert_path"], options.get("tls_key_path") or None, password=_no_password
            )
    return context


def _no_password() -> str:
    """Instead of a question on a terminal that nobody watches."""
    return ""


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path that leads to ``text`` without any disk: the library takes keys only from files."""
    descriptor = os.memfd_create("libgo-tls")
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _explained(node: NodeConfig, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise BackendUnavailable(
            f"Docker on {node.name} cannot be reached: {what} cannot be read or does not fit. "
            "Check the node's certificates.",
            node=node.name,
            reason="tls_material",
        ) from error


def tls_refusal_hear(context: ssl.SSLContext, url: str, timeout_s: float) -> None:
    """Raises the alert that the other side sends after a handshake it did not like. In TLS 1.3 it comes
    when we already speak, so whoever speaks first only learns that the line was cut."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with socket.create_connection((host, parts.port or 2376), timeout_s) as line:
        with context.wrap_socket(line, server_hostname=host) as secured:
            secured.settimeout(min(1.0, timeout_s))
            with contextlib.suppress(TimeoutError):
                secured.recv(1)
