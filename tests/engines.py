"""Engines of a test's own, for what must not happen to the machine's."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.live import until


class PrivateEngine:
    """A Docker daemon with everything of its own, its network name space too: in ours it would take the
    bridge of the machine's daemon away."""

    def __init__(self, folder: Path) -> None:
        # Its sockets lie below it, and their paths may have 107 characters.
        assert len(str(folder)) < 60, f"{folder} is too long a path for an engine"
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        (self.folder / "pid").unlink(missing_ok=True)
        command = [
            "unshare",
            "--net",
            "dockerd",
            "--host",
            self.url,
            "--data-root",
            str(self.folder / "root"),
        ]
        command += ["--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid")]
        command += ["--bridge", "none", "--iptables=false", "--live-restore"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            until(self.socket.exists, "the private engine starts", 30)
            until(lambda: engine_answers(self.socket), "the private engine answers", 30)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}: {(self.folder / 'log').read_text()[-1500:]}") from error

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)

    def close(self) -> None:
        """Stop it, and take away the mount that a daemon leaves on its data folder."""
        self.stop()
        subprocess.run(["umount", "--lazy", str(self.folder / "root")], check=False, capture_output=True)


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
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        runtime, conf = self.folder / "runtime", self.folder / "containers.conf"
        runtime.write_text(_RUNTIME)
        runtime.chmod(0o755)
        conf.write_text(_CONTAINERS_CONF)
        command = ["podman", "--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
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


def engine_answers(socket: Path) -> bool:
    """Whether an engine says that it is well."""
    done = subprocess.run(
        ["curl", "-s", "--max-time", "2", "--unix-socket", str(socket), "http://d/_ping"],
        capture_output=True,
        check=False,
    )
    return done.stdout == b"OK"
