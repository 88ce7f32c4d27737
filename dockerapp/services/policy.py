"""What the site's policy says of what only Docker has; the same for every door.

Administrators may do what the host can do. Everyone else is held to these rules, and a refusal
names the rule that was broken.
"""

from __future__ import annotations

from django.conf import settings

from compute.actor import Actor
from compute.errors import PolicyDenied
from compute.models import Project
from dockerapp.references import Reference, host_allowed, reference_parse

RULE_REGISTRIES = "docker.allowedRegistries"
RULE_NAME_SPACE = "image_name_space"


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
