"""The form for a node: the few words of each way to an engine, turned into the body of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest

from compute.backends.base import Backend
from compute.models import Node
from compute.wording import later as _

_PEM_MAX = 256 * 1024


@dataclass(frozen=True)
class Way:
    """One way to an engine, as the form offers it."""

    word: str
    title: str
    text: str


WAYS = {
    "socket": Way("socket", _("This machine"), _("An engine behind a Unix socket: Docker, or Podman's own")),
    "tls": Way("tls", _("Another host, by TLS"), _("TCP with certificates on both sides")),
    "ssh": Way("ssh", _("Another host, by ssh"), _("Nothing to open but the ssh port")),
    "uri": Way("uri", _("By its address"), _("The address as the engine's own tools take it")),
}


def ways_of(kinds: tuple[str, ...]) -> list[Way]:
    return [WAYS[word] for word in kinds if word in WAYS]


def node_body(request: HttpRequest, kind: str, backend: type[Backend]) -> dict[str, Any]:
    """What the same wish would be over REST. Fields left empty are left out: they keep what is stored."""
    given = {name: str(value).replace("\x00", "").strip() for name, value in request.POST.items()}
    body: dict[str, Any] = {"name": given.get("name", "")}
    if kind == "socket":
        body["url"] = f"unix://{given.get('socket', '')}"
    elif kind == "tls":
        body |= _tls(request, given, backend)
    elif kind == "ssh":
        body |= _ssh(request, given, backend)
    else:
        body["url"] = given.get("uri", "")
    return body


def _address(given: dict[str, str], form: str, backend: type[Backend]) -> str:
    return backend.address_forms[form].format(
        login=f"{given['user']}@" if given.get("user") else "",
        host=_host(given.get("host", "")),
        port=given.get("port") or backend.address_ports[form],
        socket=given.get("socket", ""),
    )


def _tls(request: HttpRequest, given: dict[str, str], backend: type[Backend]) -> dict[str, Any]:
    url = _address(given, "plain" if given.get("plain") else "tls", backend)
    if given.get("plain"):
        return {"url": url, "tls": None, "insecure": True}
    texts = {name: _pem(request, given, name) for name in ("ca", "cert", "key")}
    sent: dict[str, Any] = {name: text for name, text in texts.items() if text}
    return {"url": url, "tls": {"verify": not given.get("unverified"), **sent}}


def _ssh(request: HttpRequest, given: dict[str, str], backend: type[Backend]) -> dict[str, Any]:
    url = _address(given, "ssh", backend)
    ssh: dict[str, Any] = {}
    key = _pem(request, given, "ssh_key")
    if key:
        ssh["key"] = key
    for name in ("host_key", "known_hosts"):
        if given.get(name):
            ssh[name] = given[name]
    return {"url": url, "ssh": ssh}


def _host(text: str) -> str:
    return f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text


def _pem(request: HttpRequest, given: dict[str, str], name: str) -> str:
    """Pasted, or in the file that was chosen."""
    file = request.FILES.get(f"{name}_file")
    if file is not None and not isinstance(file, list):
        return file.read(_PEM_MAX + 1).decode("utf-8", "replace").strip()
    return given.get(name, "")


def node_values(node: Node) -> dict[str, Any]:
    """What the form shows of a node that is there."""
    parts = urlsplit(node.url)
    return {
        "name": node.name,
        "host": parts.hostname or "",
        "port": parts.port or "",
        "user": parts.username or "",
        "socket": parts.path,
        "uri": node.url,
        "unverified": not node.options.get("tls_verify", True),
        "known_hosts": node.options.get("ssh_known_hosts", ""),
    }
