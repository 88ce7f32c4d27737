"""What operators may build: only from registries of the site's list, and without fetching addresses.

The engine fetches in its own network, where the host's own services answer; so what a Dockerfile
pulls or downloads is as good as asked for by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compute.actor import Actor
from compute.errors import InvalidInput, PolicyDenied
from compute.models import Node
from dockerapp.dockerfile import dockerfile_read
from dockerapp.selectors.images import image_on
from dockerapp.services.policy import registry_allowed, registry_allowed_check

_NETWORKS = ("", "default", "bridge", "none")


def build_network_check(actor: Actor, network: str) -> None:
    """Raises ``PolicyDenied`` unless the steps of the build have a network of their own."""
    if not actor.is_admin and network not in _NETWORKS:
        raise PolicyDenied(
            "Only administrators may build in another network than “bridge” or “none”: it reaches the host "
            "or other people's containers.",
            rule="host_network" if network == "host" else "build_network",
        )


def build_remote_check(actor: Actor, remote: str) -> None:
    if remote and not actor.is_admin:
        raise PolicyDenied(
            "Only administrators may build from an address: the engine would fetch it from its own network. "
            "Upload the context instead.",
            rule="build_remote",
        )


def dockerfile_check(actor: Actor, node: Node, text: str, build_args: Mapping[str, str]) -> frozenset[str]:
    """The images that it stands on or takes files from; none for administrators, who are asked nothing.
    Raises ``PolicyDenied`` for a base image of a registry that is not allowed, unless the node has it
    already, and for ``ADD`` of an address; ``InvalidInput`` for what cannot be told."""
    if actor.is_admin:
        return frozenset()
    asked = dockerfile_read(text, build_args)
    for image in sorted(asked.images):
        here = image_on(node, image)
        if here is not None and not here.is_of_host:
            raise PolicyDenied(
                f"“{image[:100]}” is a snapshot, which is no base for builds. Commit the instance instead.",
                rule="build_from_snapshot",
            )
        if here is None and not registry_allowed(actor, image, field="dockerfile"):
            registry_allowed_check(actor, image, field="dockerfile")
    for source in sorted(asked.remote):
        raise PolicyDenied(
            f"Only administrators may build with “ADD {source[:80]}”: the engine would fetch it from its own "
            "network. Put the file into the context, or write its name plainly.",
            rule="build_remote_add",
        )
    return asked.images


def triggers_check(actor: Actor, node: Node, image: str, triggers: Sequence[str]) -> None:
    """The steps that a base image brings along (``ONBUILD``) are held to the same. Raises
    ``PolicyDenied``."""
    try:
        dockerfile_check(actor, node, "\n".join(["FROM scratch", *triggers]), {})
    except (PolicyDenied, InvalidInput) as error:
        raise PolicyDenied(
            f"Only administrators may build on “{image[:100]}”, which brings a step along (ONBUILD): "
            f"{error.message}",
            rule=str(error.details.get("rule", "build_onbuild")),
        ) from error
