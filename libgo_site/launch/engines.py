"""The engines of this machine: are they there, do they run, start them.

With systemd they are enabled and started as services. Without an init system they are started here,
detached: they carry the users' workloads, so they outlive LibGo.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libgo_site.launch import state
from libgo_site.launch.packages import _path

DOCKER_SOCKET = Path("/var/run/docker.sock")
LIBVIRT_SOCKET = Path("/var/run/libvirt/libvirt-sock")
_START_WITHIN_S = 40.0
_ANSWER_MAX = 1024 * 1024


def docker_runs() -> bool:
    """Whether a daemon answers on the local socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(DOCKER_SOCKET))
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
    except OSError:
        return False


def docker_info() -> dict[str, Any]:
    """What the local daemon says of itself; empty when it does not answer."""
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(DOCKER_SOCKET))
            client.sendall(b"GET /info HTTP/1.0\r\n\r\n")
            while len(received) < _ANSWER_MAX and (piece := client.recv(65536)):
                received += piece
        found = json.loads(received.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def libvirt_runs() -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(LIBVIRT_SOCKET))
            return True
    except OSError:
        return False


def engines_start(*, docker: bool, kvm: bool) -> list[int]:
    """Start what does not run; the ids of processes started here (none under systemd)."""
    started: list[int] = []
    if docker and not docker_runs() and _which("dockerd"):
        print("Starting the Docker engine")
        started += _start_docker()
    if kvm and not libvirt_runs() and _which("libvirtd"):
        print("Starting libvirt")
        started += _start_libvirt()
    return started


def engines_stop(pids: list[int]) -> None:
    """End engines that this very run started (tests), newest first."""
    for pid in reversed(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)


def _start_docker() -> list[int]:
    if _has_systemd():
        _systemctl("enable", "--now", "docker.service")
        _until(docker_runs)
        return []
    if not _may_start("dockerd"):
        return []
    pid = _detached([str(_which("dockerd"))], "dockerd")
    _until(docker_runs)
    return [pid]


def _start_libvirt() -> list[int]:
    if _has_systemd():
        _systemctl("enable", "--now", "libvirtd.service", "virtlogd.socket")
        _until(libvirt_runs)
        return []
    if not _may_start("libvirtd"):
        return []
    _kvm_device_share()
    started = []
    for name in ("virtlogd", "libvirtd"):
        pidfile = Path(f"/var/run/{name}.pid")
        subprocess.run([str(_which(name)), "-d"], stdin=subprocess.DEVNULL, check=False)
        _until(pidfile.exists)
        with contextlib.suppress(OSError, ValueError):
            started.append(int(pidfile.read_text()))
    _until(libvirt_runs)
    # The first question makes it examine every emulator, which takes longer than anyone's deadline.
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        subprocess.run([str(_which("virsh")), "domcapabilities"], capture_output=True, timeout=120)
    return started


def _kvm_device_share() -> None:
    """Without udev /dev/kvm belongs to root alone; QEMU runs as another user, and libvirt would
    examine its emulators anew on every call because it cannot make out whether KVM is there."""
    device = Path("/dev/kvm")
    with contextlib.suppress(OSError, KeyError):
        if device.exists() and stat.S_IMODE(device.stat().st_mode) & 0o060 == 0:
            os.chown(device, 0, grp.getgrnam("kvm").gr_gid)
            device.chmod(0o660)


def _detached(command: list[str], name: str) -> int:
    log = (state.var() / "logs" / f"{name}.log").open("ab")
    with log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=_environ()
        )
    return process.pid


def _environ() -> dict[str, str]:
    return {**os.environ, "PATH": _path()}


def _may_start(name: str) -> bool:
    if os.geteuid() == 0:
        return True
    print(f"  {name} must be started by root; run as root: {name}")
    return False


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _systemctl(*words: str) -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, "systemctl", *words], check=False, stdin=subprocess.DEVNULL)


def _which(name: str) -> str | None:
    return shutil.which(name, path=_path())


def _until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _START_WITHIN_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        # A zombie is over; nobody may be there to reap it.
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    return False
