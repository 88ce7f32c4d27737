"""Files of real containers: running, stopped, without a shell; and what must not come out or in."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compute.backends.types import FileListing, FileWrite
from compute.errors import (
    BackendUnavailable,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NotFound,
    PolicyDenied,
)
from dockerapp.backend import DockerBackend
from dockerapp.engine.files import Files
from tests.attacks.catalogue import attack
from tests.dockerapp.files.tars import entry, link, packed


@pytest.fixture(scope="module")
def engine_id(engines: None, run_id: str) -> Iterator[str]:
    """A running container with a folder in memory."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "-d", "--name", name, "--network", "none", "--label", f"libgo.test={run_id}"]
    done = subprocess.run(
        [*command, "--tmpfs", "/memory", "libgo/demo:latest"], check=True, capture_output=True, text=True
    )
    yield done.stdout.strip()
    subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)


@pytest.fixture
def files(backend: DockerBackend) -> Files:
    return backend.files


@pytest.fixture
def folder(engine_id: str) -> str:
    """An empty folder of the container, one for each test."""
    path = f"/root/{uuid.uuid4().hex[:8]}"
    inside(engine_id, f"mkdir {path}")
    return path


def inside(engine_id: str, script: str) -> str:
    done = subprocess.run(
        ["docker", "exec", engine_id, "sh", "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(files: Files, engine_id: str, path: str, start: int = 0, count: int | None = None) -> bytes:
    size = (await files.stat(engine_id, path)).size
    count = size - start if count is None else count
    return b"".join([chunk async for chunk in files.file_read(engine_id, path, size, start, count)])


def names(listing: FileListing) -> list[str]:
    return [item.name for item in listing.entries]


async def test_a_file_comes_back_as_it_went(files: Files, engine_id: str, folder: str) -> None:
    path = f"{folder}/a b ü.txt"
    made = await files.file_write(engine_id, path, body(b"hello ", b"you"), FileWrite(9, 0o600, 5, 6))
    assert (made.type, made.size, made.mode) == ("file", 9, 0o600)
    assert await read(files, engine_id, path) == b"hello you"
    assert await read(files, engine_id, path, 2, 3) == b"llo"
    assert inside(engine_id, f"stat -c '%u %g %a' '{path}'").split() == ["5", "6", "600"]
    await files.file_write(engine_id, path, body(b"new"), FileWrite(3))
    assert inside(engine_id, f"stat -c '%u %g %a' '{path}'; cat '{path}'").split() == ["5", "6", "600", "new"]


async def test_two_writes_within_a_second_are_told_apart(files: Files, engine_id: str, folder: str) -> None:
    first = await files.file_write(engine_id, f"{folder}/f", body(b"one"), FileWrite(3))
    second = await files.file_write(engine_id, f"{folder}/f", body(b"two"), FileWrite(3))
    assert first.modified_at != second.modified_at


async def test_what_is_no_file_or_not_there_says_so(files: Files, engine_id: str, folder: str) -> None:
    with pytest.raises(NotFound):
        await files.stat(engine_id, f"{folder}/none")
    with pytest.raises(InvalidState, match="no folder"):
        await files.stat(engine_id, "/etc/passwd/x")
    with pytest.raises(NotFound):
        await files.file_write(engine_id, f"{folder}/none/f", body(b"x"), FileWrite(1))
    with pytest.raises(InvalidState, match="directory, no file"):
        await files.file_write(engine_id, folder, body(b"x"), FileWrite(1))
    with pytest.raises(InstanceNotFound):
        await files.stat("f" * 64, "/etc/passwd")
    with pytest.raises(InvalidState, match="changed meanwhile"):
        [chunk async for chunk in files.file_read(engine_id, "/etc/passwd", 3, 0, 3)]


@pytest.mark.parametrize("path", ["/proc/self/environ", "/dev/null", "/memory/x", "/memory"])
async def test_what_lives_in_memory_is_refused_in_words(files: Files, engine_id: str, path: str) -> None:
    """The engine would read and write what lies beneath, and call that a success."""
    with pytest.raises(InvalidState, match="Use a shell"):
        await files.stat(engine_id, path)
    with pytest.raises(InvalidState, match="Use a shell"):
        await files.file_write(engine_id, f"{path}/f", body(b"x"), FileWrite(1))
    with pytest.raises(InvalidState, match="Use a shell"):
        await files.tree_write(engine_id, path, body(packed(entry("f"))), allow_special=False)


async def test_a_folder_with_hostile_names_is_listed(files: Files, engine_id: str, folder: str) -> None:
    script = (
        "printf x > \"$(printf 'a\\nb')\"; printf x > \"$(printf 'c\\377')\"; ln -s /etc d; ln -s x//y n; "
    )
    script += "printf x > '-rf'; printf x > ' 81a4 1 0 0 0 .'; mkfifo p; mkdir sub; printf x > sub/deeper"
    inside(engine_id, f"cd {folder}; {script}")
    wanted = sorted(["a\nb", "c\udcff", "d", "n", "-rf", " 81a4 1 0 0 0 .", "p", "sub"])
    shell, archive = await files.list(engine_id, folder, 100), await files.walk(engine_id, folder, 100)
    assert names(shell) == names(archive) == wanted
    assert (shell.method, archive.method, shell.truncated, archive.truncated) == (
        "shell",
        "archive",
        False,
        False,
    )
    types = {item.name: (item.type, item.link_target, item.target_type) for item in shell.entries}
    assert types["d"] == ("symlink", "/etc", "directory") and types["n"] == ("symlink", "x//y", "")
    assert types["p"][0] == "fifo" and types["sub"][0] == "directory"
    assert names(await files.list(engine_id, f"{folder}/d", 100)) == names(
        await files.list(engine_id, "/etc", 100)
    )


async def test_a_list_is_bounded(files: Files, engine_id: str, folder: str) -> None:
    inside(engine_id, f"cd {folder}; for i in $(seq 200); do : > f$i; done")
    for listing in (await files.list(engine_id, folder, 50), await files.walk(engine_id, folder, 50)):
        assert len(listing.entries) == 50 and listing.truncated


async def test_folders_are_made_renamed_and_removed(files: Files, engine_id: str, folder: str) -> None:
    await files.folder_make(engine_id, f"{folder}/new", mode=0o700, uid=7, gid=8)
    assert inside(engine_id, f"stat -c '%u %g %a' {folder}/new").split() == ["7", "8", "700"]
    with pytest.raises(NameConflict):
        await files.folder_make(engine_id, f"{folder}/new", mode=None, uid=None, gid=None)
    await files.file_write(engine_id, f"{folder}/new/f", body(b"x"), FileWrite(1))
    with pytest.raises(InvalidState, match="not empty"):
        await files.remove(engine_id, f"{folder}/new", recursive=False)
    await files.rename(engine_id, f"{folder}/new", f"{folder}/newer")
    await files.file_write(engine_id, f"{folder}/-f $(reboot)", body(b"x"), FileWrite(1))
    with pytest.raises(NameConflict):
        await files.rename(engine_id, f"{folder}/newer", f"{folder}/-f $(reboot)")
    await files.remove(engine_id, f"{folder}/-f $(reboot)", recursive=False)
    await files.remove(engine_id, f"{folder}/newer", recursive=True)
    assert names(await files.list(engine_id, folder, 10)) == []
    with pytest.raises(NotFound):
        await files.remove(engine_id, f"{folder}/newer", recursive=True)


async def test_a_tree_goes_in_and_comes_out(files: Files, engine_id: str, folder: str) -> None:
    raw = packed(entry("a/b/f", b"x" * 3000, mode=0o640, uid=3), link("l", "a/b/f"), entry("/abs", b"1"))
    told = await files.tree_write(engine_id, folder, body(raw[:700], raw[700:]), allow_special=False)
    assert told == {"entries": 3, "content_bytes": 3001}
    back = b"".join([chunk async for chunk in files.tree_read(engine_id, folder)])
    with tarfile.open(fileobj=io.BytesIO(back)) as tar:
        found = {member.name.partition("/")[2]: member for member in tar}
    assert {"a/b/f", "l", "abs"} <= set(found)
    assert (found["a/b/f"].size, found["a/b/f"].mode, found["a/b/f"].uid) == (3000, 0o100640, 3)


@attack(
    "S48",
    "archives with .., absolute names, links and devices into a container",
    refused="the host's file is as it was",
)
async def test_no_archive_reaches_the_host(files: Files, engine_id: str, folder: str, tmp_path: Path) -> None:
    """Its worst stays inside the container, or is refused."""
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    host = str(tmp_path)
    refused = [
        packed(entry(f"../../../../../../../../..{host}/canary", b"pwned")),
        packed(link("h", f"../../../../../..{host}/canary", hard=True), entry("h", b"pwned")),
        packed(entry("sda", type=tarfile.BLKTYPE, devmajor=8)),
        packed(entry("su", b"#!", mode=0o4755)),
    ]
    for raw in refused:
        with pytest.raises((InvalidInput, PolicyDenied)):
            await files.tree_write(engine_id, folder, body(raw), allow_special=False)
    inward = packed(link("out", host), entry("out/canary", b"pwned"), entry(f"{host}/canary", b"pwned"))
    try:
        await files.tree_write(engine_id, folder, body(inward), allow_special=False)
    except NotFound:
        # There is no such folder inside.
        assert "tmp" in host
    assert canary.read_text() == "untouched" and [p.name for p in tmp_path.iterdir()] == ["canary"]


@attack("S48", "reading and writing through links that lead out", refused="only inside the container")
async def test_a_symlink_leads_nowhere_but_inside(
    files: Files, engine_id: str, folder: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    inside(engine_id, f"ln -s {secret} {folder}/l; ln -s ../../../../../../etc/passwd {folder}/p")
    with pytest.raises(NotFound):
        await files.stat(engine_id, f"{folder}/l")
    assert await read(files, engine_id, f"{folder}/p") == inside(engine_id, "cat /etc/passwd").encode()
    listing = await files.list(engine_id, folder, 10)
    assert [item.link_target for item in listing.entries][0] == str(secret)


async def test_a_container_that_does_not_run_still_has_its_files(files: Files, run_id: str) -> None:
    done = subprocess.run(
        ["docker", "create", "--label", f"libgo.test={run_id}", "libgo/demo:latest"],
        check=True,
        capture_output=True,
        text=True,
    )
    engine_id = done.stdout.strip()
    try:
        await files.file_write(engine_id, "/root/f", body(b"abc"), FileWrite(3))
        await files.folder_make(engine_id, "/root/d", mode=None, uid=None, gid=None)
        listing = await files.list(engine_id, "/root", 10)
        assert (names(listing), listing.method) == (["d", "f"], "archive")
        assert {"bin", "etc", "root"} <= set(names(await files.list(engine_id, "/", 100)))
        with pytest.raises(InvalidState, match="does not run, or has no shell"):
            await files.remove(engine_id, "/root/f", recursive=False)
    finally:
        subprocess.run(["docker", "rm", "-f", engine_id], check=True, capture_output=True)


async def test_a_container_without_a_shell_is_looked_through(files: Files, run_id: str) -> None:
    """One static program and nothing else, as many images are."""
    script = "mkdir -p /root/only && cp /bin/busybox /root/only/ && cd /root/only && tar c ."
    source = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "libgo/demo:latest", "sh", "-c", script],
        check=True,
        capture_output=True,
    )
    tag = f"libgo-t-noshell:{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "import", "-", tag], input=source.stdout, check=True, capture_output=True)
    command = ["docker", "run", "-d", "--network", "none", "--label", f"libgo.test={run_id}", tag]
    done = subprocess.run([*command, "/busybox", "sleep", "300"], check=True, capture_output=True, text=True)
    try:
        listing = await files.list(done.stdout.strip(), "/", 100)
        assert listing.method == "archive" and "busybox" in names(listing)
    finally:
        subprocess.run(["docker", "rm", "-f", done.stdout.strip()], check=True, capture_output=True)
        subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


async def test_a_body_that_breaks_off_says_why(files: Files, engine_id: str, folder: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise BackendUnavailable("the client left")

    with pytest.raises(BackendUnavailable, match="the client left"):
        await files.file_write(engine_id, f"{folder}/f", broken(), FileWrite(900))
    with pytest.raises(InvalidInput, match="shorter"):
        await files.file_write(engine_id, f"{folder}/f", body(b"abc"), FileWrite(900))
    with pytest.raises(InvalidInput, match="longer"):
        await files.file_write(engine_id, f"{folder}/f", body(b"abc"), FileWrite(2))


async def test_closing_a_read_early_ends_it(files: Files, engine_id: str) -> None:
    chunks = files.tree_read(engine_id, "/")
    assert await anext(chunks)
    await asyncio.wait_for(chunks.aclose(), 20)
