"""What an instance may be made from: the site's registries, and the credentials of its project."""

from __future__ import annotations

from typing import Any

from compute.actor import Actor
from compute.errors import ImageNotFound, InvalidInput, NotFound
from compute.models import Node, Project
from dockerapp.references import reference_parse
from dockerapp.selectors.images import image_on
from dockerapp.selectors.registries import registry_for
from dockerapp.services.policy import registry_allowed, registry_allowed_check


def image_guard(actor: Actor, project: Project, node: Node, config: dict[str, Any]) -> dict[str, Any]:
    """``image``, ``registry`` and ``pull`` of a configuration. What the node has already may be used
    whatever registry it is from, but is then not pulled. Raises ``PolicyDenied``, ``InvalidInput``."""
    if config.get("registry"):
        config = _registry_resolved(actor, project, config)
    image = str(config.get("image", ""))
    _foreign_refuse(actor, project, node, image)
    if _is_id(image):
        # Only names are pulled.
        return {**config, "pull": "never"}
    if config.get("pull") == "never" or registry_allowed(actor, image, field="config.image"):
        return config
    if config.get("pull", "missing") == "missing" and image_on(node, image) is not None:
        return {**config, "pull": "never"}
    registry_allowed_check(actor, image, field="config.image")
    return config


def _foreign_refuse(actor: Actor, project: Project, node: Node, image: str) -> None:
    """An image that belongs to another project (a snapshot) is not there for this one."""
    row = None if actor.is_admin else image_on(node, image)
    if row is not None and not row.is_of_host and row.project_id != project.pk:
        raise ImageNotFound(f"There is no image “{image[:100]}”.", image=image[:100])


def _registry_resolved(actor: Actor, project: Project, config: dict[str, Any]) -> dict[str, Any]:
    """The registry by its id, and the image by its whole name."""
    image = reference_parse(str(config["image"]), field="config.image")
    try:
        row, name = registry_for(actor, project.pk, str(config["registry"]), image, field="config.registry")
    except NotFound as error:
        raise InvalidInput.field("config.registry", error.message) from error
    return {**config, "image": name, "registry": str(row.pk) if row else ""}


def _is_id(image: str) -> bool:
    return image.startswith("sha256:")
