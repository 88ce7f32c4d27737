"""What only administrators may write and enter."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from compute.actor import Actor
from compute.backends.types import LABEL_PROJECT, ResourceInfo
from compute.errors import ImageNotFound, PolicyDenied
from compute.execution.resources import resources_observe_complete
from compute.models import Instance, Node, Project, Resource
from compute.selectors.resources import resources_visible
from dockerapp.engine.containers import Containers
from dockerapp.engine.exposure import Exposure, exposure_of
from dockerapp.services.build_policy import dockerfile_check
from dockerapp.services.image_policy import image_guard
from dockerapp.services.policy import container_content_policy, image_name_space_check
from tests.attacks.catalogue import attack
from tests.dockerapp.containers.conftest import Row

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ({"Privileged": True}, "privileged"),
        ({"NetworkMode": "host"}, "host_network"),
        ({"PidMode": "host"}, "host_pid"),
        ({"IpcMode": "host"}, "host_ipc"),
        ({"UTSMode": "host"}, "host_uts"),
        ({"UsernsMode": "host"}, "host_user"),
        ({"CapAdd": ["SYS_ADMIN"]}, "added_capabilities"),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, "devices"),
        ({"DeviceRequests": [{"Count": -1}]}, "devices"),
        ({"DeviceCgroupRules": ["c 1:3 mr"]}, "devices"),
        ({"SecurityOpt": ["seccomp=unconfined"]}, "security_options"),
        ({"SecurityOpt": ["label=disable"]}, "security_options"),
        ({"MaskedPaths": []}, "security_options"),
        ({"Runtime": "own"}, "runtime"),
        ({"CgroupParent": "/"}, "cgroup_parent"),
    ],
)
def test_each_way_to_the_host_has_its_rule(host: dict[str, Any], rule: str) -> None:
    assert exposure_of({"HostConfig": host}).rules == (rule,)


def test_an_ordinary_container_reaches_nothing() -> None:
    doc = {
        "HostConfig": {
            "NetworkMode": "default",
            "IpcMode": "private",
            "CgroupnsMode": "host",
            "SecurityOpt": ["no-new-privileges"],
            "MaskedPaths": ["/proc/kcore"],
            "Runtime": "runc",
        },
        "Mounts": [{"Type": "volume", "Name": "data"}],
    }
    assert exposure_of(doc) == Exposure(volumes=("data",))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exposure]:
    """What the engine shows of each container, by engine id; nothing where none is set."""
    found: dict[str, Exposure] = {}
    monkeypatch.setattr(Containers, "exposure", lambda self, engine_id: found.get(engine_id, Exposure()))
    return found


def _denied(actor: Actor, instance: Instance) -> str:
    with pytest.raises(PolicyDenied) as refused:
        container_content_policy(actor, instance)
    return str(refused.value.details["rule"])


def test_only_administrators_enter_what_reaches_the_host(
    shown: dict[str, Exposure], row: Row, operator: Actor, admin: Actor
) -> None:
    web = row("web")
    container_content_policy(operator, web)
    for exposure, rule in (
        (Exposure(rules=("privileged",)), "privileged"),
        (Exposure(host_paths=("/srv",)), "host_path"),
    ):
        shown[web.engine_id] = exposure
        assert _denied(operator, web) == rule
        container_content_policy(admin, web)


@attack(
    "S40", "a volume that is a directory of the host, by its name", refused="a host path: for administrators"
)
def test_a_volume_that_is_a_directory_of_the_host_is_a_host_path(
    shown: dict[str, Exposure], row: Row, operator: Actor, node: Node
) -> None:
    web = row("web")
    shown[web.engine_id] = Exposure(volumes=("data", "memory"))
    Resource.objects.create(
        node=node,
        kind="volume",
        engine_id="memory",
        name="memory",
        data={"options": {"type": "tmpfs", "device": "tmpfs"}},
    )
    container_content_policy(operator, web)
    options = {"type": "none", "o": "bind", "device": "/"}
    Resource.objects.create(
        node=node, kind="volume", engine_id="data", name="data", data={"options": options}
    )
    assert _denied(operator, web) == "host_path"


def test_what_it_shares_with_is_judged_too(
    shown: dict[str, Exposure], row: Row, operator: Actor, foreign: Project
) -> None:
    web, own, theirs = row("web"), row("own"), row("theirs", project=foreign)
    shown[web.engine_id] = Exposure(shares_with=(own.engine_id,))
    container_content_policy(operator, web)
    shown[own.engine_id] = Exposure(rules=("privileged",))
    assert _denied(operator, web) == "privileged"
    shown[web.engine_id] = Exposure(shares_with=(theirs.engine_id,))
    assert _denied(operator, web) == "shared_namespace"
    shown[web.engine_id] = Exposure(shares_with=(web.engine_id,))
    assert _denied(operator, web) == "shared_namespace"


def test_a_snapshot_is_run_by_its_project_alone_and_is_no_base_for_builds(
    node: Node, project: Project, foreign: Project, operator: Actor, admin: Actor
) -> None:
    name, image_id = "libgo-snapshots/u:s", f"sha256:{'a' * 64}"
    Resource.objects.create(
        node=node, kind="image", engine_id=image_id, name=name, project=foreign, data={"tags": [name]}
    )
    for image in (name, image_id):
        with pytest.raises(ImageNotFound):
            image_guard(operator, project, node, {"image": image, "pull": "never"})
        assert image_guard(operator, foreign, node, {"image": image, "pull": "never"})["image"] == image
        assert image_guard(admin, project, node, {"image": image, "pull": "never"})["image"] == image
    with pytest.raises(PolicyDenied) as refused:
        dockerfile_check(operator, node, f"FROM {name}\n", {})
    assert refused.value.details["rule"] == "build_from_snapshot"
    dockerfile_check(admin, node, f"FROM {name}\n", {})


def test_a_snapshot_of_a_project_that_is_not_known_here_is_for_administrators(
    node: Node, project: Project, operator: Actor, admin: Actor
) -> None:
    """Of another LibGo on the same engine, or of before a restore: nobody here may have what it holds."""
    name, mark = "libgo-snapshots/u:s", str(uuid.uuid4())
    data = {"tags": [name], "labels": {LABEL_PROJECT: mark}}
    info = ResourceInfo("image", f"sha256:{'b' * 64}", name, project_id=mark, data=data)
    plain = replace(info, engine_id="c", name="plain:1", project_id="", data={"tags": ["plain:1"]})
    resources_observe_complete(node, "image", [info, plain])
    assert {row.name for row in resources_visible(operator, "image")} == {"plain:1"}
    assert {row.name for row in resources_visible(admin, "image")} == {"plain:1", name}
    with pytest.raises(ImageNotFound):
        image_guard(operator, project, node, {"image": name, "pull": "never"})
    with pytest.raises(PolicyDenied):
        dockerfile_check(operator, node, f"FROM {name}\n", {})
    Project.objects.create(pk=mark, name="restored")
    resources_observe_complete(node, "image", [info])
    row = Resource.objects.get(name=name)
    assert row.project is not None and row.project.name == "restored" and not row.is_foreign


def test_nobody_s_project_is_the_place_of_snapshots(operator: Actor) -> None:
    with pytest.raises(PolicyDenied):
        image_name_space_check(operator, Project(name="libgo-snapshots"), "libgo-snapshots/x:1")
