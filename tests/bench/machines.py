"""Virtual machines: a guest from nothing to its prompt, beside virsh; the list page of many machines."""

from __future__ import annotations

import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import requests
from lxml import etree

from kvm.engine.names import serial_log_path
from tests.bench.figures import interleaved, row
from tests.bench.run import Found, Site
from tests.bench.wire import logged_in
from tests.live import LiveConsole, until

_POOL, _IMAGE = "default", "libgo-demo"
_IMAGES = Path("/var/lib/libvirt/images")
_MEMORY = 192 * 1024**2
_PROMPT = b"# "
_ROUNDS = 2
_UP = b"LIBGO GUEST UP"
_MACHINES = 100
# Where nothing is to be heard of it, how it goes on is looked up so often.
_LOOK_S = 1.0


# Seconds to the start of the emulator, and to the guest's prompt; tidying up is not in them.
Times = tuple[float, float]


def guests(site: Site) -> Found:
    """A guest to its serial prompt: through LibGo, and by virsh doing the same."""
    cases = {"LibGo: a VM from nothing": _by_libgo, "virsh: the same": _by_virsh}
    starts: dict[str, list[float]] = {name: [] for name in cases}
    prompts: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(site.few(_ROUNDS)):
        for name, case in cases.items():
            started, answered = case(site)
            starts[name].append(started * 1000)
            prompts[name].append(answered * 1000)
    for name, values in starts.items():
        yield row(f"{name}, to the start of its emulator", values)
    ours, engine = (row(f"{name}, to the prompt", values) for name, values in prompts.items())
    yield engine
    yield ours.beside(engine)


def _by_libgo(site: Site) -> Times:
    console, name = site.console, site.name()
    began = time.perf_counter()
    made = asked(console, name)
    try:
        return prompt_wait(console, made, serial_log_path(made["id"]), began)
    finally:
        console.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


def asked(console: LiveConsole, name: str, **more: Any) -> dict[str, Any]:
    """The instance as it was answered, with the id of the ``operation`` that makes it."""
    body = {
        "name": name,
        "backend": "kvm",
        "config": {"image": _IMAGE, "network": "none"},
        "resources": {"memory": {"limit": _MEMORY}},
        **more,
    }
    answer = console.api("POST", "/compute/instances", body)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    return {**found["instance"], "operation": found["operation"]["id"]}


def _by_virsh(site: Site) -> Times:
    """What LibGo makes is made once to be copied; then virsh makes the same, step by step."""
    console, model = site.console, site.name()
    made = asked(console, model, auto_start=False)
    until(lambda: console.get(f"/compute/instances/{made['id']}")["active_operation"] is None, "made", 60)
    name, own = site.name(), str(uuid.uuid4())
    log = serial_log_path(own)
    try:
        with tempfile.TemporaryDirectory(dir=site.folder) as folder:
            definition, seed = Path(folder) / "domain.xml", Path(folder) / "seed.iso"
            xml = etree.fromstring(_virsh("dumpxml", "--inactive", model))
            seed_path = _renamed(xml, name, own, log)
            seed.write_bytes(Path(seed_path).read_bytes())
            definition.write_bytes(etree.tostring(xml))
            size = str(seed.stat().st_size)
            began = time.perf_counter()
            backing = ("--backing-vol", _IMAGE, "--backing-vol-format", "qcow2")
            _virsh("vol-create-as", _POOL, f"{name}.disk", "40M", "--format", "qcow2", *backing)
            _virsh("vol-create-as", _POOL, f"{name}.iso", f"{size}b", "--format", "raw")
            _virsh("vol-upload", "--pool", _POOL, f"{name}.iso", str(seed))
            _virsh("define", str(definition))
            _virsh("start", name)
            return prompt_wait(console, made, log, began)
    finally:
        for verb in ("destroy", "undefine"):
            subprocess.run(("virsh", "-q", verb, name), check=False, capture_output=True)
        for volume in (f"{name}.disk", f"{name}.iso"):
            subprocess.run(
                ["virsh", "-q", "vol-delete", "--pool", _POOL, volume], check=False, capture_output=True
            )
        log.unlink(missing_ok=True)
        console.api("DELETE", f"/compute/instances/{model}?force=true&wait=60")


def _renamed(xml: Any, name: str, own: str, log: Path) -> str:
    """The definition for another VM; the path of the seed that the first one has."""
    xml.find("./name").text, xml.find("./uuid").text = name, own
    metadata = xml.find("./metadata")
    if metadata is not None:
        xml.remove(metadata)
    seed = ""
    for disk in xml.iterfind("./devices/disk"):
        source = disk.find("./source")
        if source is None:
            continue
        if disk.get("device") == "cdrom":
            seed = source.get("file")
            source.set("file", str(_IMAGES / f"{name}.iso"))
        else:
            source.set("file", str(_IMAGES / f"{name}.disk"))
    for line in xml.iterfind("./devices//log"):
        line.set("file", str(log))
    return seed


def _virsh(*words: str) -> bytes:
    return subprocess.run(["virsh", "-q", *words], check=True, capture_output=True, timeout=120).stdout


def prompt_wait(console: LiveConsole, made: dict[str, Any], log: Path, began: float) -> Times:
    """The log begins with the emulator; the one that was ``asked`` for may have failed before it."""
    started, said, looked = 0.0, b"", began
    while _UP not in said or _PROMPT not in said[said.index(_UP) :]:
        now = time.perf_counter()
        assert now - began < 180, f"the guest did not come to its prompt: {said[-300:]!r}"
        if log.exists():
            started, said = started or now - began, log.read_bytes()
        elif now - looked > _LOOK_S:
            looked = now
            operation = console.get(f"/operations/{made['operation']}")
            assert operation["state"] not in ("failed", "interrupted"), operation["error"]
        time.sleep(0.02)
    return started, time.perf_counter() - began


def machine_lists(site: Site) -> Found:
    """The page of all machines and the API's list, with one defined machine and with a hundred."""
    console, conn, mark = site.console, libvirt.open("qemu:///system"), site.name()
    http = logged_in(console)
    token = {"Authorization": f"Bearer {console.log_in()}"}
    made: list[libvirt.virDomain] = []
    marks = {f"{mark}-one": 1, f"{mark}-many": _MACHINES}
    cases: dict[str, Callable[[], Any]] = {}
    try:
        for word, count in marks.items():
            made += [conn.defineXML(small(f"{word}-{number}")) for number in range(count)]
            found = partial(_total, console, word)
            until(lambda found=found, count=count: found() == count, "the mirror has them", 60)  # type: ignore[misc]
            page, api = (
                f"{console.url}/instances?q={word}",
                f"{console.url}/api/v1/compute/instances?q={word}",
            )
            cases[f"LibGo: list page, {count} defined"] = partial(page_read, http, page, mark.encode())
            cases[f"LibGo: API list, {count} defined"] = partial(_api, http, f"{api}&page_size=500", token)
        yield from interleaved(cases, site.few(30)).values()
    finally:
        for domain in made:
            domain.undefine()
        conn.close()


def _total(console: LiveConsole, word: str) -> int:
    return int(console.get(f"/compute/instances?q={word}")["total"])


def _api(http: requests.Session, url: str, token: dict[str, str]) -> bytes:
    return http.get(url, headers=token, timeout=20).content


def small(name: str) -> str:
    root = etree.Element("domain", type="qemu")
    etree.SubElement(root, "name").text = name
    etree.SubElement(root, "memory", unit="MiB").text = "32"
    etree.SubElement(etree.SubElement(root, "os"), "type").text = "hvm"
    return str(etree.tostring(root, encoding="unicode"))


@contextmanager
def defined(name: str) -> Iterator[libvirt.virDomain]:
    """One without a disk, that nobody else knows; gone afterwards."""
    conn = libvirt.open("qemu:///system")
    domain = conn.defineXML(small(name))
    try:
        yield domain
    finally:
        if domain.isActive():
            domain.destroy()
        domain.undefine()
        conn.close()


def page_read(http: requests.Session, url: str, holds: bytes) -> bytes:
    answer = http.get(url, timeout=20)
    assert answer.ok and holds in answer.content, answer.status_code
    return answer.content
