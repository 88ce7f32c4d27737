"""Asks every route of the schema, as every role, with what fits and what does not.

Run by test_schema.py in a network name space of its own, so that no address the fuzzer makes up is
ever reached: ``python -m tests.attacks.sweep FOLDER DOCKER_URL EXAMPLES``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.live import PASSWORD, ROOT, LiveConsole

# Undocumented statuses, 500 among them, and answers that do not have the documented shape.
_CHECKS = "status_code_conformance,response_schema_conformance,content_type_conformance"
# These end the sweep's own session or take its engine away; tests of their own ask them.
_NOT_AS_ADMIN = (
    r"^/api/v1/(auth/logout|profile/password|users|nodes/\{node_id\}|docker/system/prune)",
    r"^/api/v1/projects/\{project_id\}(/limits|/members.*)?$",
)


def main(folder: str, docker_url: str, examples: str) -> int:
    console = LiveConsole(
        Path(folder), DOCKER_HOST=docker_url, LIBGO_LIBVIRT_ENABLED="false", LIBGO_DEFAULT_BACKEND="docker"
    )
    try:
        console.start()
        _seed(console)
        return max(_sweep(console, name, examples) for name in ("viewer", "operator", "admin"))
    finally:
        console.stop()


def _seed(console: LiveConsole) -> None:
    """Accounts, and one thing of most kinds to be found."""
    for role in ("viewer", "operator"):
        body = {"username": role, "password": PASSWORD, "role": role}
        assert console.api("POST", "/users", body).status_code == 201
    console.create("web", "docker")


def _sweep(console: LiveConsole, username: str, examples: str) -> int:
    token = console.log_in(username)
    command: list[Any] = [str(Path(sys.executable).with_name("st")), "run", f"{console.url}/api/schema"]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", _CHECKS, "--seed", "1"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--workers", "2"]
    command += ["--continue-on-failure", "--request-timeout", "90", "--no-color", "--warnings", "off"]
    for pattern in _NOT_AS_ADMIN if username == "admin" else _NOT_AS_ADMIN[:1]:
        command += ["--exclude-path-regex", pattern]
    print(f"== as {username}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
