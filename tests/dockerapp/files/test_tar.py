"""Tar as a stream: cut anywhere, written anew, and nothing let in that may not be."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from compute.errors import ComputeError, InvalidInput, PolicyDenied
from dockerapp.engine.tar import TarFilter, TarParser
from tests.attacks.catalogue import attack
from tests.dockerapp.files.tars import entry, link, packed

LONG = "/".join(["a-long-name-of-a-folder"] * 12)


def _filtered(raw: bytes, *, step: int = 512, allow_special: bool = False) -> tarfile.TarFile:
    tar = TarFilter(allow_special=allow_special)
    out = b"".join(tar.feed(raw[at : at + step]) for at in range(0, len(raw), step)) + tar.finish()
    return tarfile.open(fileobj=io.BytesIO(out))


@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 100_000])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_is_in_an_archive_comes_out_of_it(step: int, form: int) -> None:
    name = LONG if form != tarfile.USTAR_FORMAT else LONG[:90]
    raw = packed(
        entry("./", type=tarfile.DIRTYPE, mode=0o2775),
        entry(name, b"x" * 1500, mode=0o640, uid=1000, gid=1001, mtime=1234567890),
        entry("empty"),
        link("soft", "/etc/passwd"),
        link("hard", "empty", hard=True),
        form=form,
    )
    tar = _filtered(raw, step=step)
    assert tar.getnames() == [".", name, "empty", "soft", "hard"]
    file = tar.getmember(name)
    assert (file.mode, file.uid, file.gid, file.mtime) == (0o640, 1000, 1001, 1234567890)
    content = tar.extractfile(name)
    assert content is not None and content.read() == b"x" * 1500
    assert tar.getmember("soft").linkname == "/etc/passwd", "a symlink is only a word"


def test_absolute_names_become_relative() -> None:
    raw = packed(entry("//etc/./x", b"1"), link("h", "/etc/x", hard=True))
    assert [(m.name, m.linkname) for m in _filtered(raw)] == [("etc/x", ""), ("h", "etc/x")]


@attack("S48", "names in an archive that lead out", refused="refused")
@pytest.mark.parametrize(
    "bad",
    [
        entry("../x", b"1"),
        entry("a/../../x", b"1"),
        link("h", "../../etc/shadow", hard=True),
        entry("a", b"1", pax_headers={"path": "b\0c"}),
        entry("a", b"1", pax_headers={"GNU.sparse.major": "1"}),
    ],
)
def test_names_that_lead_out_are_refused(bad: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(InvalidInput):
        _filtered(packed(entry("good", b"1"), bad), allow_special=True)


@attack("S48", "devices and set-uid files in an archive, as an operator", refused="403")
@pytest.mark.parametrize(
    ("special", "rule"),
    [
        (entry("sda", type=tarfile.BLKTYPE, devmajor=8), "archive_device"),
        (entry("tty", type=tarfile.CHRTYPE, devmajor=4), "archive_device"),
        (entry("su", b"#!", mode=0o4755), "archive_setuid"),
        (entry("sg", b"#!", mode=0o2755), "archive_setuid"),
        (entry("cap", b"#!", pax_headers={"SCHILY.xattr.security.capability": "x"}), "archive_capabilities"),
    ],
)
def test_what_is_as_good_as_root_is_for_administrators(
    special: tuple[tarfile.TarInfo, bytes], rule: str
) -> None:
    with pytest.raises(PolicyDenied) as refusal:
        _filtered(packed(special))
    assert refusal.value.details["rule"] == rule
    (passed,) = _filtered(packed(special), allow_special=True)
    assert passed.mode == special[0].mode and passed.type == special[0].type


def test_attributes_that_nobody_asked_for_are_left_out() -> None:
    raw = packed(entry("f", b"1", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y", "comment": "c"}))
    (passed,) = _filtered(raw)
    assert not [key for key in passed.pax_headers if "xattr" in key]


@attack("S49", "compressed archives and what is no archive", refused="refused with the reason")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(packed(entry("a", b"1"))) + bytes(600), "gzip"),
        (b"\xfd7zXZ\x00" + bytes(600), "xz"),
        (b"\x28\xb5\x2f\xfd" + b"z" * 600, "zstd"),
        (b"BZh9" + b"z" * 600, "bzip2"),
        (b"hello " * 200, "no tar"),
        (b"", "ends in the middle"),
        (b"short", "ends in the middle"),
        (packed(entry("a", b"x" * 5000))[:2000], "ends in the middle"),
        (packed(entry(LONG, b"x"), form=tarfile.GNU_FORMAT)[:1024], "ends in the middle"),
        (packed(entry("a", b"1"))[:1024] + b"junk" * 200, "damaged"),
    ],
)
def test_what_is_no_plain_tar_is_refused_with_a_reason(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        _filtered(body)
    assert says in refusal.value.message


def test_a_header_for_all_entries_may_not_change_where_they_end() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"size": "0"}) as tar:
        tar.addfile(*((i, io.BytesIO(d)) for i, d in [entry("a", b"1")]).__next__())
    with pytest.raises(InvalidInput):
        _filtered(out.getvalue())


def test_no_bytes_make_it_fail_in_another_way() -> None:
    """Every byte of two headers turned over, one at a time."""
    raw = packed(entry(LONG, b"12", uid=2**40), link("l", LONG))
    for at in range(0, min(len(raw), 4096)):
        bent = bytearray(raw)
        bent[at] ^= 0xFF
        try:
            _filtered(bytes(bent), step=4096)
        except ComputeError:
            continue


@attack("S52", "a header of an archive that claims gigabytes", refused="not kept")
def test_a_huge_header_is_not_kept() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    with pytest.raises(InvalidInput):
        list(TarParser().feed(info.tobuf(tarfile.GNU_FORMAT)))
