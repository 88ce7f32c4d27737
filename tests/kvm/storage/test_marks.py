"""Whose volumes and images are that bear no mark."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone

from compute.backends.types import ResourceInfo
from compute.models import Instance, Node, Project
from kvm.selectors.marks import resources_marked


@pytest.fixture
def node(db: None) -> Node:
    return Node.objects.create(name="far", backend="kvm", url="qemu:///system")


@pytest.fixture
def instance(node: Node) -> Instance:
    project = Project.objects.create(name="shop")
    return Instance.objects.create(
        node=node,
        project=project,
        name="vm1",
        backend="kvm",
        type="vm",
        engine_id=str(uuid.uuid4()),
        created_at=timezone.now(),
    )


def _info(kind: str, name: str, writer: str = "") -> ResourceInfo:
    uses = [{"engine_id": writer, "name": "vm1", "target": "vda", "readonly": False}] if writer else []
    return ResourceInfo(
        kind, f"default/{name}", name, data={"pool": "default", "format": "qcow2", "domains": uses}
    )


def _owner(node: Node, info: ResourceInfo) -> str:
    return resources_marked(node, info.kind, [info])[0].project_id


@pytest.mark.parametrize("kind", ["volume", "image"])
def test_what_nobody_writes_is_the_hosts_also_while_a_machine_is_being_made(
    instance: Instance, kind: str
) -> None:
    Instance.objects.filter(pk=instance.pk).update(engine_id="")
    assert _owner(instance.node, _info(kind, "debian")) == ""


def test_a_volume_is_the_projects_whose_machine_alone_writes_to_it(instance: Instance) -> None:
    assert _owner(instance.node, _info("volume", "data", instance.engine_id)) == str(instance.project_id)
    assert _owner(instance.node, _info("volume", "data", str(uuid.uuid4()))) == ""


def test_an_own_disk_is_the_projects_from_birth(instance: Instance) -> None:
    assert _owner(instance.node, _info("volume", f"libgo-vm-{instance.pk}.disk")) == str(instance.project_id)
