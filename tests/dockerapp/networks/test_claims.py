"""The worker's look at the engine: what a project may use is decided by what is written there now."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from compute.backends.types import Grants, InstanceSpec, NetworkJoin, Resources
from compute.errors import NameConflict, NetworkNotFound, VolumeNotFound
from compute.states import InstanceType
from dockerapp.backend import DockerBackend
from dockerapp.engine.claims import network_names, volume_names
from dockerapp.engine.networks import NetworkWanted
from dockerapp.engine.secrets import secrets_masked
from dockerapp.engine.volumes import VolumeWanted
from tests.reporter import MemoryReporter

OURS, THEIRS = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def named(backend: DockerBackend) -> Iterator[str]:
    """A name for a volume and a network, which are gone afterwards."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield name
    backend.volumes.remove(name)
    for row in backend.networks.named(name):
        backend.networks.remove(str(row["Id"]))


@pytest.fixture
def report(backend: DockerBackend, named: str) -> Iterator[MemoryReporter]:
    """What is reported to it is taken back at the end, before what it uses."""
    made = MemoryReporter()
    yield made
    for step in reversed(made.steps):
        backend.undo(step)


def _spec(backend: DockerBackend, run_id: str, **config: Any) -> InstanceSpec:
    asked = {"image": "libgo/demo:latest", "network_mode": "none", **config}
    return InstanceSpec(
        name=f"libgo-t-{uuid.uuid4().hex[:8]}",
        type=InstanceType.CONTAINER,
        instance_id=str(uuid.uuid4()),
        operation_id=str(uuid.uuid4()),
        project_id=OURS,
        config=backend.config_validate(asked, allow_root_equivalent=False),
        resources=Resources(),
        labels={"libgo.test": run_id},
    )


def test_a_volume_that_changed_hands_is_refused_and_nothing_is_left(
    backend: DockerBackend, report: MemoryReporter, named: str, run_id: str
) -> None:
    wanted = VolumeWanted(named, labels={"libgo.test": run_id})
    backend.volumes.create(wanted, project_id=THEIRS, operation_id=str(uuid.uuid4()))
    spec = _spec(backend, run_id, volumes=[f"{named}:/data"])
    with pytest.raises(VolumeNotFound) as refused:
        backend.instance_create(spec, report)
    assert refused.value.message == f"There is no volume “{named}”."
    assert spec.name not in [info.name for info in backend.instance_list()]
    as_admin = replace(spec, grants=Grants(everything=True))
    assert backend.instance_create(as_admin, report).name == spec.name


def test_one_that_is_swapped_while_the_container_is_made_is_seen_before_it_starts(
    backend: DockerBackend, report: MemoryReporter, named: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the engine's create the project's volume goes and another's comes."""
    wanted = VolumeWanted(named, labels={"libgo.test": run_id})
    backend.volumes.create(wanted, project_id=OURS, operation_id=str(uuid.uuid4()))
    spec = _spec(backend, run_id, volumes=[f"{named}:/data"])
    post = type(backend._client.api)._post_json

    def swapped(api: Any, url: str, data: Any, **more: Any) -> Any:
        if url.endswith("/containers/create"):
            monkeypatch.undo()
            backend.volumes.remove(named)
            backend.volumes.create(wanted, project_id=THEIRS, operation_id=str(uuid.uuid4()))
        return post(api, url, data, **more)

    monkeypatch.setattr(type(backend._client.api), "_post_json", swapped)
    with pytest.raises(VolumeNotFound):
        backend.instance_create(spec, report)
    states = [info.state for info in backend.instance_list() if info.name == spec.name]
    assert states == ["created"], "it was made but never started, and is taken back"


def test_unmarked_things_are_used_only_where_the_mirror_says_that_they_count_as_ours(
    backend: DockerBackend, report: MemoryReporter, named: str, run_id: str
) -> None:
    backend._client.call(lambda api: api.create_volume(named, labels={"libgo.test": run_id}))
    backend._client.call(lambda api: api.create_network(named, labels={"libgo.test": run_id}))
    for config in ({"volumes": [f"{named}:/data"]}, {"network_mode": named}):
        spec = _spec(backend, run_id, **config)
        with pytest.raises((VolumeNotFound, NetworkNotFound)):
            backend.instance_create(spec, report)
        granted = Grants(unmarked=frozenset({f"volume:{named}", f"network:{named}"}))
        backend.instance_create(replace(spec, grants=granted), report)


def test_a_network_is_joined_only_with_a_grant_and_twice_is_once(
    backend: DockerBackend, report: MemoryReporter, named: str, run_id: str
) -> None:
    wanted = NetworkWanted(named, labels={"libgo.test": run_id})
    backend.networks.create(wanted, project_id=THEIRS, operation_id=str(uuid.uuid4()))
    engine_id = backend.instance_create(_spec(backend, run_id, network_mode="bridge"), report).engine_id
    join = NetworkJoin(named, aliases=("db",))
    with pytest.raises(NetworkNotFound):
        backend.network_attach(engine_id, join, Grants(), OURS)
    for _ in range(2):
        backend.network_attach(engine_id, join, Grants(), THEIRS)
    assert named in [item.network for item in backend.instance_get(engine_id).networks]
    for _ in range(2):
        backend.network_detach(engine_id, named, force=False)
    assert named not in [item.network for item in backend.instance_get(engine_id).networks]


def test_a_second_network_of_one_name_is_taken_back(
    backend: DockerBackend, named: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two engines' clients make it in the same moment: the first look finds nothing."""
    wanted = NetworkWanted(named, labels={"libgo.test": run_id})
    backend.networks.create(wanted, project_id=THEIRS, operation_id=str(uuid.uuid4()))
    looked: list[str] = []
    named_really = backend.networks.named

    def blind(name: str) -> Any:
        looked.append(name)
        return [] if len(looked) == 1 else named_really(name)

    monkeypatch.setattr(backend.networks, "named", blind)
    with pytest.raises(NameConflict):
        backend.networks.create(wanted, project_id=OURS, operation_id=str(uuid.uuid4()))
    assert [row["Labels"]["libgo.project"] for row in named_really(named)] == [THEIRS]


def test_what_a_configuration_names() -> None:
    config = {
        "volumes": ["data:/x", "/host:/y", "data:/z:ro"],
        "network_mode": "front",
        "networks": [{"network": "front"}, {"network": "back"}],
    }
    assert volume_names(config) == ["data"] and network_names(config) == ["front", "back"]
    assert network_names({"network_mode": "container:abc"}) == network_names({"network_mode": "host"}) == []


def test_secrets_in_options_and_labels_are_hidden_and_libgo_s_own_labels_are_not() -> None:
    shown = secrets_masked(
        {
            "o": "addr=10.0.0.7,username=u,password=p,credentials=/etc/c",
            "api_token": "t",
            "libgo.project": "1",
            "device": "//h/x",
        }
    )
    assert shown == {
        "o": "addr=10.0.0.7,username=u,password=********,credentials=********",
        "api_token": "********",
        "libgo.project": "1",
        "device": "//h/x",
    }
