"""What must be installed, why, and how: system packages, the Python environment, front-end assets."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from libgo_site.launch import state
from libgo_site.launch.state import ROOT, VENV, LaunchError


@dataclass(frozen=True)
class Need:
    """System packages for one purpose; ``is_met`` looks whether they are needed at all."""

    why: str
    packages: tuple[str, ...]
    is_met: Callable[[], bool]


def _has(*commands: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(command, path=_path()) for command in commands)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])


def _has_venv() -> bool:
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0


def _has_libvirt_headers() -> bool:
    ready = (
        subprocess.run(["pkg-config", "--exists", "libvirt"], capture_output=True)
        if _has("pkg-config")()
        else None
    )
    return ready is not None and ready.returncode == 0 and _has("gcc")() and _has_python_headers()


def _has_python_headers() -> bool:
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


BASE = (
    Need("the Python environment", ("python3-venv",), _has_venv),
    Need("the front-end assets (npm)", ("nodejs", "npm"), _has("node", "npm")),
    Need("the demo images", ("busybox-static",), _has("busybox")),
)


def _has_compose() -> bool:
    """Python brings it for x86-64; elsewhere Ubuntu has it as a package, and other systems say how."""
    if platform.machine() in ("x86_64", "AMD64"):
        return True
    plugin = Path("/usr/libexec/docker/cli-plugins/docker-compose")
    return plugin.exists() or not _is_known("docker-compose-v2")


def _is_known(package: str) -> bool:
    """Whether this system has a package of that name at all."""
    if shutil.which("apt-cache") is None:
        return False
    return subprocess.run(["apt-cache", "show", package], capture_output=True).returncode == 0


DOCKER = (
    Need("stacks: Docker Compose", ("docker-compose-v2",), _has_compose),
    Need("containers: the Docker engine", ("docker.io", "iptables"), _has("dockerd", "iptables")),
    Need("engines behind ssh", ("openssh-client",), _has("ssh", "ssh-keyscan")),
)
KVM = (
    Need(
        "virtual machines: libvirt and QEMU",
        (
            "libvirt-daemon-system",
            "libvirt-clients",
            "qemu-system-x86",
            "qemu-utils",
            "dnsmasq-base",
            "iptables",
            "ovmf",
        ),
        _has("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq"),
    ),
    Need(
        "building the libvirt binding",
        ("libvirt-dev", "pkg-config", "gcc", "python3-dev"),
        _has_libvirt_headers,
    ),
    Need(
        "building the demo guest",
        ("syslinux", "syslinux-common", "mtools", "dosfstools", "fdisk", "e2fsprogs", "xz-utils"),
        _has("syslinux", "mcopy", "mkfs.vfat", "sfdisk", "mke2fs"),
    ),
)


def _has_postgres() -> bool:
    """Debian keeps the server's programs of each version in a folder of its own, out of the path."""
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _has_headless() -> bool:
    """Debian has Chromium without its windows, which paints a page with half the work; elsewhere the tests
    take the whole one."""
    return shutil.which("chromium-headless-shell") is not None or not _is_known("chromium-headless-shell")


TESTS = (
    Need("browser tests", ("chromium",), _has("chromium")),
    Need("browser tests in half the time", ("chromium-headless-shell",), _has_headless),
    Need("pull tests: a local registry", ("docker-registry",), _has("docker-registry")),
    Need("network name spaces of tests", ("iproute2",), _has("ip")),
    Need("tests that ask an engine over its socket", ("curl",), _has("curl")),
    Need("tests of nodes behind ssh", ("openssh-server",), _has("sshd")),
    Need("tests of Podman as a node", ("podman",), _has("podman")),
    Need("tests of signing in by LDAP", ("slapd",), _has("slapd")),
    Need("tests on PostgreSQL", ("postgresql",), _has_postgres),
)


def needs(*, docker: bool, kvm: bool, tests: bool = False) -> list[Need]:
    """What is missing on this machine."""
    wanted = [*BASE, *(DOCKER if docker else ()), *(KVM if kvm else ()), *(TESTS if tests else ())]
    return [need for need in wanted if not need.is_met()]


def system_install(missing: list[Need], *, yes: bool) -> None:
    """Say what and why, ask unless ``yes``, install. Raises ``LaunchError`` with the exact line to
    run when that cannot be done from here."""
    if not missing:
        return
    names = sorted({name for need in missing for name in need.packages})
    print("LibGo needs these system packages:")
    for need in missing:
        print(f"  {' '.join(need.packages):<60} for {need.why}")
    line = f"apt-get install -y --no-install-recommends {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise LaunchError(
            f"This machine has no apt-get. Install by hand what these provide: {' '.join(names)}"
        )
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and shutil.which("sudo") is None:
        raise LaunchError(f"Run this as root, then start again: {line}")
    if not yes and not _agreed("Install them now? [Y/n] "):
        raise LaunchError(f"Nothing was installed. The line is: {line}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    keep = ["env", "DEBIAN_FRONTEND=noninteractive"] if prefix else []
    _run([*prefix, *keep, "apt-get", "update", "-q"], environ, "the package lists could not be fetched")
    # Only now the lists are there to tell what can be installed together.
    line = f"apt-get install -y --no-install-recommends {' '.join(_resolvable(names))}"
    _run(
        [*prefix, *keep, *line.split()], environ, f"the packages could not be installed. The line was: {line}"
    )


def _resolvable(names: list[str]) -> list[str]:
    """Debian has node and npm apart; other sources of node bring npm along, and then the package of
    that name conflicts with it."""
    if "npm" not in names or shutil.which("apt-get") is None:
        return names
    tried = subprocess.run(["apt-get", "install", "--dry-run", "-y", "nodejs", "npm"], capture_output=True)
    return names if tried.returncode == 0 else [name for name in names if name != "npm"]


def python_install(*, kvm: bool, tests: bool = False) -> None:
    """The virtual environment with the pinned packages; nothing to do when its stamp fits."""
    files = [ROOT / ("requirements-dev.txt" if tests else "requirements.txt"), ROOT / "requirements.txt"]
    if kvm:
        files.append(ROOT / "requirements-kvm.txt")
    stamp = VENV / f".libgo-{'test' if tests else 'run'}{'-kvm' if kvm else ''}"
    wanted = _digest(files)
    if _read(stamp) == wanted and Path(state.python()).exists():
        return
    if not Path(state.python()).exists():
        print("Making the Python environment (.venv)")
        _run([sys.executable, "-m", "venv", str(VENV)], None, "the Python environment could not be made")
    print("Installing the pinned Python packages")
    arguments = [word for file in dict.fromkeys(files) for word in ("-r", str(file))]
    _run(
        [state.python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments],
        None,
        "the Python packages could not be installed",
    )
    stamp.write_text(wanted)


def assets_install() -> None:
    """The packages of package.json, by their lock."""
    stamp, wanted = ROOT / "node_modules" / ".libgo", _digest([ROOT / "package-lock.json"])
    if _read(stamp) == wanted:
        return
    print("Installing the front-end assets")
    npm = str(shutil.which("npm", path=_path()))
    _run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        None,
        "npm could not fetch the assets",
        ROOT,
    )
    stamp.write_text(wanted)


def kernel_keep() -> None:
    """Keep a kernel and an agent for the demo guest, so that making it later needs no network."""
    cache = state.var() / "cache"
    if shutil.which("apt-cache") is None:
        return
    if not list(cache.glob("qemu-guest-agent_*.deb")):
        subprocess.run(["apt-get", "download", "-q", "qemu-guest-agent"], cwd=cache, capture_output=True)
    if list(cache.glob("linux-image-*.deb")):
        return
    said = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True
    ).stdout
    names = [line.split()[1] for line in said.splitlines() if "Depends: linux-image-" in line]
    if names:
        print("Keeping a small kernel for the demo guest")
        subprocess.run(["apt-get", "download", "-q", names[0]], cwd=cache, capture_output=True)


def _agreed(question: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        return False
    return input(question).strip().lower() in ("", "y", "yes")


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(
    command: list[str], environ: dict[str, str] | None, failure: str, folder: Path | None = None
) -> None:
    done = subprocess.run(command, env=environ, cwd=folder, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise LaunchError(
            f"{failure[0].upper()}{failure[1:]} (exit code {done.returncode}); the lines above say why."
        )
