"""Short commands in a running container: what looks into its folders and tidies them."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import aiodocker
import aiohttp

from compute.backends.types import FileEntry, FileListing
from compute.errors import BackendTimeout, BackendUnavailable, InvalidState, NameConflict, NotFound
from dockerapp.engine.client import EngineClient
from dockerapp.engine.logs import stream_error
from dockerapp.engine.tar import printable

_OUTPUT_MAX = 4 * 1024**2
_NO_SHELL = (126, 127)
_LINKS_MAX = 500

# Run with the container's own tools, which busybox and coreutils have alike. No name holds “//”, so
# it ends a record whatever the name is; link targets may hold it, so they come between null bytes.
_LIST = r"""
[ -d "$1" ] || { [ -e "$1" ] && exit 4; exit 3; }
cd "$1" || exit 5
command -v stat >/dev/null && command -v find >/dev/null && command -v head >/dev/null || exit 127
find . -maxdepth 1 ! -name . -exec stat -c '%f %s %u %g %Y %n//' {} + 2>/dev/null | head -n "$2"
printf '\0\0'
find . -maxdepth 1 -type l -exec sh -c 'for f; do t=; [ -f "$f" ] && t=file; [ -d "$f" ] && t=directory
printf "%s\0%s\0%s\0" "$f" "$(readlink "$f")" "$t"; done' sh {} + 2>/dev/null | head -c "$3"
"""
_REMOVE = r"""
[ -e "$1" ] || [ -L "$1" ] || exit 3
if [ "$2" = all ]; then rm -rf "$1"; elif [ -d "$1" ] && [ ! -L "$1" ]; then rmdir "$1" || exit 6
else rm -f "$1"; fi
"""
_RENAME = r"""
[ -e "$1" ] || [ -L "$1" ] || exit 3
if [ -e "$2" ] || [ -L "$2" ]; then exit 7; fi
mv "$1" "$2"
"""
_MKDIR = r"""
if [ -e "$1" ] || [ -L "$1" ]; then exit 7; fi
mkdir -m "$2" "$1" && chown "$3" "$1"
"""


class NoShell(InvalidState):
    """The container has no shell, or not the tools that are needed; or it does not run."""


@dataclass(frozen=True)
class Output:
    exit_code: int
    stdout: bytes
    stderr: bytes
    is_cut: bool


async def shell_list(client: EngineClient, engine_id: str, path: str, limit: int) -> FileListing:
    """Raises ``NotFound``, ``InvalidState`` (no folder), ``NoShell``."""
    words = [path, str(limit + 1), str(_LINKS_MAX * 600)]
    output = await _script(client, engine_id, _LIST, words, within_s=10)
    _check(output, path)
    table, _, links = output.stdout.partition(b"\0\0")
    entries = [entry for record in table.split(b"//\n") if (entry := _entry(record, _links(links)))]
    entries.sort(key=lambda entry: entry.name)
    is_truncated = len(entries) > limit or output.is_cut
    return FileListing(tuple(entries[:limit]), is_truncated, "shell")


async def shell_remove(client: EngineClient, engine_id: str, path: str, *, recursive: bool) -> None:
    word = "all" if recursive else "one"
    _check(await _script(client, engine_id, _REMOVE, [path, word], within_s=60), path)


async def shell_rename(client: EngineClient, engine_id: str, path: str, to: str) -> None:
    _check(await _script(client, engine_id, _RENAME, [path, to], within_s=60), path, to)


async def shell_mkdir(client: EngineClient, engine_id: str, path: str, mode: int, owner: str) -> None:
    _check(await _script(client, engine_id, _MKDIR, [path, f"{mode:o}", owner], within_s=10), path, path)


async def _script(
    client: EngineClient, engine_id: str, script: str, words: Sequence[str], *, within_s: float
) -> Output:
    """As root, as the engine's own way to files is. Raises ``NoShell``, ``BackendTimeout``, ..."""
    await asyncio.to_thread(client.negotiated)
    docker = client.stream_client()
    try:
        return await asyncio.wait_for(
            _run(docker, engine_id, ["/bin/sh", "-c", script, "sh", *words]), within_s
        )
    except asyncio.TimeoutError as error:
        raise BackendTimeout("The container did not do it in time. Look before you try again.") from error
    except aiodocker.DockerError as error:
        if error.status in (400, 409, 500) and not str(error.message).lower().startswith("no such"):
            raise NoShell("The container does not run, or has no shell.") from error
        raise stream_error(client.node.name, error) from error
    except (aiohttp.ClientError, OSError) as error:
        raise BackendUnavailable(f"Docker on {client.node.name} cannot be reached.") from error
    finally:
        await docker.close()


async def _run(docker: aiodocker.Docker, engine_id: str, command: list[str]) -> Output:
    container = docker.containers.container(engine_id)
    made = await container.exec(command, stdout=True, stderr=True, stdin=False, user="0:0")
    parts: dict[int, list[bytes]] = {1: [], 2: []}
    size = 0
    async with made.start(detach=False) as stream:
        while (message := await stream.read_out()) is not None:
            parts.setdefault(message.stream, []).append(message.data)
            size += len(message.data)
            if size > _OUTPUT_MAX:
                break
    code = await _exit_code(made)
    if code in _NO_SHELL:
        raise NoShell("The container has no shell, or not the tools that are needed.")
    return Output(code, b"".join(parts[1]), b"".join(parts[2]), size > _OUTPUT_MAX)


async def _exit_code(made: aiodocker.execs.Exec) -> int:
    """0 for what was cut off and therefore still runs."""
    for _ in range(20):
        answer = await made.inspect()
        if answer.get("ExitCode") is not None:
            return int(answer["ExitCode"])
        await asyncio.sleep(0.02)
    return 0


def _check(output: Output, path: str, to: str = "") -> None:
    shown = printable(path)
    if output.exit_code == 3:
        raise NotFound(f"There is no “{shown}”.", path=path)
    if output.exit_code == 4:
        raise InvalidState(f"“{shown}” is no folder.", path=path)
    if output.exit_code == 5:
        raise InvalidState(f"The folder “{shown}” cannot be opened.", path=path)
    if output.exit_code == 6:
        raise InvalidState(f"The folder “{shown}” is not empty. Remove it with all that is in it.", path=path)
    if output.exit_code == 7:
        raise NameConflict(f"There is already a “{printable(to)}”.", path=to)
    if output.exit_code:
        said = printable(output.stderr.decode("utf-8", "replace").strip().replace("\n", " "))
        raise InvalidState(f"The container could not do it: {said or 'no reason was given'}", path=path)


def _links(raw: bytes) -> dict[bytes, tuple[str, str]]:
    words = raw.split(b"\0")
    return {
        words[i]: (words[i + 1].decode("utf-8", "surrogateescape"), words[i + 2].decode("ascii", "replace"))
        for i in range(0, len(words) - 3, 3)
    }


def _entry(record: bytes, links: dict[bytes, tuple[str, str]]) -> FileEntry | None:
    """One line of ``stat``; None for what is none."""
    fields = record.split(b" ", 5)
    if len(fields) != 6 or not fields[5].startswith(b"./"):
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        mode, size, uid, gid, seconds = int(fields[0], 16), *(int(field) for field in fields[1:5])
        target, target_type = links.get(fields[5], ("", ""))
        return FileEntry(
            name=fields[5][2:].decode("utf-8", "surrogateescape"),
            type=_type(mode),
            size=size,
            mode=stat.S_IMODE(mode),
            uid=uid,
            gid=gid,
            modified_at=datetime.fromtimestamp(seconds, timezone.utc),
            link_target=target,
            target_type=target_type,
        )
    return None


def _type(mode: int) -> str:
    known = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
    }
    return known.get(stat.S_IFMT(mode), "unknown")
