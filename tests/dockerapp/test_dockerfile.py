"""What a Dockerfile asks for, and a context that would hide its Dockerfile."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator

import pytest

from compute.errors import InvalidInput, PayloadTooLarge, PolicyDenied
from dockerapp.dockerfile import dockerfile_read
from dockerapp.engine.context import context_watched, tar_plain
from tests.attacks.catalogue import attack

Fill = Callable[[tarfile.TarFile], None]


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a\nFROM b AS two\nFROM two\nCOPY --from=two /x /y\nCOPY --from=0 /x /y", {"a", "b"}),
        ("ARG V=1\nFROM x:$V\nFROM y:${W:-2}\nFROM scratch", {"x:1", "y:2"}),
        ("# escape=`\nFR`\nOM evil.io/x\n", {"evil.io/x"}),
        ("FROM a\nONBUILD COPY --from=evil.io/x / /", {"a", "evil.io/x"}),
        ("FROM a\nRUN x \\\n  # y\nFROM evil.io/x", {"a", "evil.io/x"}),
        ("FROM a\nRUN x \\\n# y\n z\nFROM b", {"a", "b"}),
        ("FROM\va\nFROM\fb\nFROM\rc", {"a", "b", "c"}),
        ("\ufefffrom --platform=linux/arm64 a as b\r\nFrom\tc", {"a", "c"}),
    ],
)
def test_images_are_found_however_they_are_written(text: str, images: set[str]) -> None:
    assert dockerfile_read(text, {}).images == images


def test_arguments_of_the_build_decide() -> None:
    assert dockerfile_read("ARG V=1\nFROM x:$V", {"V": "9"}).images == {"x:9"}
    with pytest.raises(InvalidInput, match="cannot be told"):
        dockerfile_read("ARG V\nFROM $V", {})


@attack(
    "S46 S71",
    "a Dockerfile that fetches from addresses and foreign images",
    refused="found before the engine sees it",
)
@pytest.mark.parametrize(
    ("line", "remote"),
    [
        ("ADD http://127.0.0.1:1/x /", {"http://127.0.0.1:1/x"}),
        ('ADD ["a", "HTTPS://x/y", "/"]', {"HTTPS://x/y"}),
        ("ADD $URL /", {"$URL"}),
        ('ADD ht"tp"://x /', {'ht"tp"://x'}),
        ("A\\\nDD http://x /", {"http://x"}),
        ("ADD\vhttp://x /", {"http://x"}),
        ("ADD\fhttp://x /", {"http://x"}),
        ("ADD\rhttp://x /", {"http://x"}),
        ("ONBUILD\vADD\vhttp://x /", {"http://x"}),
        # Neither empty nor a comment to the builder: the line that it goes on from ends there.
        ("RUN a \\\n\x1c\nADD http://x /", {"http://x"}),
        ("RUN a \\\n\x1c# b\nADD http://x /", {"http://x"}),
        ("# a\u2028b\nADD http://x /", {"http://x"}),
        ("ADD --chown=1 file.tar /", set()),
    ],
)
def test_what_would_be_fetched_is_found(line: str, remote: set[str]) -> None:
    assert dockerfile_read(f"FROM a\n{line}", {}).remote == remote


def _tar(fill: Fill, form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        fill(tar)
    return data.getvalue()


def _file(tar: tarfile.TarFile, name: str, content: bytes = b"FROM a", **more: object) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for key, value in more.items():
        setattr(entry, key, value)
    tar.addfile(entry, io.BytesIO(content))


def _looked(data: bytes, dockerfile: str = "Dockerfile", piece: int = 100) -> list[str]:
    seen: list[str] = []
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    assert b"".join(context_watched(pieces, dockerfile, seen.append)) == data
    return seen


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_the_dockerfile_is_seen_as_the_context_passes(form: int) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        _file(tar, "big", b"x" * 5000)
        _file(tar, f"{'d' * 90}/{'e' * 90}", b"long")
        _file(tar, "./Dockerfile", b"FROM one")
        _file(tar, "sub/Dockerfile", b"FROM three")
        _file(tar, "Dockerfile", b"FROM two")

    assert _looked(_tar(fill, form)) == ["FROM one", "FROM two"]
    assert _looked(_tar(fill, form), "sub/Dockerfile") == ["FROM three"]


def _link(tar: tarfile.TarFile, name: str, kind: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "other"
    tar.addfile(entry)


@attack("S46", "a Dockerfile that the check and the engine would see differently", refused="refused")
@pytest.mark.parametrize(
    "fill",
    [
        lambda tar: _link(tar, "Dockerfile", tarfile.SYMTYPE),
        lambda tar: _link(tar, "Dockerfile", tarfile.LNKTYPE),
        lambda tar: _file(tar, "innocent", pax_headers={"path": "Dockerfile"}),
    ],
    ids=["link", "hard link", "pax"],
)
def test_a_hidden_dockerfile_is_refused(fill: Fill) -> None:
    with pytest.raises(PolicyDenied) as refused:
        _looked(_tar(fill))
    assert refused.value.details["rule"] == "dockerfile_hidden"


def test_a_linked_folder_above_it_is_refused() -> None:
    with pytest.raises(PolicyDenied):
        _looked(_tar(lambda tar: _link(tar, "a", tarfile.SYMTYPE)), "a/Dockerfile")


def test_a_prefix_that_one_form_of_tar_ignores_hides_nothing() -> None:
    data = bytearray(_tar(lambda tar: _file(tar, "Dockerfile", b"FROM a"), tarfile.GNU_FORMAT))
    data[345:346] = b"x"
    assert _looked(bytes(data)) == ["FROM a"]


@pytest.mark.parametrize(
    "data", [b"hello" * 300, _tar(lambda tar: _file(tar, "x"))], ids=["no tar", "absent"]
)
def test_a_context_without_a_dockerfile_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        _looked(data)


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1000] for at in range(0, len(data), 1000))


@attack("S52", "a gzip bomb as the context of a build", refused="refused at its bound")
def test_gzip_is_unpacked_within_bounds_and_other_packings_are_named() -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    assert sum(map(len, tar_plain(_pieces(packed), 10_000_000))) == 10_000_000
    with pytest.raises(PayloadTooLarge):
        list(tar_plain(_pieces(packed), 9_999_999))
    with pytest.raises(InvalidInput, match="not whole"):
        list(tar_plain(_pieces(packed[:-20]), 10_000_000))
    with pytest.raises(InvalidInput, match="xz"):
        list(tar_plain([b"\xfd7zXZ\0..."], 10))
    with pytest.raises(InvalidInput, match="empty"):
        list(tar_plain([], 10))
    assert list(tar_plain([b"a", b"bcdefgh", b"i"], 10)) == [b"abcdefgh", b"i"]
