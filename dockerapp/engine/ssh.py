"""An engine at the other end of ssh, made to look like one behind a local Unix socket.

One ``ssh -L`` per node and process forwards the engine's socket; it is looked after by a thread,
started again with growing pauses, and ends with the thread (so with the process, however that ends).
The host's key is always checked: it is given, or shown once to be confirmed, never learnt silently.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

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

ENGINE_SOCKET = "/var/run/docker.sock"
_BACK_OFF_FIRST_S, _BACK_OFF_MAX_S = 0.5, 5.0
_STABLE_AFTER_S = 20.0
# What the key exchange may take beyond the deadline for connecting.
_LOGIN_S = 3.0
_KEY_FILE = "key"
_PROHIBITED = re.compile(r"open failed: administratively prohibited", re.I)
_OPEN_FAILED = re.compile(r"open failed", re.I)
_OFFERED = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True)
class SshTarget:
    """Where to log in, and the engine's socket there."""

    host: str
    port: int
    user: str
    socket: str


def ssh_target(url: str) -> SshTarget:
    """From ``ssh://[user@]host[:port][/path/of/the/socket]``. Raises ``ValueError`` when it is none."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") or ENGINE_SOCKET
    user = parts.username or ""
    if not parts.hostname or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:_-]*", parts.hostname):
        raise ValueError("host")
    if user and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]*", user):
        raise ValueError("user")
    if not re.fullmatch(r"/[A-Za-z0-9._/-]+", path):
        raise ValueError("path")
    return SshTarget(parts.hostname, parts.port or 22, user, path)


class Tunnel:
    """The forwarder of one node. ``open`` gives the local socket, or says why there is none."""

    def __init__(self, node: NodeConfig) -> None:
        self._node = node
        self._target = ssh_target(node.url)
        self._changed = threading.Condition()
        self._path: Path | None = None
        self._is_up = False
        self._problem: BackendUnavailable | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard: deque[tuple[float, str]] = deque(maxlen=40)

    def open(self, *, wait: bool = True) -> str:
        """The path of the local socket. Waits for the first login only; later, while the line is
        down, it says so at once. Raises ``BackendUnavailable``."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name=f"ssh-{self._node.name}", daemon=True)
                self._thread.start()
            if wait and not self._is_up and self._problem is None:
                self._changed.wait_for(self._is_decided, self._node.connect_timeout_s + _LOGIN_S)
            if self._is_up and self._path is not None:
                return str(self._path)
            raise self._problem or self._unavailable(
                "ssh_timeout", f"the ssh server {self._target.host} does not answer."
            )

    def complaint(self) -> BackendUnavailable | None:
        """After a request that failed: what ssh said of it in these seconds."""
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            said = [line for at, line in list(self._heard) if time.monotonic() - at < 2]
            if any(_OPEN_FAILED.search(line) for line in said):
                return self._explain(said)
            time.sleep(0.02)
        return None

    def close(self) -> None:
        self._stopping.set()
        thread = self._thread
        if thread is not None:
            thread.join(3)

    def _is_decided(self) -> bool:
        return self._is_up or self._problem is not None

    def _keep(self) -> None:
        pause = _BACK_OFF_FIRST_S
        try:
            folder = RuntimeFolder(self._node.runtime_dir)
        except OSError:
            why = "its private folder cannot be made. Check the disk and the rights of the state folder."
            self._tell(self._unavailable("runtime", why))
            return
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._tell(self._run_once(folder))
                except OSError:
                    why = "ssh does not run here. Install the package openssh-client."
                    self._tell(self._unavailable("ssh_missing", why))
                if time.monotonic() - began > _STABLE_AFTER_S:
                    pause = _BACK_OFF_FIRST_S
                self._stopping.wait(pause)
                pause = min(pause * 2, _BACK_OFF_MAX_S)
        finally:
            folder.close()

    def _tell(self, problem: BackendUnavailable | None) -> None:
        with self._changed:
            self._is_up = problem is None
            self._problem = problem
            self._changed.notify_all()

    def _run_once(self, folder: RuntimeFolder) -> BackendUnavailable:
        """One life of the forwarder, from login to its end; why it ended."""
        if not known_hosts_text(self._node.options):
            return self._ask_for_host_key()
        self._path = folder.path / "s"
        self._heard.clear()
        process = subprocess.Popen(
            self._command(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        listener.start()
        try:
            problem = self._wait_until_up(process)
            # Read once at the login; it need not lie there for the whole connection.
            (folder.path / _KEY_FILE).unlink(missing_ok=True)
            while problem is None:
                try:
                    process.wait(0.25)
                except subprocess.TimeoutExpired:
                    if not self._stopping.is_set():
                        continue
                listener.join(0.5)
                problem = self._explain([line for _, line in self._heard])
            return problem
        finally:
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_up(self, process: subprocess.Popen[str]) -> BackendUnavailable | None:
        deadline = time.monotonic() + self._node.connect_timeout_s + _LOGIN_S - 0.2
        while time.monotonic() < deadline and not self._stopping.is_set():
            if process.poll() is not None:
                time.sleep(0.05)
                return self._explain([line for _, line in self._heard])
            if self._answers():
                self._tell(None)
                return None
            time.sleep(0.02)
        return self._unavailable("ssh_timeout", f"the ssh server {self._target.host} does not answer.")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(str(self._path))
            except OSError:
                return False
        return True

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as said:
            while line := said.readline(2000):
                self._heard.append((time.monotonic(), line.rstrip()))

    def _command(self, folder: RuntimeFolder) -> list[str]:
        node, target, options = self._node, self._target, self._node.options
        known = folder.write("known_hosts", known_hosts_text(options))
        settings = {
            **ssh_settings(options, str(known), node.connect_timeout_s),
            "ExitOnForwardFailure": "yes",
            "StreamLocalBindUnlink": "yes",
            "StreamLocalBindMask": "0177",
        }
        key = self._key_path(folder)
        if key:
            settings["IdentitiesOnly"] = "yes"
        # Its parent is the thread that looks after it: when that ends, so does ssh.
        words = ["setpriv", "--pdeathsig", "TERM", "ssh", "-N", "-T", "-F", "/dev/null"]
        for name, value in settings.items():
            words += ["-o", f"{name}={value}"]
        words += ["-i", key] if key else []
        words += ["-l", target.user] if target.user else []
        return [*words, "-p", str(target.port), "-L", f"{self._path}:{target.socket}", "--", target.host]

    def _key_path(self, folder: RuntimeFolder) -> str:
        text = self._node.secrets.get("ssh_key")
        if text:
            return str(folder.write(_KEY_FILE, text.replace("\r\n", "\n").rstrip() + "\n"))
        return str(self._node.options.get("ssh_key_path") or "")

    def _ask_for_host_key(self) -> BackendUnavailable:
        key, said = host_key_scan(self._target.host, self._target.port, self._node.connect_timeout_s)
        if not key:
            return self._explain(said or ["timed out"])
        shown = host_key_shown(key)
        return self._unavailable("ssh_host_key_unknown", host_key_question(shown), host_key=shown)

    def _explain(self, lines: Sequence[str]) -> BackendUnavailable:
        text = "\n".join(lines)
        for reason, pattern, why in _SENTENCES:
            if pattern.search(text):
                offered = _OFFERED.search(text)
                sentence = why.format(
                    host=self._target.host,
                    port=self._target.port,
                    user=self._target.user or tell("LibGo's own user"),
                    socket=self._target.socket,
                    offered=offered[0] if offered else tell("another key"),
                )
                return self._unavailable(reason, sentence)
        return self._unavailable("ssh_ended", "the ssh connection ended.")

    def _unavailable(self, reason: str, why: str, **details: object) -> BackendUnavailable:
        message = f"Docker on {self._node.name} cannot be reached: {why}"
        return BackendUnavailable(message, node=self._node.name, reason=reason, **details)


_SENTENCES = (
    (
        "ssh_forwarding",
        _PROHIBITED,
        "the ssh server {host} forbids forwarding to a socket. Set AllowStreamLocalForwarding yes in its "
        "sshd_config.",
    ),
    (
        "ssh_socket",
        _OPEN_FAILED,
        "{user} reached {host}, but cannot open {socket} there. Does the engine run, and is that account in "
        "the group docker?",
    ),
    *SSH_SENTENCES,
)
