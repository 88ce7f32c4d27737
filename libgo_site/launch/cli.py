"""``./libgo``: up, down, status, logs, doctor, test, bench, storm, manage."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn

from libgo_site.launch import doctor, engines, packages, state, suite, supervisor
from libgo_site.launch.state import ROOT, LaunchError

# Of ``./libgo test``: every combination, where it tries a cut otherwise.
_THOROUGH = "--thorough"
_READY_WITHIN_S = 60.0
_ENGINES_WITHIN_S = 4.0


def main(arguments: list[str]) -> int:
    """Run one command; a problem of the machine is one sentence on stderr and exit code 1."""
    commands = {
        "up": _up,
        "down": _down,
        "status": _status,
        "logs": _logs,
        "doctor": _doctor,
        "test": _test,
        "bench": _bench,
        "storm": _storm,
        "manage": _manage,
        "supervise": _supervise,
    }
    name, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if name not in commands:
        print(__doc__)
        print((ROOT / "README.md").name + " tells what each does.")
        return 0 if name in ("help", "-h", "--help") else 2
    try:
        return commands[name](rest)
    except LaunchError as problem:
        print(f"libgo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="libgo up", description="Install what is missing and start LibGo.")
    parser.add_argument("-d", "--detach", action="store_true", help="return once it is ready")
    parser.add_argument("--yes", action="store_true", help="install without asking")
    parser.add_argument("--no-install", action="store_true", help="only say what is missing")
    parser.add_argument("--without-docker", action="store_true")
    parser.add_argument("--without-kvm", action="store_true")
    asked = parser.parse_args(arguments)
    docker, kvm = not asked.without_docker, not asked.without_kvm
    _choose_halves(docker, kvm)
    if supervisor.running_pid():
        print(f"LibGo runs already: {state.url()}")
        return 0
    state.folders_make()
    _port_check()
    if asked.no_install:
        _say_missing(docker, kvm)
    else:
        packages.system_install(packages.needs(docker=docker, kvm=kvm), yes=asked.yes)
        packages.python_install(kvm=kvm)
        packages.assets_install()
        if kvm:
            packages.kernel_keep()
    engines.engines_start(docker=docker, kvm=kvm)
    _prepare()
    if asked.detach:
        return _start_detached()
    print(
        f"LibGo starts at {state.url()} (Ctrl-C stops it; the engines and what runs on them go on)",
        flush=True,
    )
    os.execve(state.python(), [state.python(), "-m", "libgo_site.launch", "supervise"], state.environment())  # nosec B606 # our own interpreter with our own words


def _choose_halves(docker: bool, kvm: bool) -> None:
    """Leaving one half out is configuration for every process started from here."""
    if not docker:
        os.environ["LIBGO_DOCKER_ENABLED"] = "false"
    if not kvm:
        os.environ["LIBGO_LIBVIRT_ENABLED"] = "false"


def _say_missing(docker: bool, kvm: bool) -> None:
    missing = packages.needs(docker=docker, kvm=kvm)
    for need in missing:
        print(f"missing for {need.why}: {' '.join(need.packages)}")
    if not Path(state.python()).exists():
        raise LaunchError("The Python environment is missing; without --no-install ./libgo up makes it.")


def _port_check() -> None:
    family = socket.AF_INET6 if ":" in state.host() else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((state.host(), state.port()))
        except OSError as error:
            raise LaunchError(
                f"Port {state.port()} on {state.host()} cannot be used ({error.strerror}). Stop what "
                "holds it, or choose another with LIBGO_PORT."
            ) from error


def _prepare() -> None:
    """Database, administrator, local nodes: one short Django process."""
    environ = state.environment()
    stamp, wanted = state.var() / "prepared", _prepared_digest(environ)
    built = all(path.with_suffix(".mo").exists() for path in _languages())
    if built and stamp.exists() and stamp.read_text() == wanted:
        return
    first = not (state.var() / "admin_made").exists()
    if first and not environ.get("LIBGO_ADMIN_PASSWORD"):
        environ["LIBGO_ADMIN_PASSWORD"] = secrets.token_urlsafe(12)
        environ["LIBGO_ADMIN_PASSWORD_SHOW"] = "1"  # nosec B105 # asks that the password be shown once
    done = subprocess.run([state.python(), "manage.py", "prepare"], cwd=ROOT, env=environ)
    if done.returncode != 0:
        raise LaunchError("LibGo could not be prepared; the lines above say why.")
    (state.var() / "admin_made").touch(mode=0o600)
    stamp.write_text(_prepared_digest(environ))


def _languages() -> list[Path]:
    return sorted(ROOT.glob("libgo_site/locale/*/LC_MESSAGES/*.po"))


def _prepared_digest(environ: dict[str, str]) -> str:
    """Changes with the migrations, the languages, the configuration and the database: then prepare runs
    again."""
    digest = hashlib.sha256()
    for path in (*sorted(ROOT.glob("*/migrations/*.py")), *_languages()):
        digest.update(path.read_bytes())
    config = Path(environ.get("LIBGO_CONFIG") or ROOT / "libgo.yaml")
    digest.update(config.read_bytes() if config.exists() else b"")
    for name in sorted(environ):
        if name.startswith(("LIBGO_", "DATABASE_", "DOCKER_")) and "PASSWORD" not in name:
            digest.update(f"{name}={environ[name]};".encode())
    database = state.var() / "libgo.sqlite3"
    digest.update(str(database.stat().st_ino).encode() if database.exists() else b"none")
    return digest.hexdigest()


def _start_detached() -> int:
    log = (state.var() / "logs" / "supervisor.log").open("ab")
    with log:
        process = subprocess.Popen(
            [state.python(), "-m", "libgo_site.launch", "supervise"],
            cwd=ROOT,
            env=state.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_WITHIN_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            raise LaunchError("LibGo did not become ready. See ./libgo logs web and ./libgo logs supervisor.")
        time.sleep(0.05)
    engines_await()
    print(f"LibGo is ready at {state.url()}")
    return 0


def is_ready() -> bool:
    """Whether ``/health/readiness`` answers 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{state.url()}/health/readiness", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def engines_await() -> None:
    """Give the watcher a moment to meet the engines, so that what is asked for next finds them. One that
    is away holds nobody up for longer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _ENGINES_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
            with opener.open(f"{state.url()}/health", timeout=2) as answer:
                if "unavailable" not in json.load(answer)["backends"].values():
                    return
        time.sleep(0.1)


def _supervise(arguments: list[str]) -> int:
    supervisor.Supervisor().run()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking apart all that is loaded would only take time.
    os._exit(0)


def _down(arguments: list[str]) -> int:
    pid = supervisor.running_pid()
    if pid is None:
        print("LibGo does not run.")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 40
    while supervisor.is_supervisor(pid):
        if time.monotonic() > deadline:
            raise LaunchError(f"The supervisor (process {pid}) does not end; see ./libgo logs supervisor.")
        time.sleep(0.1)
    print("LibGo is stopped. The engines, and what runs on them, go on.")
    return 0


def _status(arguments: list[str]) -> int:
    if supervisor.running_pid() is None:
        print("LibGo does not run.")
        return 3
    known = json.loads(supervisor.status_path().read_text())
    print(f"{known['url']}  {'ready' if is_ready() else 'NOT READY'}")
    for row in known["processes"]:
        print(
            f"  {row['name']:<10} {'pid ' + str(row['pid']) if row['pid'] else 'restarting':<14} "
            f"restarts {row['restarts']}"
        )
    return 0


def _logs(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="libgo logs")
    parser.add_argument("process", nargs="?", help="web, worker, watcher, beat, broker, supervisor")
    parser.add_argument("-f", "--follow", action="store_true")
    asked = parser.parse_args(arguments)
    folder = state.var() / "logs"
    files = sorted(folder.glob("*.log"))
    if asked.process:
        files = [folder / f"{asked.process}.log"]
    missing = [file.stem for file in files if not file.exists()]
    if missing or not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none"
        raise LaunchError(f"There is no log of “{asked.process}”; there are: {known}.")
    command = ["tail", "-n", "100", *(["-F"] if asked.follow else []), *map(str, files)]
    return subprocess.run(command).returncode


def _doctor(arguments: list[str]) -> int:
    return 0 if doctor.report(docker=True, kvm=True) else 1


def _manage(arguments: list[str]) -> int:
    if not Path(state.python()).exists():
        raise LaunchError("The Python environment is missing; ./libgo up makes it.")
    return _become([state.python(), "manage.py", *arguments])


def _bench(arguments: list[str]) -> int:
    _ready_for_tests()
    return _become([state.python(), "-m", "tests.bench", *arguments])


def _become(command: list[str]) -> NoReturn:
    """The launcher is that from now on: a signal that ends the one ends the other."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(command[0], command, state.environment())  # nosec B606 # our own interpreter


def _storm(arguments: list[str]) -> int:
    """The long storm of ``tests/load``, and its table in the documents."""
    parser = argparse.ArgumentParser(prog="libgo storm", description="Everybody at once, while things break.")
    parser.add_argument("--seconds", type=float, default=300, help="how long it lasts (300)")
    parser.add_argument("--seed", type=int, help="of a storm that was, to choose the same again")
    asked = parser.parse_args(arguments)
    os.environ["LIBGO_STORM_SECONDS"] = str(asked.seconds)
    os.environ.setdefault("LIBGO_STORM_TABLE", str(ROOT / "docs" / "load.md"))
    if asked.seed is not None:
        os.environ["LIBGO_STORM_SEED"] = str(asked.seed)
    return _test(["tests/load"])


def _test(arguments: list[str]) -> int:
    started = _ready_for_tests()
    environ = state.environment()
    environ["DJANGO_SETTINGS_MODULE"] = "libgo_site.settings.test"
    environ["LIBGO_TEST_RUN"] = secrets.token_hex(4)
    for name in (
        "LIBGO_VAR",
        "LIBGO_CONFIG",
        "LIBGO_PORT",
        "LIBGO_ADMIN_PASSWORD",
        "DATABASE_URL",
        "REDIS_URL",
        # The processes of a run load the same sources some hundred times: compiled once.
        "PYTHONDONTWRITEBYTECODE",
    ):
        environ.pop(name, None)
    environ["LIBGO_TEST_CACHE"] = str(state.var() / "cache")
    if _THOROUGH in arguments:
        environ["LIBGO_TEST_THOROUGH"] = "1"
        arguments = [word for word in arguments if word != _THOROUGH]
    began = time.monotonic()
    try:
        worst = suite.suite_run(arguments, environ)
    finally:
        engines.engines_stop(started)
    word = "passed" if worst == 0 else f"FAILED (pytest exit code {worst})"
    print(f"libgo test: {word} in {time.monotonic() - began:.0f} s")
    return worst


def _ready_for_tests() -> list[int]:
    """Install and start what tests need; the engines that were started for it."""
    state.folders_make()
    packages.system_install(packages.needs(docker=True, kvm=True, tests=True), yes=True)
    packages.python_install(kvm=True, tests=True)
    packages.assets_install()
    packages.kernel_keep()
    started = engines.engines_start(docker=True, kvm=True)
    for runs, name in ((engines.docker_runs, "Docker engine"), (engines.libvirt_runs, "libvirt")):
        if not runs():
            raise LaunchError(
                f"The {name} does not answer, and no test run is complete without it. ./libgo doctor"
            )
    return started
