"""One run id, one private broker for each test process, the longest files first."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from docker import APIClient

from compute.audit_guards import guards_lift
from compute.backends.types import ImageInfo
from compute.errors import ComputeError
from compute.translations.build import catalogues_build
from dockerapp.backend import DockerBackend
from kvm.backend import KvmBackend
from kvm.engine.storage import pool_ensure, volume_delete
from tests.brokers import Broker
from tests.demo_images import demo_images_lock, demo_images_make, engine_backends
from tests.leftovers import leftovers_unmount
from tests.live import LiveConsole
from tests.migrated import database_keep, database_restore
from tests.outside import Outside, outside_of
from tests.people import World, people_make
from tests.registers import properties_of, pytest_configure, pytest_terminal_summary  # noqa: F401

_HAD_IMAGES = pytest.StashKey[tuple[set[str], set[str]]]()
pytest_plugins = ("tests.durations",)


def pytest_collection(session: pytest.Session) -> None:
    """What is loaded stays: to look through it for garbage took a quarter of the loading."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """From here on there is garbage, but not in what was loaded."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reports carry these between processes."""
    for item in items:
        item.user_properties.extend(properties_of(item))


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings: None) -> bool:
    """Whether there is a migrated database already."""
    return database_restore()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_keepdb: bool, django_db_blocker: Any) -> None:
    """Tests with transactions empty their tables afterwards, which the audit's triggers refuse; the
    tests about the triggers lay them again."""
    with django_db_blocker.unblock():
        if not django_db_keepdb:
            database_keep()
        guards_lift(connection)


@pytest.fixture(scope="session", autouse=True)
def catalogues() -> None:
    """The languages as they are written now, for this process and the consoles that tests start."""
    catalogues_build()


@pytest.fixture(scope="session")
def run_id() -> str:
    """Marks everything this run makes in an engine: ``libgo.test=<run_id>``."""
    return os.environ.get("LIBGO_TEST_RUN") or os.urandom(4).hex()


@pytest.fixture(scope="session", autouse=True)
def broker() -> Iterator[Path]:
    """The broker of this process; ended with it."""
    made = Broker(Path(settings.VAR_DIR) / "run")
    try:
        made.start()
        yield made.socket
    finally:
        made.end()


@pytest.fixture(scope="session")
def engines() -> None:
    """The real engines, with the demo images; the processes of a parallel run make them one by one."""
    cache = os.environ.get("LIBGO_TEST_CACHE")
    if cache and not (Path(settings.VAR_DIR) / "cache").exists():
        (Path(settings.VAR_DIR) / "cache").symlink_to(cache)
    with demo_images_lock():
        leftovers_unmount()
        demo_images_make()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember which demo images this machine had; only the process that started the run asks. One that a
    test of it started (on another database) would take them from the others when it ends."""
    outermost = os.environ.setdefault("LIBGO_TEST_SESSION", str(os.getpid()))
    if hasattr(session.config, "workerinput") or outermost != str(os.getpid()):
        return
    docker, kvm = [{image.name for image in _images_or_none(backend)} for backend in engine_backends()]
    session.config.stash[_HAD_IMAGES] = (docker, kvm)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take away the demo and helper images that this run made."""
    had = session.config.stash.get(_HAD_IMAGES, None)
    if had is None:
        return
    docker, kvm = engine_backends()
    for name in {image.name for image in _images_or_none(docker)} - had[0]:
        if name == "libgo/demo:latest" or name.startswith("libgo/helper:"):
            docker._client.call(partial(APIClient.remove_image, image=name, force=True))
    if "libgo-demo" in {image.name for image in _images_or_none(kvm)} - had[1]:
        kvm._connection.call(lambda conn: volume_delete(pool_ensure(conn, "default"), "libgo-demo"))
    docker.close()
    kvm.close()


def _images_or_none(backend: DockerBackend | KvmBackend) -> list[ImageInfo]:
    """Without an engine there is nothing to take away; the tests that need it will say so."""
    try:
        return backend.image_list()
    except ComputeError:
        return []


@pytest.fixture(scope="session")
def live(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveConsole]:
    """One running console for all tests that need a whole one."""
    console = LiveConsole(tmp_path_factory.mktemp("console"))
    try:
        yield console.start()
    finally:
        console.stop()


@pytest.fixture
def name(live: LiveConsole) -> Iterator[str]:
    """A name for one instance, which is gone afterwards from engine and console."""
    wanted = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield wanted
    if live.shown(wanted):
        live.api("DELETE", f"/compute/instances/{wanted}?force=true&wait=60")


@pytest.fixture(scope="session")
def people(live: LiveConsole) -> World:
    return people_make(live)


@pytest.fixture
def world(people: World) -> Iterator[World]:
    yield people
    people.clean()


@pytest.fixture
def outside(engines: None, run_id: str) -> Iterator[Outside]:
    """What is made beside LibGo; gone afterwards."""
    with outside_of(run_id) as made:
        yield made
