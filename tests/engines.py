"""Engines of a test's own, for what must not happen to the machine's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.authority import Authority
from tests.live import until


class PrivateEngine:
    """A Docker daemon with everything of its own, its network name space too: in ours it would take the
    bridge of the machine's daemon away. ``live_restore``: containers outlive it, and the next one takes
    them over; otherwise it kills those that it finds."""

    def __init__(self, folder: Path) -> None:
        # Its sockets lie below it, and their paths may have 107 characters.
        assert len(str(folder)) < 60, f"{folder} is too long a path for an engine"
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.live_restore = True
        # With another one it has forgotten everything.
        self.data_root = folder / "root"
        # Empty: as this machine is called.
        self.hostname = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        for left in ("pid", "exec/containerd/containerd.pid"):
            (self.folder / left).unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=self.pass_fds()
            )
        try:
            until(self.socket.exists, "the private engine starts", 30)
            until(lambda: engine_answers(self.socket), "the private engine answers", 30)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}: {(self.folder / 'log').read_text()[-1500:]}") from error

    def command(self) -> list[str]:
        named = f"hostname {self.hostname}; " if self.hostname else ""
        words = [
            "unshare",
            "--net",
            "--uts",
            "sh",
            "-c",
            f'{named}ip link set lo up; exec "$0" "$@"',
            "dockerd",
        ]
        words += ["--host", self.url, "--data-root", str(self.data_root)]
        words += ["--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid")]
        words += ["--bridge", "none", "--iptables=false"]
        return [*words, "--live-restore"] if self.live_restore else words

    def pass_fds(self) -> tuple[int, ...]:
        return ()

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it hard, with the containerd it started, which would keep the next one from starting. The
        containers live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        for pid in _processes_of(str(self.folder / "exec" / "containerd")):
            if b"containerd-shim" not in _command_of(pid):
                _kill(pid)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)

    def close(self) -> None:
        """Stop it, and take away whatever it leaves: mounts, and after a hard end its processes too."""
        self.stop()
        for pid in _processes_of(str(self.folder)):
            for child in _children(pid):
                _kill(child)
            _kill(pid)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


class NetworkedEngine(PrivateEngine):
    """One whose containers have networks and ports, in its own network name space."""

    def command(self) -> list[str]:
        left_out = ("--bridge", "none", "--iptables=false")
        return [word for word in super().command() if word not in left_out]


def _processes_of(folder: str) -> list[int]:
    """Those whose command line names the folder: the daemon's helpers."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{folder}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class TlsEngine(PrivateEngine):
    """One that also listens on a port of our loopback, for those who show a certificate of ``authority``.
    The listening socket is ours and handed over, because its own name space has another loopback."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self._authority = authority
        self._certificate = authority.issue("engine")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def tls_url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        certificate, key = self._certificate
        words = [*super().command(), "--host", "fd://", "--tlsverify", "--tlscacert", self._authority.ca]
        words += ["--tlscert", certificate, "--tlskey", key]
        # As systemd hands sockets over: from the third descriptor on, to this process and no other.
        script = '[ "$0" = 3 ] || { exec 3<&"$0"; eval "exec $0<&-"; }; '
        script += 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        return ["bash", "-c", script, str(self._listener.fileno()), *words]

    def pass_fds(self) -> tuple[int, ...]:
        return (self._listener.fileno(),)

    def kill(self) -> None:
        """Nobody listens any more: we hold the port too."""
        self._listener.close()
        super().kill()

    def close(self) -> None:
        self._listener.close()
        super().close()


class SshServer:
    """sshd on a port of our loopback, which lets the one key in that it made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        self.key = self._key("client")
        (folder / "authorized_keys").write_text(self.public("client"))
        self.host_key = self.renew()

    def public(self, name: str) -> str:
        """``type base64``."""
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def renew(self) -> str:
        """Another host key, from the next start on; its public half."""
        self._key("host")
        return self.public("host")

    def start(self) -> None:
        # Where sshd wants to lock its children in; a package's start script would make it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        words = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", str(self.folder / "host")]
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PidFile": "none",
        }
        for name, value in settings.items():
            words += ["-o", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers, "sshd answers", 10)

    def stop(self) -> None:
        """Ends its sessions too, as a host that goes down would."""
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.terminate()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
        self.process.wait(10)
        self.process = None

    def _key(self, name: str) -> str:
        path = self.folder / name
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path.read_text()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


_RUNTIME = """#!/bin/sh
# runc, but without limits of processes: Podman sets them to their maximum, which not every machine may.
file= previous=
for word in "$@"; do
  [ "$previous" = --bundle ] && file=$word/config.json
  [ "$previous" = --process ] && file=$word
  previous=$word
done
[ -n "$file" ] && sed -i 's/"rlimits":\\[[^]]*\\],\\{0,1\\}//' "$file"
exec runc "$@"
"""
_CONTAINERS_CONF = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
"""


class PodmanEngine:
    """Podman's service for Docker's clients, with storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "podman.sock"
        # Podman takes no longer path than 50 characters for what lives while it runs.
        self._run = Path(tempfile.mkdtemp(prefix="libgo-t-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        runtime, conf = self.folder / "runtime", self.folder / "containers.conf"
        runtime.write_text(_RUNTIME)
        runtime.chmod(0o755)
        conf.write_text(_CONTAINERS_CONF)
        command = ["podman", "--root", str(self.folder / "root"), "--runroot", str(self._run)]
        command += ["--tmpdir", str(self.folder / "tmp"), "--runtime", str(runtime)]
        command += ["system", "service", "--time=0", self.url]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "CONTAINERS_CONF": str(conf)},
            )
        until(lambda: engine_answers(self.socket), "Podman answers", 30)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        # It mounts its storage on itself, once for each time that it looked at it.
        overlay = str(self.folder / "root" / "overlay")
        while subprocess.run(["umount", "--lazy", overlay], capture_output=True).returncode == 0:
            continue
        shutil.rmtree(self._run, ignore_errors=True)


def engine_answers(path: Path) -> bool:
    """Whether an engine says that it is well."""
    done = subprocess.run(
        ["curl", "-s", "--max-time", "2", "--unix-socket", str(path), "http://d/_ping"],
        capture_output=True,
        check=False,
    )
    return done.stdout == b"OK"
