"""What every engine behind ssh shares: the host's key is asked for, never learnt; ssh obeys LibGo's own
settings, not the account's; what it complains about has one sentence each."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Mapping
from typing import Any

from compute.certificates import key_fingerprint

# What a host is called in a file that holds its confirmed key alone.
HOST_ALIAS = "libgo-node"
# The kinds a scan asks for, best first.
_KEY_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


def host_key_scan(host: str, port: int, timeout_s: float) -> tuple[str, list[str]]:
    """The best public key that the server shows, ``type base64`` ("" when none came), and what the
    scanner complained about."""
    try:
        # The scanner is silent about why it could not connect.
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        return "", [str(error)]
    seconds = str(max(1, round(timeout_s)))
    kinds = ",".join(kind.removeprefix("ssh-").partition("-")[0] for kind in _KEY_KINDS)
    command = ["ssh-keyscan", "-T", seconds, "-p", str(port), "-t", kinds, "--", host]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s + 2, check=False
        )
    except subprocess.TimeoutExpired:
        return "", []
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith("#"):
            found[words[1]] = f"{words[1]} {words[2]}"
    key = next((found[kind] for kind in _KEY_KINDS if kind in found), "")
    return key, done.stderr.splitlines()


def host_key_shown(key: str) -> dict[str, str]:
    """A key that nobody has confirmed yet: ``type``, ``key``, ``fingerprint``."""
    return {"type": key.split(maxsplit=1)[0], "key": key, "fingerprint": key_fingerprint(key)}


def host_key_question(shown: Mapping[str, str]) -> str:
    """The end of a sentence that asks for the confirmation of such a key."""
    return (
        f"its ssh host key is not known yet. The server shows {shown['fingerprint']} ({shown['type']}). "
        "Compare that with the server itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and "
        "confirm it as ssh.host_key."
    )


def known_hosts_text(options: Mapping[str, Any]) -> str:
    """The file of known hosts that belongs to a node's options; "" while none was given."""
    if options.get("ssh_host_key"):
        return f"{HOST_ALIAS} {options['ssh_host_key']}\n"
    given = str(options.get("ssh_known_hosts") or "").rstrip()
    return f"{given}\n" if given else ""


def ssh_settings(options: Mapping[str, Any], known_hosts: str, timeout_s: float) -> dict[str, str]:
    """Settings of ssh_config(5) under which nothing is asked and nothing is learnt."""
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "ConnectTimeout": str(max(1, round(timeout_s))),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "2",
        "ControlMaster": "no",
        "ForwardAgent": "no",
    }
    if options.get("ssh_host_key"):
        settings["HostKeyAlias"] = HOST_ALIAS
    return settings


# Of what ssh itself says: a word for programs, what it looks like, the end of a sentence.
SSH_SENTENCES = (
    (
        "ssh_host_key_changed",
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed", re.I),
        "the ssh host key of {host} is not the one that was confirmed; it now shows {offered}. If the server "
        "was set up anew, confirm its new key; if not, someone may be between you and it.",
    ),
    (
        "ssh_host_key_unknown",
        re.compile(r"host key is known for|Host key verification failed", re.I),
        "the ssh host key of {host} is not among the known hosts given for this node. Add its line, or "
        "confirm its key as ssh.host_key.",
    ),
    (
        "ssh_key",
        re.compile(r"Load key .*(?:invalid format|error in libcrypto|bad permissions)|UNPROTECTED", re.I),
        "the private ssh key cannot be used: it is damaged, has a passphrase, or is readable by others.",
    ),
    (
        "ssh_auth",
        re.compile(r"Permission denied|Too many authentication failures", re.I),
        "the ssh server {host} does not let {user} in with this key. Put the public key into that "
        "account's ~/.ssh/authorized_keys, and check the user name.",
    ),
    (
        "dns",
        re.compile(r"Could not resolve hostname|Name or service not known|name resolution", re.I),
        "the name {host} cannot be resolved. Check the spelling and the name server.",
    ),
    (
        "refused",
        re.compile(r"Connection refused", re.I),
        "the connection to port {port} of {host} was refused. Does the ssh server run there?",
    ),
    (
        "no_route",
        re.compile(r"No route to host|Network is unreachable", re.I),
        "there is no route to {host}. Check the address and the network between.",
    ),
    (
        "ssh_timeout",
        re.compile(r"timed out|Timeout, server", re.I),
        "the ssh server {host} does not answer.",
    ),
)
