"""Pulling: progress folded into one percentage, cancel, and what a registry may refuse."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from compute.backends.types import InstanceSpec, Resources
from compute.errors import ImageNotFound, OperationCancelled
from compute.states import InstanceType
from dockerapp.backend import DockerBackend
from dockerapp.engine.pull import LayerProgress, image_present, reference_split
from tests.faults.catalogue import fault
from tests.reporter import MemoryReporter

DEMO = "libgo/demo:latest"


@pytest.fixture
def pushed(backend: DockerBackend, registry: str) -> Iterator[str]:
    """An image that only the registry has."""
    name = f"{registry}/demo-{uuid.uuid4().hex[:6]}:1"
    api = backend._client.api
    repository, _, tag = name.rpartition(":")
    api.tag(DEMO, repository, tag)
    said = list(api.push(repository, tag=tag, stream=True, decode=True))
    assert not [event for event in said if "error" in event], said
    api.remove_image(name)
    yield name
    if image_present(backend._client, name):
        api.remove_image(name, force=True)


def _spec(backend: DockerBackend, image: str, run_id: str, **config: object) -> InstanceSpec:
    return InstanceSpec(
        name=f"libgo-t-{uuid.uuid4().hex[:8]}",
        type=InstanceType.CONTAINER,
        instance_id=str(uuid.uuid4()),
        operation_id=str(uuid.uuid4()),
        project_id="p",
        config=backend.config_validate(
            {"image": image, "network_mode": "none", **config}, allow_root_equivalent=False
        ),
        resources=Resources(),
        labels={"libgo.test": run_id},
    )


def test_a_missing_image_is_pulled_on_the_way_with_rising_progress(
    backend: DockerBackend, pushed: str, run_id: str
) -> None:
    report = MemoryReporter()
    try:
        info = backend.instance_create(_spec(backend, pushed, run_id), report)
        assert info.state == "running" and info.image == pushed
        assert report.percents == sorted(report.percents)
        assert f"Pulled {pushed}" in report.lines
    finally:
        for step in report.steps:
            backend.undo(step)


@fault("F45 (part)", "a pull is cancelled while layers come", sees="it is cancelled", keeps="nothing is left")
def test_a_cancelled_pull_leaves_nothing(backend: DockerBackend, pushed: str, run_id: str) -> None:
    report = MemoryReporter()
    report.cancel_at = 5
    spec = _spec(backend, pushed, run_id)
    with pytest.raises(OperationCancelled):
        backend.instance_create(spec, report)
    assert spec.name not in [row.name for row in backend.instance_list()]


def test_an_image_that_no_registry_has_says_so(backend: DockerBackend, registry: str, run_id: str) -> None:
    report = MemoryReporter()
    with pytest.raises(ImageNotFound, match="absent"):
        backend.instance_create(_spec(backend, f"{registry}/absent:1", run_id), report)
    assert report.steps == [], "nothing was begun"


def test_never_pulling_is_respected(backend: DockerBackend, pushed: str, run_id: str) -> None:
    with pytest.raises(ImageNotFound, match="pulling is off"):
        backend.instance_create(_spec(backend, pushed, run_id, pull="never"), MemoryReporter())


def test_layers_fold_into_a_percentage_that_never_falls() -> None:
    progress = LayerProgress()
    seen = [
        progress.feed(event)
        for event in (
            {"status": "Pulling from demo", "id": "1"},
            {"status": "Pulling fs layer", "id": "a"},
            {"status": "Pulling fs layer", "id": "b"},
            {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}},
            {"status": "Download complete", "id": "a"},
            {"status": "Downloading", "id": "b", "progressDetail": {"current": 300, "total": 300}},
            {"status": "Extracting", "id": "a", "progressDetail": {"current": 100, "total": 100}},
            {"status": "Pull complete", "id": "a"},
            {"status": "Pull complete", "id": "b"},
        )
    ]
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 100


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1.27", ("nginx", "1.27")),
        ("127.0.0.1:5000/a/b", ("127.0.0.1:5000/a/b", "latest")),
        ("127.0.0.1:5000/a/b:2", ("127.0.0.1:5000/a/b", "2")),
        ("a@sha256:" + "0" * 64, ("a", "sha256:" + "0" * 64)),
    ],
)
def test_references_are_split_as_the_engine_does(image: str, wanted: tuple[str, str]) -> None:
    assert reference_split(image) == wanted
