"""Names of images, as registries and engines read them. Pure: engine, services and pages share it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compute.errors import InvalidInput

HUB = "docker.io"
# Where the snapshots of instances are kept: LibGo's own, of no project and no person.
SNAPSHOTS = "libgo-snapshots"
_HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LENGTH_MAX = 255


@dataclass(frozen=True)
class Reference:
    """``host`` is the registry (``docker.io`` when none was written), ``path`` the repository on it.
    ``tag`` and ``digest`` are empty when not given."""

    written: str
    host: str
    path: str
    tag: str = ""
    digest: str = ""
    names_host: bool = False

    @property
    def repository(self) -> str:
        """As it was written, without tag and digest: what the engine calls the repository."""
        return f"{self.host}/{self.path}" if self.names_host else self.path

    @property
    def name(self) -> str:
        """With the tag or digest that an engine would assume."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag or 'latest'}"


def reference_parse(text: str, *, field: str = "image") -> Reference:
    """Raises ``InvalidInput`` for ``field`` when it is no image name."""
    rest, at, digest = text.strip().partition("@")
    head, colon, tail = rest.rpartition(":")
    name, tag = (head, tail) if colon and "/" not in tail else (rest, "")
    first, slash, below = name.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, below) if has_host else (HUB, name)
    wrong = (
        len(text) > _LENGTH_MAX
        or not _PATH.fullmatch(path)
        or (has_host and not _HOST.fullmatch(host))
        or (bool(tag) and not _TAG.fullmatch(tag))
        or (colon and name == head and not tag)
        or (bool(at) and not _DIGEST.fullmatch(digest))
    )
    if wrong:
        raise InvalidInput.field(field, f"“{text[:80]}” is not an image name such as “nginx:1.27”.")
    return Reference(text.strip(), host_canonical(host), path, tag, digest, names_host=has_host)


def host_canonical(host: str) -> str:
    """One name for each registry: that of Docker Hub has several."""
    lowered = host.lower()
    return HUB if lowered in _HUB_NAMES else lowered


def host_of_url(url: str) -> str:
    """The registry that an address or a bare host names. Raises ``InvalidInput`` for ``url``."""
    text = url.strip()
    for scheme in ("https://", "http://"):
        text = text.removeprefix(scheme)
    for ending in ("/", "/v1", "/v2"):
        text = text.removesuffix(ending)
    if not _HOST.fullmatch(text) or len(text) > _LENGTH_MAX:
        raise InvalidInput.field("url", "must be a registry such as “registry.example.com:5000”.")
    return host_canonical(text)


def host_allowed(reference: Reference, allowed: list[str]) -> bool:
    """Whether a list such as ``["docker.io", "*.example.com", "ghcr.io/team"]`` lets it in; ``*`` is
    everything."""
    return any(_allows(entry, reference) for entry in allowed)


def _allows(entry: str, reference: Reference) -> bool:
    host, _, path = entry.strip().rstrip("/").partition("/")
    if host == "*":
        return True
    wanted = host_canonical(host)
    if wanted.startswith("*."):
        fits = reference.host.endswith(wanted[1:])
    else:
        fits = reference.host == wanted
    return fits and (not path or f"{reference.path}/".startswith(f"{path}/"))
