"""The long actions of LibGo, each asked for in the same way, and what they may leave on the engines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from kvm.engine.export import MARK
from tests.live import LiveConsole

POOL = Path("/var/lib/libvirt/images")
QUIET = {"image": "libgo/demo:latest", "network_mode": "none"}
MACHINE = {"image": "libgo-demo", "network": "none"}
_STACK = """services:
  one:
    image: libgo/demo:latest
    labels: {libgo.test: live}
    volumes: ["data:/data"]
volumes: {data: {labels: {libgo.test: live}}}
"""


def quiet_body(name: str, node: str = "", **more: Any) -> dict[str, Any]:
    """For ``POST /compute/instances``: a container without a network; on the node of this name, if any."""
    body = {"name": name, "backend": "docker", "config": QUIET, "labels": {"libgo.test": "live"}, **more}
    return {**body, "node": node} if node else body


Ask = Callable[[LiveConsole, str], requests.Response]


def _instances_gone(live: LiveConsole, word: str) -> None:
    for name in (word, f"src-{word}"):
        live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


@dataclass(frozen=True)
class Case:
    """``ask`` begins the action on what is called ``word``; ``arrange`` makes what must be there before.
    ``tidy`` takes away whatever is there of that name when all is over."""

    name: str
    action: str
    ask: Ask
    arrange: Callable[[LiveConsole, str], Any] = lambda live, word: None
    tidy: Callable[[LiveConsole, str], Any] = _instances_gone
    # What is half there although it has no name of its own.
    half: Callable[[LiveConsole, str], list[str]] = lambda live, word: []
    # What may be there all the same when the operation is lost: it is whole, and what was asked for.
    whole: Callable[[str], set[str]] = lambda word: set()
    # The process that carries it out.
    runs_in: str = "worker"
    subject: Callable[[str], str] = lambda word: word

    @property
    def backend(self) -> str:
        return "kvm" if self.name.endswith(" VM") else "docker"

    @property
    def makes(self) -> bool:
        return self.action not in ("instance.snapshot", "instance.delete")


def things_of(live: LiveConsole, word: str) -> set[str]:
    """All that the engines and LibGo's own folders have under this name."""
    listed = {
        "container": ["docker", "ps", "-a", "--format", "{{.Names}}"],
        "volume": ["docker", "volume", "ls", "--format", "{{.Name}}"],
        "network": ["docker", "network", "ls", "--format", "{{.Name}}"],
        "image": ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"],
        "domain": ["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"],
    }
    found = {f"{kind} {name}" for kind, words in listed.items() for name in _run(words) if word in name}
    found |= {f"file {name}" for name in os.listdir(POOL) if word in name}
    return found


def leftovers_of(uid: str) -> set[str]:
    """What is called by the id of an instance: volumes of libvirt, snapshots of containers."""
    found = {f"file {name}" for name in os.listdir(POOL) if uid in name}
    images = _run(["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"])
    return found | {f"image {name}" for name in images if uid in name}


def _run(words: list[str]) -> list[str]:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def _create(backend: str, config: dict[str, Any], **more: Any) -> Ask:
    def ask(live: LiveConsole, word: str) -> requests.Response:
        body = {"name": word, "backend": backend, "config": config, "labels": {"libgo.test": "live"}, **more}
        if backend == "kvm":
            body["resources"] = {"memory": {"limit": 192 * 1024**2}}
        return live.api("POST", "/compute/instances", body)

    return ask


def _with_volume(live: LiveConsole, word: str) -> requests.Response:
    return _create("docker", {**QUIET, "volumes": [f"{word}-data:/data"]})(live, word)


def _volume_gone(live: LiveConsole, word: str) -> None:
    _instances_gone(live, word)
    live.api("DELETE", f"/docker/volumes/{word}-data?wait=60")


def _there(live: LiveConsole, word: str, backend: str) -> None:
    config = QUIET if backend == "docker" else MACHINE
    live.create(word, backend, config=config, auto_start=False)


def _source(backend: str) -> Callable[[LiveConsole, str], None]:
    return lambda live, word: _there(live, f"src-{word}", backend)


def _made(backend: str) -> Callable[[LiveConsole, str], None]:
    return lambda live, word: _there(live, word, backend)


def _clone(live: LiveConsole, word: str) -> requests.Response:
    return live.api("POST", f"/compute/instances/src-{word}/clone", {"name": word, "auto_start": False})


def _of_it(tail: str, body: dict[str, Any]) -> Ask:
    return lambda live, word: live.api("POST", f"/compute/instances/{word}/{tail}", body)


def _delete(live: LiveConsole, word: str) -> requests.Response:
    return live.api("DELETE", f"/compute/instances/{word}?force=true")


def _with_snapshot(backend: str) -> Callable[[LiveConsole, str], None]:
    def arrange(live: LiveConsole, word: str) -> None:
        _there(live, word, backend)
        taken = live.api("POST", f"/compute/instances/{word}/snapshots?wait=60", {"name": "s"})
        assert taken.status_code in (200, 201), taken.text

    return arrange


def _sent(path: str) -> Ask:
    """A small disk image as the body."""

    def ask(live: LiveConsole, word: str) -> requests.Response:
        file = live.var / f"{word}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "2M"], check=True)
        headers = {"Authorization": f"Bearer {live.token()}", "Content-Type": "application/octet-stream"}
        url = f"{live.url}/api/v1{path.format(word)}"
        return requests.post(url, data=file.read_bytes(), headers=headers, timeout=90)

    return ask


def _deploy(live: LiveConsole, word: str) -> requests.Response:
    return live.api("POST", "/docker/stacks", {"name": word, "compose": _STACK})


def _stack_gone(live: LiveConsole, word: str) -> None:
    live.api("DELETE", f"/docker/stacks/{word}?volumes=true&wait=60")


def _snapshots(live: LiveConsole, word: str) -> list[str]:
    return [f"snapshot {row['name']}" for row in live.get(f"/compute/instances/{word}/snapshots")["items"]]


def _exports(live: LiveConsole, word: str) -> list[str]:
    folder = live.var / "exports"
    # The mark goes when the file is whole; that one stays, it is listed and can be fetched.
    return [f"export {mark.parent}" for mark in folder.glob(f"*/{MARK}")]


def _exports_gone(live: LiveConsole, word: str) -> None:
    for job in live.get("/exports")["jobs"]:
        if word in str(job):
            live.api("DELETE", f"/exports/{job['id']}")
    _instances_gone(live, word)


_SEED = {"hostname": "seeded"}
CASES = (
    Case("create a container", "instance.create", _with_volume, tidy=_volume_gone),
    Case("create a VM", "instance.create", _create("kvm", {**MACHINE, "cloud_init": _SEED})),
    Case("clone a container", "instance.create", _clone, _source("docker")),
    Case("clone a VM", "instance.create", _clone, _source("kvm")),
    Case(
        "export a VM",
        "instance.export",
        _of_it("export", {"format": "qcow2"}),
        _made("kvm"),
        _exports_gone,
        _exports,
    ),
    Case(
        "snapshot a container",
        "instance.snapshot",
        _of_it("snapshots", {"name": "s"}),
        _made("docker"),
        half=_snapshots,
    ),
    Case(
        "snapshot a VM",
        "instance.snapshot",
        _of_it("snapshots", {"name": "s"}),
        _made("kvm"),
        half=_snapshots,
    ),
    Case("delete a container", "instance.delete", _delete, _with_snapshot("docker")),
    Case("delete a VM", "instance.delete", _delete, _with_snapshot("kvm")),
    Case("deploy a stack", "stack.deploy", _deploy, tidy=_stack_gone),
    Case(
        "import a VM",
        "instance.create",
        _sent("/compute/instances/import?name={}&network=none&auto_start=false"),
        runs_in="web",
    ),
    Case(
        "upload an image",
        "image.upload",
        _sent("/kvm/images?name={}"),
        tidy=lambda live, word: live.api("DELETE", f"/kvm/images/{word}"),
        runs_in="web",
        subject=lambda word: f"default/{word}",
    ),
)


def pull_of(registry: str) -> Case:
    """Of an image that this registry has, and the engine has not."""

    def name(word: str) -> str:
        return f"{registry}/{word}:1"

    def arrange(live: LiveConsole, word: str) -> None:
        for words in (["tag", QUIET["image"]], ["push", "-q"], ["rmi"]):
            _run(["docker", *words, name(word)])

    def ask(live: LiveConsole, word: str) -> requests.Response:
        return live.api("POST", "/docker/images/pull", {"image": name(word)})

    def tidy(live: LiveConsole, word: str) -> None:
        live.api("DELETE", f"/docker/images/{name(word)}?wait=60")

    def whole(word: str) -> set[str]:
        return {f"image {name(word)}"}

    return Case("pull", "image.pull", ask, arrange, tidy, whole=whole, subject=name)
