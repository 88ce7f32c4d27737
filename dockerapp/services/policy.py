"""What the site's policy says of what only Docker has; the same for every door.

Administrators may do what the host can do. Everyone else is held to these rules, and a refusal
names the rule that was broken.
"""

from __future__ import annotations

from django.conf import settings

from compute.actor import SYSTEM, Actor
from compute.errors import ContainerNotFound, PolicyDenied
from compute.models import Instance, Project
from compute.selectors.resources import resources_visible
from compute.services.nodes import node_require
from dockerapp.references import SNAPSHOTS, Reference, host_allowed, reference_parse
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.nodes import docker_of

RULE_REGISTRIES = "docker.allowedRegistries"
RULE_NAME_SPACE = "image_name_space"
# How far a container may lean on others that lean on others.
_DEPTH_MAX = 3


def registry_allowed(actor: Actor, reference: str, *, field: str = "image") -> bool:
    """Whether the site lets the actor use the registry of this image. Raises ``InvalidInput`` when it
    is no image name."""
    found = reference_parse(reference, field=field)
    return actor.is_admin or host_allowed(found, settings.LIBGO["docker"]["allowed_registries"])


def registry_allowed_check(actor: Actor, reference: str, *, field: str = "image") -> Reference:
    """Before anything is pulled from a registry or pushed to it: by an operator only one that
    ``docker.allowedRegistries`` names. Raises ``PolicyDenied``, ``InvalidInput``."""
    found = reference_parse(reference, field=field)
    if not registry_allowed(actor, reference, field=field):
        allowed = ", ".join(settings.LIBGO["docker"]["allowed_registries"]) or "none"
        raise PolicyDenied(
            f"Images of {found.host} are not allowed here (docker.allowedRegistries: {allowed}). "
            "Ask an administrator.",
            rule=RULE_REGISTRIES,
        )
    return found


def image_name_space_check(
    actor: Actor, project: Project, reference: str, *, field: str = "image"
) -> Reference:
    """What an operator tags, builds, pushes or commits is called ``<project>/...``, perhaps behind a
    registry: nobody can give another image to a name that others use. Raises ``PolicyDenied``,
    ``InvalidInput``."""
    found = reference_parse(reference, field=field)
    if actor.is_admin:
        return found
    space = project.name.lower()
    if space == SNAPSHOTS:
        raise PolicyDenied(f"“{SNAPSHOTS}/…” is written by LibGo alone.", rule=RULE_NAME_SPACE)
    if not found.path.startswith(f"{space}/"):
        example = f"{space}/{found.path.rpartition('/')[2]}"
        raise PolicyDenied(
            f"Images of the project {project.name} are called “{space}/…”, such as “{example}”. Other "
            "names are for administrators.",
            rule=RULE_NAME_SPACE,
        )
    if Project.objects.filter(name__iexact=project.name).exclude(pk=project.pk).exists():
        raise PolicyDenied(
            f"Another project has the same name but for its case, so “{space}/…” belongs to neither. "
            "Ask an administrator to rename one.",
            rule=RULE_NAME_SPACE,
        )
    return found


def container_content_policy(actor: Actor, instance: Instance) -> None:
    """Nobody but an administrator gets inside, changes or copies a container that reaches the host,
    whoever made it. Judged by what the engine shows now. Raises ``PolicyDenied`` naming the rule."""
    if actor.is_admin or not instance.engine_id:
        return
    node_require(instance.node)
    _walls_require(actor, instance, instance, _DEPTH_MAX)


def _walls_require(actor: Actor, asked: Instance, instance: Instance, depth: int) -> None:
    seen = docker_of(instance.node).containers.exposure(instance.engine_id)
    if seen.rules:
        raise _denied(asked, seen.rules[0])
    if seen.host_paths or _host_volumes(instance, seen.volumes):
        raise _denied(asked, "host_path")
    for engine_id in seen.shares_with:
        if not depth:
            raise _denied(asked, "shared_namespace")
        other = _neighbour(actor, asked, engine_id)
        _walls_require(actor, asked, other, depth - 1)


def _neighbour(actor: Actor, asked: Instance, engine_id: str) -> Instance:
    """Whose name spaces it uses: must be of the same project."""
    try:
        other = container_get(actor, engine_id, str(asked.node_id))
    except ContainerNotFound as error:
        raise _denied(asked, "shared_namespace") from error
    if other.project_id != asked.project_id:
        raise _denied(asked, "shared_namespace")
    return other


def _host_volumes(instance: Instance, names: tuple[str, ...]) -> bool:
    """Whether any is a place of the host under the name of a volume (driver options ``o=bind`` ...)."""
    if not names:
        return False
    rows = resources_visible(SYSTEM, "volume").filter(node=instance.node_id, name__in=names)
    options = [row.data.get("options") or {} for row in rows]
    return any(option.get("device") and option.get("type") != "tmpfs" for option in options)


def _denied(instance: Instance, rule: str) -> PolicyDenied:
    words = rule.replace("_", " ")
    return PolicyDenied(
        f"{instance.name} reaches the host ({words}), so to be inside it is as good as root there. Only "
        "administrators may do this.",
        rule=rule,
    )
