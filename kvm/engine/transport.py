"""The way to a libvirt host: what libvirt's library wants in files and parameters, for as long as it
connects, and in plain words why it could not.

Certificates and keys lie in files of mode 0600 only while a connection is opened: the library and ssh
read them then and never again. ssh runs under LibGo's own settings, not under those of the account.
"""

from __future__ import annotations

import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

import libvirt

from compute.backends.runtime import RuntimeFolder
from compute.backends.ssh import (
    SSH_SENTENCES,
    host_key_question,
    host_key_scan,
    host_key_shown,
    known_hosts_text,
    ssh_settings,
)
from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable
from compute.tell import tell
from kvm.engine.address import PLAIN_PORT, SSH_PORT, TLS_PORT
from kvm.engine.errors import reason

_PORTS = {"tls": TLS_PORT, "ssh": SSH_PORT, "tcp": PLAIN_PORT}
# libvirt's names for the files of a folder of certificates (https://libvirt.org/tlscerts.html).
_PKI = {"tls_ca": "cacert.pem", "tls_cert": "clientcert.pem", "tls_key": "clientkey.pem"}
# What the handshakes may take beyond the deadline for connecting.
HANDSHAKE_S = 3.0
_OFFERED = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

_TLS_SENTENCES = {
    "tls_expired": "its certificate is over. Renew it on the host.",
    "tls_host": "its certificate is not for the name {host}. Use the name that stands in the certificate.",
    "tls_authority": "its certificate is not signed by the authority that was given (tls.ca).",
    "tls_client_expired": "LibGo's own certificate for it is over (tls.cert). Make a new one.",
    "tls_client": "LibGo's certificate does not fit. It must be made for clients, and signed by the "
    "authority that the host trusts, the one in tls.ca.",
    "tls_missing": "what listens at port {port} of {host} does not speak TLS. Is libvirtd set up to do so?",
}
# What OpenSSL says of a certificate (X509_V_ERR_... in openssl/x509_vfy.h).
_TLS_VERIFY = {10: "tls_expired", 9: "tls_expired", 62: "tls_host", 64: "tls_host"}
_SSH_MORE = (
    (
        "libvirt_missing",
        re.compile(
            r"(?:nc|netcat|virt-ssh-helper).*(?:not found|No such file)|command not found", re.I | re.S
        ),
        "ssh to {host} works, but libvirt's client tools are missing there. Install libvirt-daemon-system "
        "and netcat-openbsd on it.",
    ),
    (
        "libvirt_socket",
        re.compile(r"libvirt-sock|Permission denied.*socket|socket.*Permission denied", re.I | re.S),
        "ssh to {host} works, but {user} cannot open libvirt's socket there. Does libvirtd run, and is that "
        "account in the group libvirt?",
    ),
)


@contextmanager
def connect_address(node: NodeConfig) -> Iterator[str]:
    """The address as libvirt's library takes it, with private files that go when the block ends. Raises
    ``BackendUnavailable`` with ``reason`` for what can be told before libvirt is asked."""
    parts = urlsplit(node.url)
    transport = parts.scheme.partition("+")[2]
    if transport not in _PORTS:
        yield node.url
        return
    _reach(node, parts, transport)
    if transport == "tcp":
        yield node.url
        return
    if transport == "ssh" and not known_hosts_text(node.options):
        raise _host_key_wanted(node, parts)
    folder = _folder(node)
    try:
        query = _tls_files(node, folder) if transport == "tls" else _ssh_files(node, folder)
        yield urlunsplit(parts._replace(query=urlencode(query)))
    finally:
        folder.close()


def explain(error: libvirt.libvirtError, node: NodeConfig) -> BackendUnavailable | None:
    """Why a way over the network did not lead there; None for a local socket."""
    parts = urlsplit(node.url)
    transport = parts.scheme.partition("+")[2]
    text = str(error)
    if transport == "tls":
        return _said(node, *_tls_cause(node, parts, text))
    for word, pattern, why in (*SSH_SENTENCES, *_SSH_MORE) if transport == "ssh" else ():
        if pattern.search(text):
            return _said(node, word, why, _OFFERED.search(text))
    if transport in _PORTS:
        return unavailable(node, "protocol", f"it does not answer as libvirt: {reason(error)}")
    return None


def _said(node: NodeConfig, word: str, why: str, offered: re.Match[str] | None = None) -> BackendUnavailable:
    parts = urlsplit(node.url)
    said = why.format(
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme.partition("+")[2]],
        user=parts.username or tell("LibGo's own user"),
        offered=offered[0] if offered else tell("another key"),
    )
    return unavailable(node, word, said)


def _tls_cause(node: NodeConfig, parts: SplitResult, text: str) -> tuple[str, str]:
    """libvirt has one sentence for everything about certificates; a handshake of our own tells whose is
    the fault, and when it goes well, the fault is ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    word = "tls_client_expired" if "expired" in text else "tls_client"
    try:
        if node.options.get("tls_verify", True):
            context.load_verify_locations(cadata=_pem(node, "tls_ca"))
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        place = (str(parts.hostname), parts.port or TLS_PORT)
        with socket.create_connection(place, node.connect_timeout_s) as line:
            context.wrap_socket(line, server_hostname=place[0]).close()
    except ssl.SSLCertVerificationError as error:
        word = _TLS_VERIFY.get(error.verify_code, "tls_authority")
    except ssl.SSLError as error:
        # A host that wants our certificate first may cut the line with an alert about it.
        word = word if "ALERT" in str(error.reason) else "tls_missing"
    except OSError:
        word = "tls_missing"
    return word, _TLS_SENTENCES[word]


def unavailable(node: NodeConfig, word: str, why: str, **details: object) -> BackendUnavailable:
    message = f"libvirt on {node.name} cannot be reached: {why}"
    return BackendUnavailable(message, node=node.name, reason=word, **details)


def _reach(node: NodeConfig, parts: SplitResult, transport: str) -> None:
    """Connect once ourselves: the library has no deadline for it, and does not tell the causes apart."""
    host, port = str(parts.hostname), parts.port or _PORTS[transport]
    try:
        socket.create_connection((host, port), node.connect_timeout_s).close()
    except socket.gaierror as error:
        why = f"the name {host} cannot be resolved. Check the spelling and the name server."
        raise unavailable(node, "dns", why) from error
    except ConnectionRefusedError as error:
        daemon = "the ssh server" if transport == "ssh" else f"libvirtd with {transport.upper()}"
        why = f"the connection to port {port} of {host} was refused. Does {daemon} listen there?"
        raise unavailable(node, "refused", why) from error
    except TimeoutError as error:
        why = f"{host} does not answer at port {port}. Check the address and the firewalls between."
        raise unavailable(node, "timeout", why) from error
    except OSError as error:
        why = f"there is no route to {host}. Check the address and the network between."
        raise unavailable(node, "no_route", why) from error


def _host_key_wanted(node: NodeConfig, parts: SplitResult) -> BackendUnavailable:
    key, _ = host_key_scan(str(parts.hostname), parts.port or SSH_PORT, node.connect_timeout_s)
    if not key:
        return unavailable(node, "ssh_timeout", f"the ssh server {parts.hostname} does not answer.")
    shown = host_key_shown(key)
    return unavailable(node, "ssh_host_key_unknown", host_key_question(shown), host_key=shown)


def _folder(node: NodeConfig) -> RuntimeFolder:
    try:
        return RuntimeFolder(node.runtime_dir)
    except OSError as error:
        why = "its private folder cannot be made. Check the disk and the rights of the state folder."
        raise unavailable(node, "runtime", why) from error


def _tls_files(node: NodeConfig, folder: RuntimeFolder) -> dict[str, str]:
    for name, file in _PKI.items():
        folder.write(file, _pem(node, name).rstrip() + "\n")
    unverified = {} if node.options.get("tls_verify", True) else {"no_verify": "1"}
    return {"pkipath": str(folder.path), **unverified}


def _pem(node: NodeConfig, name: str) -> str:
    try:
        return node.secrets.get(name) or Path(str(node.options.get(f"{name}_path", ""))).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = "a file with its certificates cannot be read. Check the paths and their rights."
        raise unavailable(node, "tls_material", why) from error


def _ssh_files(node: NodeConfig, folder: RuntimeFolder) -> dict[str, str]:
    """libvirt starts the program named ``command`` in place of ssh, with words of its own behind: ours
    stand before them, and the first that ssh hears of a setting holds."""
    known = folder.write("known_hosts", known_hosts_text(node.options))
    settings = ssh_settings(node.options, str(known), node.connect_timeout_s) | {"IdentityAgent": "none"}
    words = ["ssh", "-F", "/dev/null"]
    if node.secrets.get("ssh_key"):
        text = node.secrets["ssh_key"].replace("\r\n", "\n").rstrip() + "\n"
        words += ["-i", str(folder.write("key", text))]
    elif node.options.get("ssh_key_path"):
        words += ["-i", str(node.options["ssh_key_path"])]
    if "-i" in words:
        settings["IdentitiesOnly"] = "yes"
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    program = folder.write("ssh", f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    program.chmod(0o700)
    return {"command": str(program), "no_tty": "1"}
