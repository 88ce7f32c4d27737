"""Two projects with one thing of each kind, and everybody of the matrix: what the sweep asks about."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from compute.actor import Actor
from compute.models import (
    AdoptionRule,
    Alert,
    AlertChannel,
    AlertRule,
    Backup,
    BackupTarget,
    Instance,
    Membership,
    Node,
    Operation,
    Project,
    Resource,
    Schedule,
    Template,
    TemplateVersion,
    User,
)
from compute.permissions import CELLS, FOREIGNER, NOBODY, SITE_ADMIN, Cell
from compute.sealing import seal
from compute.selectors.access import actor_for
from compute.services.accounts import pair_make
from compute.states import AlertKind, AlertState, BackupState, ChannelKind, Role, Severity
from dockerapp.models import Registry, Stack
from kvm.models import Export, ImageUpload

# Engines that are not there: what is allowed ends in "does not answer", at once.
_NODES = {
    "fake": "fake://",
    "docker": "unix:///nonexistent/docker.sock",
    "kvm": "qemu+unix:///system?socket=/nonexistent/libvirt.sock",
}
_CAPABILITIES = (
    "console events exec terminal kill logs pause reconfigure rename reset resize snapshot clone stats "
    "network_attach volume save screenshot migrate export graphics attach"
).split()
_DISK = {
    "pool": "pool-1",
    "format": "qcow2",
    "type": "file",
    "capacity": 2**30,
    "allocation": 2**20,
    "in_use": False,
    "standalone": True,
    "backing_chain": [],
    "domains": [],
}
_KVM_NETWORK = {
    "persistent": True,
    "autostart": True,
    "bridge_name": "virbr9",
    "forward": {"mode": "nat", "dev": ""},
    "ip": None,
    "pending_changes": {},
}
_POOL = {"state": "running", "type": "dir", "capacity": 2**34, "allocation": 0, "available": 2**34}
_SERVICE = {"image": "demo", "replicas": 1, "cpu_cores": 0, "memory_bytes": 0}
PASSWORD = "correct horse battery"


@dataclass
class Side:
    """One of everything in a project; ``ids`` by the noun of the placeholder."""

    project: Project
    ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Ground:
    own: Side
    foreign: Side
    hosts: dict[str, str]
    actors: dict[str, Actor | None]
    tokens: dict[str, str] = field(default_factory=dict)

    def actor(self, cell: Cell) -> Actor | None:
        return self.actors[cell.name]


def ground_make() -> Ground:
    nodes = {name: _node(name, url) for name, url in _NODES.items()}
    own, foreign = (_side(Project.objects.create(name=f"p-{word}"), nodes) for word in ("own", "foreign"))
    found = Ground(own, foreign, _hosts(nodes), _people(own.project, foreign.project))
    for name, actor in found.actors.items():
        if actor is not None:
            found.tokens[name] = pair_make(User.objects.get(pk=actor.user_id), uuid.uuid4()).access
    return found


def _node(name: str, url: str) -> Node:
    return Node.objects.create(
        name=f"n-{name}",
        backend=name,
        url=url,
        is_reachable=True,
        capabilities=_CAPABILITIES,
        memory_bytes=2**34,
        cpu_cores=8,
    )


def _side(project: Project, nodes: dict[str, Node]) -> Side:
    side = Side(project, {"project": project.name})
    for backend, node in nodes.items():
        row = Instance.objects.create(
            node=node,
            backend=backend,
            project=project,
            engine_id=str(uuid.uuid4()),
            name=f"{backend}-{project.name}",
            type="vm" if backend == "kvm" else "container",
            state="running",
            created_at=timezone.now(),
            managed=True,
            config={"image": "demo"},
        )
        side.ids[backend] = str(row.pk)
        side.ids[f"{backend}_name"] = row.name
    docker, kvm = nodes["docker"], nodes["kvm"]
    side.ids["network"] = _resource(docker, "network", project)
    side.ids["docker_volume"] = _resource(docker, "volume", project)
    side.ids["kvm_volume"] = _resource(kvm, "volume", project, **_DISK)
    side.ids["disk_image"] = _resource(kvm, "image", project, **_DISK, kind="disk")
    stack = Stack.objects.create(
        node=docker,
        project=project,
        name=f"s-{project.name}",
        compose_sealed=seal("services: {a: {image: demo}}"),
        deployed_sealed="x",
        services={"a": _SERVICE},
    )
    side.ids["stack"], side.ids["stack_id"] = stack.name, str(stack.pk)
    template = Template.objects.create(name=f"t-{project.name}", project=project, backend="fake")
    body = seal({"config": {"image": "demo"}})
    TemplateVersion.objects.create(template=template, number=1, body_sealed=body)
    side.ids["template"] = str(template.pk)
    _past(side, kvm)
    _kept(side)
    return side


def _past(side: Side, kvm: Node) -> None:
    """What was done in the project: an operation, an export, an upload under way."""
    project = side.project
    instance = Instance.objects.get(pk=side.ids["fake"])
    operation = Operation.objects.create(
        action="instance.start",
        instance=instance,
        instance_uid=instance.pk,
        instance_name=instance.name,
        node=instance.node,
        project=project,
    )
    side.ids["operation"] = str(operation.pk)
    export = Export.objects.create(
        operation=operation,
        instance_uid=side.ids["kvm"],
        instance_name=side.ids["kvm_name"],
        node=kvm,
        project=project,
        format="qcow2",
        file_name="x.qcow2",
        size_bytes=1,
        finished_at=timezone.now(),
    )
    side.ids["export"] = str(export.pk)
    upload = ImageUpload.objects.create(
        node=kvm,
        project=project,
        user_uid=uuid.uuid4(),
        pool="pool-1",
        name=f"u-{project.name}",
        size_bytes=10,
    )
    side.ids["upload"] = str(upload.pk)


def _kept(side: Side) -> None:
    """What goes on by itself in the project: a schedule, an alert and its rule, a backup."""
    project = side.project
    schedule = Schedule.objects.create(
        project=project, name=f"c-{project.name}", cron="0 3 * * *", action="stop", target={"filter": {}}
    )
    rule = AlertRule.objects.create(
        project=project, name=f"a-{project.name}", kind=AlertKind.INSTANCE_DOWN.value
    )
    adoption = AdoptionRule.objects.create(project=project, name=f"ad-{project.name}")
    alert = Alert.objects.create(
        rule=rule,
        subject=f"instance:{side.ids['fake']}",
        subject_name=side.ids["fake_name"],
        project_uid=project.pk,
        severity=Severity.WARNING.value,
        state=AlertState.FIRING.value,
        started_at=timezone.now(),
    )
    target = BackupTarget.objects.get_or_create(name="bt-1", kind="local")[0]
    backup = Backup.objects.create(
        target=target,
        project=project,
        state=BackupState.READY.value,
        instance_uid=side.ids["fake"],
        instance_name=side.ids["fake_name"],
        backend="fake",
        type="container",
        definition=seal({"definition": {}, "instance": {"labels": {}, "annotations": {}}}),
    )
    side.ids |= {
        "schedule": str(schedule.pk),
        "alert_rule": str(rule.pk),
        "adoption_rule": str(adoption.pk),
        "alert": str(alert.pk),
        "backup": str(backup.pk),
    }


def _resource(node: Node, kind: str, project: Project | None, /, **data: Any) -> str:
    name = f"{node.backend}-{kind}-{project.name if project else 'host'}"
    data = {"driver": "bridge", "scope": "local", "active": True, "state": "running", **data}
    Resource.objects.create(
        node=node, kind=kind, engine_id=uuid.uuid4().hex, name=name, project=project, data=data
    )
    return name


def _hosts(nodes: dict[str, Node]) -> dict[str, str]:
    docker, kvm = nodes["docker"], nodes["kvm"]
    found = {
        "image": _resource(docker, "image", None, tags=["demo:1"]),
        "host_network": _resource(kvm, "network", None, **_KVM_NETWORK),
        "node": nodes["fake"].name,
    }
    Resource.objects.create(
        node=kvm,
        kind="pool",
        engine_id=uuid.uuid4().hex,
        name="pool-1",
        data={**_POOL, "path": "/nonexistent", "autostart": True, "persistent": True},
    )
    found["pool"] = "pool-1"
    registry = Registry.objects.create(name="r-1", host="registry.example.com")
    channel = AlertChannel.objects.create(name="ch-1", kind=ChannelKind.EMAIL.value)
    target = BackupTarget.objects.get_or_create(name="bt-1", kind="local")[0]
    shared = {"alert_channel": str(channel.pk), "backup_target": str(target.pk)}
    return {**found, **shared, "registry": str(registry.pk)}


def _people(own: Project, foreign: Project) -> dict[str, Actor | None]:
    found: dict[str, Actor | None] = {NOBODY.name: None}
    for cell in CELLS:
        if cell is NOBODY:
            continue
        user = User.objects.create_user(cell.name.replace(" ", "-"), "", PASSWORD)
        if cell is SITE_ADMIN:
            user.is_superuser = user.is_staff = True
            user.save()
        elif cell is FOREIGNER:
            Membership.objects.create(project=foreign, user=user, role=Role.OPERATOR.value)
        elif cell.role is not None:
            Membership.objects.create(project=own, user=user, role=cell.role.value)
        found[cell.name] = actor_for(user)
    User.objects.create_user("target", "", PASSWORD)
    return found
