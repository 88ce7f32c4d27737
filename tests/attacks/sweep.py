"""Asks every route of the schema of a whole console with a real engine, with what fits and what does not.

As the administrator: the other roles ask the same routes inside the process (``test_schema_roles.py``), and
so does whoever sends each field wrongly to what changes something: that no engine gets to see.

Run by test_schema*.py in a network name space of its own, so that no address the fuzzer makes up is
ever reached: ``python -m tests.attacks.sweep FOLDER docker|kvm DOCKER_URL EXAMPLES``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.live import ROOT, LiveConsole
from tests.thorough import cut

# Undocumented statuses, 500 among them, and answers that do not have the documented shape.
_CHECKS = "status_code_conformance,response_schema_conformance,content_type_conformance"
# Each engine is asked what it alone has; the one that is there in every sweep is asked the rest.
_OF_KVM = r"^/api/v1/(vms|exports|kvm|storage|networks|compute/instances)"
_ONLY_KVM = r"^/api/v1/(vms|exports|kvm|storage|networks)(/|$)"
# Of the routes, what a run covers field by field that is not thorough.
_ONE_OF = 6
# These end the sweep's own session or take its engine away; tests of their own ask them.
_NOT = (
    r"^/api/v1/(auth/logout|profile/password|users|nodes/\{node_id\}|docker/system/prune)",
    r"^/api/v1/projects/\{project_id\}(/limits|/members.*)?$",
    # A pool is a folder of this machine, wherever the fuzzer wants it.
    r"^/api/v1/storage/pools$",
)


def main(folder: str, backend: str, docker_url: str, examples: str) -> int:
    off = {"docker": "LIBVIRT", "kvm": "DOCKER"}[backend]
    environ = {"DOCKER_HOST": docker_url, f"LIBGO_{off}_ENABLED": "false", "LIBGO_DEFAULT_BACKEND": backend}
    console = LiveConsole(Path(folder), **environ)
    try:
        console.start()
        _seed(console, backend)
        sweep = _Sweep(console, backend, _phases(console, Path(folder)), examples)
        with ThreadPoolExecutor(2) as side_by_side:
            return max(side_by_side.map(sweep.run, ("--include-method", "--exclude-method")))
    finally:
        console.stop()


def _seed(console: LiveConsole, backend: str) -> None:
    """One thing to be found."""
    console.create("web", backend)


def _phases(console: LiveConsole, folder: Path) -> dict[str, Path]:
    """By phase of schemathesis, the schema to go through. Every route is asked; with each shape that each of
    its fields can take, some of them, or all."""
    told = _schema(console)
    some = cut(sorted(told["paths"]), _ONE_OF)
    parts = {"fuzzing": told, "coverage": {**told, "paths": {path: told["paths"][path] for path in some}}}
    files = {phase: folder / f"{phase}.json" for phase in parts}
    for phase, file in files.items():
        file.write_text(json.dumps(parts[phase]))
    return files


def _schema(console: LiveConsole) -> dict[str, Any]:
    """The console's own, each action once: most have a second method for the same (``POST``, ``PUT``)."""
    asked = {"Accept": "application/vnd.oai.openapi+json"}
    told = requests.get(f"{console.url}/api/schema", headers=asked, timeout=90).json()
    for methods in told["paths"].values():
        for method, twin in (("put", "patch"), ("post", "put")):
            if method in methods:
                methods.pop(twin, None)
    return dict(told)


@dataclass
class _Sweep:
    console: LiveConsole
    backend: str
    phases: dict[str, Path]
    examples: str

    def run(self, which: str) -> int:
        """``--include-method`` GET, or ``--exclude-method`` it. The worst exit code of schemathesis; what it
        found stands on stdout."""
        return max(self._phase(which, phase, schema) for phase, schema in self.phases.items())

    def _phase(self, which: str, phase: str, schema: Path) -> int:
        token = self.console.log_in()
        config = schema.with_name(f"{phase}{which}.toml")
        if which == "--exclude-method":
            config.write_text('[phases.coverage.generation]\nmode = "positive"\n')
        else:
            config.touch()
        command: list[Any] = [str(Path(sys.executable).with_name("st")), "--config-file", str(config)]
        command += ["run", str(schema)]
        command += ["--url", self.console.url, "--header", f"Authorization: Bearer {token}"]
        command += ["--checks", _CHECKS, "--seed", "1", "--phases", phase]
        # One thread: CPython 3.11 can fail to parse source on two at once, which hypothesis does.
        command += ["--workers", "1", "--max-examples", self.examples, "--continue-on-failure"]
        command += ["--request-timeout", "90", "--no-color", "--warnings", "off"]
        command += [which, "GET", *self._chosen()]
        done = subprocess.run(
            command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        print(f"== {phase}, {which} GET\n{done.stdout}", flush=True)
        return done.returncode

    def _chosen(self) -> list[str]:
        left_out = list(_NOT)
        if self.backend != "kvm":
            left_out.append(_ONLY_KVM)
        words = ["--include-path-regex", _OF_KVM] if self.backend == "kvm" else []
        for pattern in left_out:
            words += ["--exclude-path-regex", pattern]
        return words


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
