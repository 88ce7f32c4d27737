"""What takes strangers' bytes, given seeds (honest and hostile ones) and what becomes of them by chance: cut,
doubled, mixed and changed. It reads them or says why not; it neither crashes nor hangs nor eats memory."""

from __future__ import annotations

import gzip
import io
import random
import resource
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.errors import ComputeError
from dockerapp.engine import tar
from dockerapp.engine.compose_text import document_read
from dockerapp.engine.context import tar_plain
from dockerapp.engine.tar import TarFilter
from kvm.cloud_init import cloud_init_check, structured
from kvm.engine.definition import _wanted
from kvm.engine.image_check import header_check
from kvm.engine.imports import import_look
from kvm.engine.ovf import OvfDisk, OvfMachine, ovf_read, ovf_xml
from kvm.seed_mask import hide
from tests.attacks.catalogue import attack
from tests.dockerapp.files.tars import entry, link, packed
from tests.dockerapp.stacks.test_compose_text import HOSTILE
from tests.kvm.exports.test_ova import _BACKED, _QCOW2
from tests.thorough import is_thorough

_TRIES = 150
_WITHIN_S = 3.0
_GROWTH_MAX_KIB = 200 * 1024
# What means something to one parser or another.
_WORDS = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\t",
    b"---\n",
    b"&a ",
    b"*a",
    b"!!python/object/apply:os.system ",
    b"<<: *a\n",
    b"{{",
    b"${x:-${x}}",
    b"]]>",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    b"&b;",
    b"<?xml version='1.0' encoding='utf-7'?>",
    b"../",
    b"/etc/shadow",
    b"99999999999999999999",
    b"-1",
    b"1e309",
    b"ustar\x0000",
    b"GNU.sparse.major=1",
    b"\x1f\x8b\x08",
    b"QFI\xfb",
    b"# Disk DescriptorFile",
    b"#cloud-config\n",
    b"Content-Type: multipart/mixed; boundary=x\n\n--x\n",
    b"\xe2\x80\xae",
    b"\xed\xa0\x80",
]


def _changed(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds after a few accidents."""
    data = bytearray(chance.choice(seeds)[:200_000])
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice([1, 4, 64, 512, 4096]))
        what = chance.randint(0, 5)
        if what == 0:
            del data[at:end]
        elif what == 1:
            data[at:at] = data[at:end] * chance.randint(1, 5)
        elif what == 2:
            data[at:at] = chance.choice(_WORDS)
        elif what == 3 and data:
            data[at % len(data)] ^= 1 << chance.randint(0, 7)
        elif what == 4:
            data[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
        else:
            other = chance.choice(seeds)[:50_000]
            start = chance.randint(0, len(other))
            data[at:end] = other[start : start + 1000]
    return bytes(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape" if len(data) % 7 == 0 else "replace")


def _compose(data: bytes, folder: Path) -> None:
    document, problems = document_read(_text(data))
    assert document is not None or problems, "it says why not"


def _cloud_init(data: bytes, folder: Path) -> None:
    text = _text(data)
    structured(text)
    hide(text)
    for field in ("user_data", "meta_data", "network_config"):
        try:
            cloud_init_check("cloud_init", {field: text})
        except ComputeError as error:
            assert error.message


def _tar(data: bytes, folder: Path) -> None:
    filtered = TarFilter(allow_special=False)
    out = b"".join(filtered.feed(data[at : at + 700]) for at in range(0, len(data), 700)) + filtered.finish()
    # What goes on to the engine is a plain archive in everybody's opinion.
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        for member in archive:
            assert ".." not in member.name.split("/") and not member.isdev()


def _context(data: bytes, folder: Path) -> None:
    for _ in tar_plain(iter([data]), 1024**2):
        pass


def _ova(data: bytes, folder: Path) -> None:
    (folder / "x.ova").write_bytes(data)
    import_look(folder / "x.ova")


def _image(data: bytes, folder: Path) -> None:
    header_check(lambda start, length: data[start : start + length], len(data))


def _ovf(data: bytes, folder: Path) -> None:
    ovf_read(data)


def _domain(data: bytes, folder: Path) -> None:
    assert "/etc/passwd" in _text(data) or "root:" not in str(_wanted(_text(data)).itertext())


_DESCRIPTOR = ovf_xml(OvfMachine("web", 1, 2**28, [OvfDisk("disk.img", 2**20, 65536)], ["lan"]))
_DOMAIN = (
    b"<domain type='qemu'><name>a</name><uuid>6f1c7a52-8a50-4a6e-9d0f-0d6c4b0d7c11</uuid><memory>1</memory>"
    b"<os><type>hvm</type></os><devices><disk type='file'><source file='/pool/a'/></disk></devices></domain>"
)
_LAUGHS = (
    "<!DOCTYPE a [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><domain>&i;</domain>"
).encode()
_TAR = packed(
    entry("a", b"x" * 2000), link("b", "../../etc"), link("c", "a", hard=True), entry("d" * 300, b"y")
)
_OVA = packed(entry("web.ovf", _DESCRIPTOR), entry("disk.img", _QCOW2), form=tarfile.GNU_FORMAT)
_CLOUD = [
    b"#cloud-config\nhostname: a\npassword: x\nusers: [{name: a, ssh_authorized_keys: [ssh-rsa AAAA]}]\n",
    b"#cloud-config\nwrite_files:\n- path: /a\n  content: |\n    b\nruncmd:\n- [a, b]\n",
    b"#!/bin/sh\necho\n",
    b"version: 2\nethernets: {a: {dhcp4: true}}\n",
    b"instance-id: a\nlocal-hostname: b\n",
]
_COMPOSE = [text[:100_000].encode() for text in HOSTILE.values()]
_COMPOSE.append(
    b"services:\n  web:\n    image: a\n    environment: {A: $B}\n    ports: ['80:80']\nvolumes: {d: {}}\n"
)
_FLAT = b'# Disk DescriptorFile\nversion=1\nRW 2 FLAT "/etc/shadow" 0\n'
PARSERS: dict[str, tuple[Callable[[bytes, Path], None], list[bytes]]] = {
    "compose": (_compose, _COMPOSE),
    "cloud-init": (_cloud_init, [*_CLOUD, *_COMPOSE[:3]]),
    "tar": (_tar, [_TAR, packed(entry("../x", b"")), gzip.compress(_TAR)]),
    "a build's context": (_context, [_TAR, gzip.compress(_TAR), gzip.compress(bytes(4 * 1024**2))]),
    "OVA": (_ova, [_OVA, _QCOW2, _BACKED, _TAR]),
    "OVF": (_ovf, [_DESCRIPTOR, _LAUGHS]),
    "a disk's header": (_image, [_QCOW2, _BACKED, _FLAT]),
    "domain XML": (_domain, [_DOMAIN, _LAUGHS]),
}  # fmt: skip


@attack(
    "S48 S51 S52 S56 S60 S61",
    "compose files, cloud-init, archives, OVA, disks, domain XML, honest and hostile, changed by chance",
    refused="read, or refused with a reason, within seconds and without memory",
)
@pytest.mark.parametrize("word", PARSERS)
def test_a_parser_of_strangers_bytes_reads_them_or_says_why_not(word: str, tmp_path: Path) -> None:
    parse, seeds = PARSERS[word]
    chance = random.Random(f"{word} 1")  # nosec B311  # repeats, and is no secret
    before, outcomes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, set()
    for data in [*seeds, *(_changed(chance, seeds) for _ in range(_TRIES))]:
        began = time.thread_time()
        try:
            parse(data, tmp_path)
            outcomes.add("read")
        except ComputeError as error:
            assert error.message
            outcomes.add("refused")
        assert time.thread_time() - began < _WITHIN_S, data[:200]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _GROWTH_MAX_KIB
    assert "read" in outcomes, "the seeds lead past the first check"


@attack(
    "S52",
    "an archive of 50,000 empty files (--thorough: a million), and one of more than there may be",
    refused="passed on as it comes, without memory; refused over the bound",
)
def test_tiny_files_without_end_cost_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = packed(entry("d/" + "x" * 20, b""))[:512] * 500
    filtered, before = TarFilter(allow_special=False), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 1_000_000 if is_thorough() else 50_000
    for _ in range(count // 500):
        filtered.feed(one)
    assert filtered.entries == count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    monkeypatch.setattr(tar, "_ENTRIES_MAX", count + 100)
    with pytest.raises(ComputeError, match=f"{count + 100} entries"):
        filtered.feed(one)


@attack(
    "S52",
    "gigabytes of nothing, packed small, as the context of a build",
    refused="at its bound, without memory",
)
def test_a_bomb_is_unpacked_only_to_its_bound() -> None:
    big = io.BytesIO()
    with gzip.GzipFile(fileobj=big, mode="wb", compresslevel=1) as packing:
        for _ in range(1024):
            packing.write(bytes(1024**2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ComputeError):
        for _ in tar_plain(iter([big.getvalue()]), 256 * 1024**2):
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
