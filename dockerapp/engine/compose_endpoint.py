"""How Compose reaches a node: its address and what opens it, as variables and private files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compute.errors import OperationNotSupported
from dockerapp.engine.client import EngineClient
from dockerapp.engine.tls import tls_used

# What the engine's own programs look for in the folder of certificates.
_FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


def endpoint_environ(client: EngineClient, folder: Path) -> dict[str, str]:
    """``DOCKER_HOST`` and friends for one run; certificates are put into ``folder``, which is private.

    Raises ``OperationNotSupported`` for a node whose certificate is not verified: Compose cannot be
    told to do the same.
    """
    node = client.node
    environ = {
        "DOCKER_HOST": client.docker_host(),
        "DOCKER_API_VERSION": client.negotiated(),
        "DOCKER_CONFIG": str(folder),
    }
    if not environ["DOCKER_HOST"].startswith("tcp://") or not tls_used(node.options, node.secrets):
        return environ
    if not node.options.get("tls_verify", True):
        raise OperationNotSupported(
            f"The certificate of {node.name} is not verified, and Compose speaks only to engines that it "
            "can verify. Give the node its CA to use stacks there.",
            capability="stacks",
        )
    for word, text in _texts(node.options, node.secrets).items():
        descriptor = os.open(folder / _FILES[word], os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    return {**environ, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}


def _texts(options: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """Certificates of the node, from where it keeps them: sealed texts or files."""
    found: dict[str, str] = {}
    for word in _FILES:
        path = options.get(f"tls_{word}_path")
        if secrets.get(f"tls_{word}"):
            found[word] = str(secrets[f"tls_{word}"])
        elif path:
            found[word] = Path(str(path)).read_text(encoding="utf-8")
    return found
