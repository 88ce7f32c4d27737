"""What is in a volume: reached through a helper that nobody sees and that never stays."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from compute.actor import Actor
from compute.backends.registry import backend_forget
from compute.errors import InvalidState, NotFound, PermissionDenied, PolicyDenied, VolumeNotFound
from compute.models import AuditEvent, Node, Project, Resource
from dockerapp.backend import DockerBackend
from dockerapp.engine.helpers import HELPER_NAME, is_helper
from dockerapp.services import files
from dockerapp.services.files import FileSend, Place, volume_place
from tests.compute.conftest import admin, operator, project, stranger, viewer
from tests.dockerapp.files.tars import entry, packed
from tests.dockerapp.files.test_engine_files import body

__all__ = ["admin", "operator", "project", "stranger", "viewer"]

Row = Callable[..., Resource]


@pytest.fixture
def node(transactional_db: Any, engines: None) -> Iterator[Node]:
    made = Node.objects.create(
        name="docker-1",
        backend="docker",
        url="unix:///var/run/docker.sock",
        is_reachable=True,
        is_local=True,
        capabilities=["files"],
    )
    yield made
    backend_forget(str(made.pk))


@pytest.fixture
def volume(run_id: str) -> Iterator[str]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    _docker("volume", "create", "--label", f"libgo.test={run_id}", name)
    yield name
    _docker("volume", "rm", "-f", name)


@pytest.fixture
def row(node: Node, volume: str) -> Row:
    def make(owner: Project | None, **data: Any) -> Resource:
        return Resource.objects.create(
            node=node, kind="volume", engine_id=volume, name=volume, project=owner, data=data
        )

    return make


@pytest.fixture
def place(row: Row, project: Project, admin: Actor) -> Place:  # noqa: F811
    return volume_place(admin, str(row(project).pk))


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def _helpers() -> list[str]:
    return _docker("ps", "-aq", "--no-trunc", "--filter", "label=libgo.helper").split()


async def _read(place: Place, path: str) -> bytes:
    seen = await files.entry_get(place, path)
    return b"".join([chunk async for chunk in files.file_read(place, path, seen, 0, seen.size)])


def test_files_and_folders_of_a_volume(place: Place) -> None:
    async def story() -> None:
        is_new, made = await files.file_write(place, FileSend("/a"), body(b"hel", b"lo"))
        assert is_new and made.size == 5 and await _read(place, "/a") == b"hello"
        await files.folder_make(place, "/d", FileSend("/d"))
        await files.file_rename(place, "/a", "/d/b")
        listing = await files.folder_list(place, "/d", 10)
        assert [item["name"] for item in listing["entries"]] == ["b"]
        with pytest.raises(NotFound, match="“/none”") as absent:
            await files.entry_get(place, "/none")
        assert absent.value.details["path"] == "/none", "where it is inside is nobody's business"
        with pytest.raises(InvalidState, match="not empty"):
            await files.file_remove(place, "/d", recursive=False)
        await files.file_remove(place, "/d", recursive=True)
        assert (await files.folder_list(place, "/", 10))["entries"] == []

    asyncio.run(story())
    written = set(AuditEvent.objects.values_list("action", "result"))
    assert {("volume.file.write", "ok"), ("volume.file.delete", "INVALID_STATE")} <= written


def test_a_volume_is_backed_up_and_restored(place: Place) -> None:
    async def story() -> None:
        await files.tree_write(place, "/", body(packed(entry("x/y", b"1" * 3000, uid=7), entry("z", b"2"))))
        backup = b"".join([chunk async for chunk in files.tree_read(place, "/")])
        with tarfile.open(fileobj=io.BytesIO(backup)) as tar:
            assert {name.removeprefix("./") for name in tar.getnames()} >= {"x/y", "z"}
        await files.file_remove(place, "/x", recursive=True)
        await files.tree_write(place, "/", body(backup))
        assert await _read(place, "/x/y") == b"1" * 3000
        listing = await files.folder_list(place, "/", 10)
        assert sorted(item["name"] for item in listing["entries"]) == ["x", "z"]

    asyncio.run(story())


def test_no_helper_stays_whatever_happens(place: Place) -> None:
    before = set(_helpers())

    async def story() -> None:
        await files.tree_write(place, "/", body(packed(entry("f", b"x" * 3_000_000))))
        stream = files.tree_read(place, "/")
        await anext(stream)
        await stream.aclose()
        with pytest.raises(NotFound):
            await files.entry_get(place, "/none")
        task = asyncio.ensure_future(files.folder_list(place, "/", 10))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(2)

    asyncio.run(story())
    left = set(_helpers()) - before
    assert not left, "each is removed when its work is over"


def test_a_helper_of_a_dead_process_is_swept_away(backend: DockerBackend, volume: str) -> None:
    alive = backend.helpers.make(volume, project_id="", writable=False)
    child = os.fork()
    if child == 0:
        backend.helpers.make(volume, project_id="", writable=False)
        os._exit(0)
    os.waitpid(child, 0)
    assert len(_helpers()) >= 2
    assert backend.helpers.sweep() >= 1
    left = _helpers()
    assert alive in left, "one whose maker lives is left alone"
    names = [info.name for info in backend.instance_list()]
    assert not [name for name in names if name.startswith(HELPER_NAME)], "and it is nobody's instance"
    with ThreadPoolExecutor(6) as hands:
        list(hands.map(backend.helpers.remove, [alive] * 6))
    assert alive not in _helpers(), "however many remove it at once"


def test_a_helper_reaches_its_volume_and_nothing_else(backend: DockerBackend, volume: str) -> None:
    engine_id = backend.helpers.make(volume, project_id="", writable=True)
    try:
        seen = backend.containers.exposure(engine_id)
        assert seen.volumes == (volume,) and not seen.host_paths and not seen.shares_with
        assert set(seen.rules) == {"added_capabilities"}, "of which the default set has more"
        with pytest.raises(InvalidState, match="read-only"):
            asyncio.run(
                backend.files.tree_write(engine_id, "/etc", body(packed(entry("x"))), allow_special=False)
            )
    finally:
        backend.helpers.remove(engine_id)


def test_a_name_that_is_no_volume_makes_none(backend: DockerBackend) -> None:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    with pytest.raises(VolumeNotFound):
        backend.helpers.make(name, project_id="", writable=False)
    assert name not in _docker("volume", "ls", "-q").split()


def test_a_label_alone_hides_no_container() -> None:
    mark = "0123456789abcdef"
    assert is_helper(f"/{HELPER_NAME}{mark}", {"libgo.helper": mark})
    assert not is_helper("/web", {"libgo.helper": mark})
    assert not is_helper(f"/{HELPER_NAME}{mark}", {})
    assert not is_helper(f"/{HELPER_NAME}x", {"libgo.helper": "x"})


def test_who_may_look_into_a_volume(
    row: Row,
    project: Project,  # noqa: F811
    operator: Actor,  # noqa: F811
    viewer: Actor,  # noqa: F811
    stranger: Actor,  # noqa: F811
    admin: Actor,  # noqa: F811
) -> None:
    made = row(project)
    assert volume_place(operator, made.name).volume == made.name
    with pytest.raises(PermissionDenied):
        volume_place(viewer, made.name)
    with pytest.raises(VolumeNotFound):
        volume_place(stranger, made.name)
    Resource.objects.filter(pk=made.pk).update(project=None)
    with pytest.raises(PermissionDenied):
        volume_place(operator, made.name)
    assert volume_place(admin, made.name)
    Resource.objects.filter(pk=made.pk).update(
        project=project, data={"options": {"type": "none", "o": "bind", "device": "/etc"}}
    )
    with pytest.raises(PolicyDenied) as refusal:
        volume_place(operator, made.name)
    assert refusal.value.details["rule"] == "host_path"
