"""What is wrong with this machine, and how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dockerapp.engine.advice import engine_advice
from libgo_site.launch import engines, packages, state, supervisor


def report(*, docker: bool, kvm: bool) -> bool:
    """Print one line a finding; True when nothing is wrong."""
    findings: list[tuple[bool, str]] = []
    for need in packages.needs(docker=docker, kvm=kvm):
        findings.append((False, f"missing for {need.why}: apt install {' '.join(need.packages)}"))
    ready = Path(state.python()).exists()
    findings.append((ready, "Python environment" if ready else "no .venv: ./libgo up makes it"))
    assets = (state.ROOT / "node_modules" / ".libgo").exists()
    findings.append(
        (assets, "front-end assets" if assets else "no front-end assets: ./libgo up fetches them")
    )
    if docker:
        runs = engines.docker_runs()
        findings.append((runs, "Docker engine answers" if runs else _docker_advice()))
        if ready:
            findings.append(_compose())
        findings += [(True, f"advice: {text}") for text in _engine_advice()]
    if kvm:
        runs = engines.libvirt_runs()
        findings.append(
            (runs, "libvirt answers" if runs else "libvirt does not answer: ./libgo up starts it")
        )
        if ready:
            findings.append(_binding())
        findings.append(_acceleration())
    if ready:
        findings += _directories()
    free = shutil.disk_usage(state.ROOT).free // 1024**2
    findings.append((free > 1000, f"{free} MB free on the disk"))
    running = supervisor.running_pid()
    findings.append((True, f"LibGo runs at {state.url()}" if running else "LibGo does not run: ./libgo up"))
    for is_well, text in findings:
        print(f"  {'ok  ' if is_well else 'FIX '} {text}")
    return all(is_well for is_well, _ in findings)


def _docker_advice() -> str:
    socket = engines.DOCKER_SOCKET
    if socket.exists() and not os.access(socket, os.W_OK):
        return "you may not use Docker's socket: add your user to the group docker and log in again"
    return "the Docker engine does not answer: ./libgo up starts it"


def _engine_advice() -> list[str]:
    info = engines.docker_info()
    if not info:
        return []
    restores = bool(info.get("LiveRestoreEnabled"))
    return engine_advice(str(info.get("ServerVersion", "")), live_restore=restores)


def _compose() -> tuple[bool, str]:
    code = "from dockerapp.engine.compose_tool import compose_tool as c; print(c().version, c().source)"
    asked = [state.python(), "-c", code]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=state.ROOT, check=False)
    advice = (
        "no Docker Compose from 2.29 on, so no stacks: install the engine's plug-in docker-compose-plugin"
    )
    return done.returncode == 0, f"Docker Compose {done.stdout.strip()}" if done.returncode == 0 else advice


def _directories() -> list[tuple[bool, str]]:
    """What is configured of single sign-on and LDAP, asked as the site would."""
    asked = [state.python(), str(state.ROOT / "manage.py"), "directory_check"]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=state.ROOT, check=False)
    if done.returncode not in (0, 1):
        return [(False, f"sign-in settings cannot be checked: {done.stderr.strip()[-300:]}")]
    return [(line.startswith("ok "), line.partition(" ")[2]) for line in done.stdout.splitlines()]


def _binding() -> tuple[bool, str]:
    code = "import libvirt"
    is_there = subprocess.run([state.python(), "-c", code], capture_output=True).returncode == 0
    advice = "no libvirt binding: .venv/bin/pip install -r requirements-kvm.txt (needs libvirt-dev, gcc)"
    return is_there, "libvirt binding" if is_there else advice


def _acceleration() -> tuple[bool, str]:
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    return True, "KVM acceleration may be available" if usable else "no KVM acceleration: guests run, slower"
