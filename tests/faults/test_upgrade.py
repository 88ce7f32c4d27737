"""A site goes from one version to the next, process by process, while it works."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.brokers import Broker
from tests.faults.cases import QUIET, quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, ended_of
from tests.live import ENDED, ROOT, LiveConsole, until

# Longer than a sweep and what it rings again after.
_LEFT_ALONE_S = 18.0
_CPU_S_MOST = 4.0
_MODEL = Path("compute/models/operation.py")
# A column that the old site knows nothing of, at the end of the others.
_COLUMN = "    urgency = models.PositiveSmallIntegerField(default=3, db_default=3)\n"
_NAMES_COMMANDS = (
    "import json; from libgo_site.launch.supervisor import children; "
    "print(json.dumps({child.name: child.command for child in children()}))"
)
_LINGERS = ["sh", "-c", "trap '' TERM; until [ -e /tmp/go ]; do sleep 0.2; done"]


class NewerSite:
    """The same code with payloads of the next version and one more migration, on what the old site has:
    database, broker, key. ``console`` speaks to its web."""

    def __init__(self, folder: Path, old: LiveConsole) -> None:
        self.tree = folder
        self.console = LiveConsole(old.var, **{name: old.environ[name] for name in _shared(old)})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        _copy(self.tree)
        model = (self.tree / _MODEL).read_text()
        model, raised = re.subn(r"^PAYLOAD_VERSION = 1$", "PAYLOAD_VERSION = 2", model, flags=re.MULTILINE)
        assert raised == 1
        (self.tree / _MODEL).write_text(model.replace("    class Meta:", f"{_COLUMN}\n    class Meta:", 1))
        self.manage("makemigrations", "compute", "--name", "newer")

    def manage(self, *words: str) -> str:
        return self._run("manage.py", *words)

    def start(self, name: str) -> None:
        command = json.loads(self._run("-c", _NAMES_COMMANDS))[name]
        with (self.console.var / "logs" / f"newer-{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=self.tree, env=self.console.environ, stdout=log, stderr=log
            )

    def end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(30)

    def _run(self, *words: str) -> str:
        command = [str(self.tree / ".venv/bin/python"), *words]
        done = subprocess.run(
            command, cwd=self.tree, env=self.console.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _shared(old: LiveConsole) -> list[str]:
    return [name for name in ("DATABASE_URL", "REDIS_URL") if name in old.environ]


def _copy(folder: Path) -> None:
    """The files of this checkout, as they are now, with what is installed beside them."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, told.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in (".venv", "node_modules"):
        (folder / name).symlink_to((ROOT / name).resolve())


class Watch:
    """Asks webs for lists and pages all the time; ``bad``: what they could not answer."""

    def __init__(self) -> None:
        self.answers, self.bad = 0, list[str]()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, console: LiveConsole) -> None:
        thread = threading.Thread(target=self._run, args=(console.url, console.token()))
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, url: str, token: str) -> None:
        paths = ("/api/v1/compute/instances", "/api/v1/operations", "/login")
        while not self._over.wait(0.2):
            for path in paths:
                try:
                    self._look(url + path, token)
                except requests.RequestException as error:
                    self.bad.append(f"{path}: {error!r}")

    def _look(self, url: str, token: str) -> None:
        answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self.answers += 1
        if answer.status_code != 200:
            self.bad.append(f"{url}: {answer.status_code}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def old(engines: None, short: Path, request: pytest.FixtureRequest) -> Iterator[LiveConsole]:
    """A site with a broker and a database for all its hosts."""
    environ = {}
    if request.param == "postgresql":
        environ["DATABASE_URL"] = request.getfixturevalue("postgres").url
    broker = Broker(short / "broker")
    broker.start()
    made = LiveConsole(short / "var", REDIS_URL=broker.url, **environ)
    try:
        yield made.start()
    finally:
        made.stop()
        broker.end()


@pytest.fixture
def newer(old: LiveConsole, short: Path) -> Iterator[NewerSite]:
    made = NewerSite(short / "newer", old)
    yield made
    made.end()


@pytest.fixture
def word(engines: None) -> Iterator[str]:
    """With which the names of what a test makes begin."""
    made = f"libgo-t-u{os.getpid()}-{os.urandom(2).hex()}"
    yield made
    for name in _containers(made):
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)


def _containers(word: str) -> list[str]:
    words = ["docker", "ps", "-a", "--filter", f"name=^{word}", "--format", "{{.Names}}"]
    return sorted(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())


def _order(console: LiveConsole, name: str) -> requests.Response:
    answer = console.api("POST", "/compute/instances", quiet_body(name, "local-docker", auto_start=False))
    assert answer.status_code == 202, answer.text
    return answer


def _path(answer: requests.Response) -> str:
    return f"/operations/{answer.json()['operation']['id']}"


def _cpu_s(pid: int) -> float:
    """How long a process has had a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _worker_retire(old: LiveConsole) -> None:
    """As on a host that is upgraded: it ends what it does, and nobody starts it again."""
    worker = old.pid("worker")
    os.kill(_supervisor(old), signal.SIGSTOP)
    os.kill(worker, signal.SIGTERM)
    until(lambda: Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "gone", 30)


def _migrated_under_way(old: LiveConsole, newer: NewerSite, name: str) -> None:
    """A container that does not want to stop is being stopped while the database gets the newer tables."""
    lingers = old.create(name, "docker", node="local-docker", config={**QUIET, "command": _LINGERS})
    stopped = old.api("PUT", f"/compute/instances/{lingers['id']}/stop", {"timeout": 120})
    until(lambda: old.get(_path(stopped))["state"] == "running", "it is being stopped", 20)
    newer.manage("migrate")
    assert old.get(_path(stopped))["state"] == "running", "the migration fell into it"
    subprocess.run(["docker", "exec", name, "touch", "/tmp/go"], check=True)
    assert ended_of(old, stopped)["state"] == "succeeded"
    assert old.get(f"/compute/instances/{lingers['id']}")["state"] == "stopped"


def _left_alone(old: LiveConsole, newer: NewerSite, word: str) -> requests.Response:
    """An order of the newer web, which the old worker must not touch; it does what the old web orders."""
    waits = _order(newer.console, f"{word}-new")
    until(lambda: "newer version" in old.get(_path(waits))["step"], "it says for what it waits", 10)
    cpu_s, began = _cpu_s(old.pid("worker")), time.monotonic()
    assert ended_of(old, _order(old, f"{word}-old"))["state"] == "succeeded"
    while time.monotonic() - began < _LEFT_ALONE_S:
        told = newer.console.get(_path(waits))
        assert (told["state"], told["step"]) == ("queued", "Waits for a worker of the newer version of LibGo")
        time.sleep(0.5)
    assert _cpu_s(old.pid("worker")) - cpu_s < _CPU_S_MOST
    return waits


@fault(
    "F50",
    "the database is migrated while a container is being stopped; a web of the newer version, and then its "
    "worker, run beside the old ones, and the old worker ends",
    sees="all goes on; what the newer web ordered says that it waits for a worker of the newer version",
    keeps="every operation, carried out once by a worker that can read it; no error 5xx of either web",
)
def test_a_site_is_upgraded_process_by_process_while_it_works(
    old: LiveConsole, newer: NewerSite, word: str, watch: Watch, measured: Measured
) -> None:
    watch.begin(old)
    _migrated_under_way(old, newer, f"{word}-lingers")
    newer.start("web")
    until(lambda: newer.console.get("/nodes"), "the newer web answers", 40)
    watch.begin(newer.console)
    waits = _left_alone(old, newer, word)
    newer.start("worker")
    took = until(lambda: newer.console.get(_path(waits))["state"] in ENDED, "the newer worker has it", 40)
    measured("the newer worker had it after", took)
    assert old.get(_path(waits))["state"] == "succeeded"
    _worker_retire(old)
    try:
        both = [_order(old, f"{word}-old-web"), _order(newer.console, f"{word}-new-web")]
        assert [ended_of(old, each)["state"] for each in both] == ["succeeded", "succeeded"]
    finally:
        os.kill(_supervisor(old), signal.SIGCONT)
    watch.end()
    assert not watch.bad and watch.answers > 20, watch.bad[:5]
    names = ("lingers", "new", "new-web", "old", "old-web")
    assert _containers(word) == [f"{word}-{name}" for name in names]
    assert _open(old) == [] and old.get("/audit/verify")["holds"]


def _supervisor(old: LiveConsole) -> int:
    return int(json.loads((old.var / "run" / "processes.json").read_text())["supervisor"])


def _open(old: LiveConsole) -> list[Any]:
    return [row for row in old.get("/operations?page_size=200")["items"] if row["state"] not in ENDED]
