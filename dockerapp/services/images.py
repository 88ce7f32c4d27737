"""Asked-for changes of images: permission, policy, name space, then an operation.

Images belong to the host: operators pull, push, build and tag in the name space of their project;
the rest is for administrators.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput, RateLimited
from compute.models import Operation, Resource
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.selectors.masking import variables_masked
from compute.selectors.page import between
from compute.services.idempotency import Idempotency
from compute.services.nodes import node_require
from compute.services.projects import project_for
from compute.services.resource_work import Where, Work, work_submit
from dockerapp.references import Reference, reference_parse
from dockerapp.selectors.images import image_get
from dockerapp.selectors.nodes import docker_node, docker_of
from dockerapp.selectors.registries import registry_for
from dockerapp.services.build_policy import build_network_check, build_remote_check, dockerfile_check
from dockerapp.services.common import where
from dockerapp.services.image_checks import (
    arguments_check,
    changes_check,
    context_path_check,
    platform_check,
    text_check,
)
from dockerapp.services.policy import image_name_space_check, registry_allowed_check

_SEARCHES_AT_ONCE = 2
_searches = threading.BoundedSemaphore(_SEARCHES_AT_ONCE)
_MEMORY_SHARE, _CPU_SHARE = 0.5, 0.5
_NAMES_MAX = 50


@dataclass(frozen=True)
class Place:
    """Where and for whom: node and project as the caller named them, and the key of the request."""

    node: str = ""
    project: str | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True)
class BuildWish:
    """A build as asked for. One of: ``text`` (a whole Dockerfile), ``remote`` (an address), or neither:
    the context comes as the body of the request, and ``dockerfile`` is a path in it."""

    tag: str
    text: str | None = None
    remote: str = ""
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    network: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False


def image_pull(
    actor: Actor, place: Place, *, image: str, tag: str = "", registry: str = "", platform: str = ""
) -> Operation:
    """Raises ``InvalidInput``, ``PolicyDenied`` for a registry that is not allowed, ``NotFound`` for one
    that is not there."""
    at = where(actor, "image.pull", node=place.node, project=place.project)
    name, registry_id = _on_registry(actor, at, image, tag, registry)
    registry_allowed_check(actor, name)
    params = {"image": name, "registry": registry_id, "platform": platform_check(platform)}
    return work_submit(
        actor, at, Work("image.pull", name, params, may_cancel=True), idempotency=place.idempotency
    )


def image_push(actor: Actor, place: Place, *, image: str, tag: str = "", registry: str = "") -> Operation:
    """To the registry that the image's name begins with. Operators push only what is in the name space
    of their project."""
    at = where(actor, "image.push", node=place.node, project=place.project)
    name, registry_id = _on_registry(actor, at, image, tag, registry)
    if reference_parse(name).digest:
        raise InvalidInput.field("image", "is pushed by a tag, not by a digest.")
    registry_allowed_check(actor, name)
    image_name_space_check(actor, at.project, name)
    image_get(actor, name, str(at.node.pk))
    params = {"image": name, "registry": registry_id}
    return work_submit(
        actor, at, Work("image.push", name, params, may_cancel=True), idempotency=place.idempotency
    )


def image_build(actor: Actor, place: Place, wish: BuildWish, *, size: int | None = None) -> Operation:
    """Raises ``PolicyDenied`` naming the rule. A build with neither text nor address is carried out by
    the process that has its context."""
    at = where(actor, "image.build", node=place.node, project=place.project)
    name = _named(wish.tag, "", "tag")
    image_name_space_check(actor, at.project, name.name, field="tag")
    build_network_check(actor, wish.network)
    build_remote_check(actor, wish.remote)
    arguments = arguments_check("build_args", wish.build_args)
    labels = arguments_check("labels", wish.labels)
    if any(key.startswith("libgo.") for key in labels):
        raise InvalidInput.field("labels", "may not begin with “libgo.”: these are LibGo's own.")
    if wish.text is not None:
        dockerfile_check(actor, at.node, text_check("dockerfile", wish.text), arguments)
    params = {
        "tag": name.name,
        "text": wish.text,
        "remote": _remote(wish.remote),
        "dockerfile": context_path_check(wish.dockerfile),
        # Build arguments often are passwords.
        "build_args": seal(arguments) if arguments else "",
        "labels": labels,
        "target": wish.target,
        "network": wish.network,
        "platform": platform_check(wish.platform),
        "no_cache": wish.no_cache,
        "pull": wish.pull,
        "size": size,
        **_limits(at),
    }
    here = wish.text is None and not wish.remote
    work = Work("image.build", name.name, params, may_cancel=True, here=here)
    return work_submit(actor, at, work, idempotency=place.idempotency)


def image_tag(actor: Actor, place: Place, image: str, *, repository: str, tag: str = "") -> Operation:
    """Another name for an image: of operators, one in the name space of their project."""
    at = where(actor, "image.tag", node=place.node, project=place.project)
    row = image_get(actor, image, str(at.node.pk) if place.node else "")
    name = _named(repository, tag, "repository")
    image_name_space_check(actor, at.project, name.name, field="repository")
    return work_submit(
        actor, _at(at, row), Work("image.tag", name.name, {"image": row.engine_id, "name": name.name})
    )


def image_delete(
    actor: Actor, place: Place, image: str, *, force: bool = False, prune: bool = True
) -> Operation:
    """By a name: that name, and the image with its last one. By an id: the image."""
    action_require(actor, "image.delete")
    row = image_get(actor, image, place.node)
    node_require(row.node)
    at = Where(row.node, project_for(actor, place.project))
    is_name = image not in (str(row.pk), row.engine_id) and not row.engine_id.startswith(
        f"sha256:{image.removeprefix('sha256:')}"
    )
    target = reference_parse(image).name if is_name else row.engine_id
    params = {"image": target, "engine_id": row.engine_id, "force": force, "prune": prune}
    return work_submit(actor, at, Work("image.delete", target if is_name else row.name, params))


def image_prune(actor: Actor, place: Place, *, unused: bool = False, dry_run: bool = False) -> Operation:
    """Images without a name that nothing uses; ``unused``: all that no container uses."""
    action_require(actor, "image.prune")
    at = where(actor, "image.prune", node=place.node, project=place.project)
    action = "image.prune_preview" if dry_run else "image.prune"
    return work_submit(actor, at, Work(action, at.node.name, {"unused": unused}, may_cancel=dry_run))


def image_load(actor: Actor, place: Place, *, size: int | None = None) -> Operation:
    """Takes the tar from the body of the request."""
    action_require(actor, "image.load")
    at = where(actor, "image.load", node=place.node, project=place.project)
    return work_submit(
        actor, at, Work("image.load", at.node.name, {"size": size}, may_cancel=True, here=True)
    )


def image_import(
    actor: Actor,
    place: Place,
    *,
    image: str,
    tag: str = "",
    message: str = "",
    changes: Sequence[str] = (),
    size: int | None = None,
) -> Operation:
    """A root file system from the body of the request becomes an image of one layer."""
    action_require(actor, "image.import")
    at = where(actor, "image.import", node=place.node, project=place.project)
    name = _named(image, tag, "image").name
    params = {"image": name, "message": message[:500], "changes": changes_check(changes), "size": size}
    return work_submit(actor, at, Work("image.import", name, params, may_cancel=True, here=True))


def images_to_save(actor: Actor, place: Place, names: Sequence[str]) -> tuple[Resource, list[str]]:
    """One of the rows, and what the engine calls each: a name stays a name, so that it comes back by
    it. All must be on one node. Needs the permission ``export``."""
    if not 0 < len(names) <= _NAMES_MAX:
        raise InvalidInput.field("names", f"must name 1 to {_NAMES_MAX} images, with commas between them.")
    save_allowed(actor, place)
    rows = [image_get(actor, name, place.node) for name in names]
    if len({row.node_id for row in rows}) > 1:
        raise InvalidInput.field("node", "the images are on several nodes; say which one is meant.")
    node_require(rows[0].node)
    asked = [_saved_as(row, name) for row, name in zip(rows, names, strict=True)]
    return rows[0], asked


def save_allowed(actor: Actor, place: Place) -> None:
    """Asked again while the tar streams. Raises ``PermissionDenied``."""
    action_require(actor, "image.save", project_for(actor, place.project).pk)


def image_search(actor: Actor, place: Place, term: str, limit: int) -> list[dict[str, Any]]:
    """What Docker Hub has, asked through the node's engine within ten seconds."""
    if not term.strip() or len(term) > 200:
        raise InvalidInput.field("term", "must be 1 to 200 characters.")
    between("limit", limit, 100)
    node = docker_node(actor, place.node)
    registry_allowed_check(actor, "docker.io/library/search", field="term")
    node_require(node)
    if not _searches.acquire(blocking=False):
        raise RateLimited("Other searches are under way. Try again soon.", retry_after=5)
    try:
        return docker_of(node).images.search(term.strip(), limit)
    finally:
        _searches.release()


def image_details(row: Resource) -> dict[str, Any]:
    """What only the engine tells; secrets in its environment masked. Raises ``ImageNotFound``,
    ``BackendUnavailable``."""
    node_require(row.node)
    found = docker_of(row.node).images.inspect(row.engine_id)
    found["config"]["env"] = variables_masked(found["config"]["env"])
    return found


def image_history(row: Resource) -> list[dict[str, Any]]:
    """Layers, newest first. Raises ``ImageNotFound``, ``BackendUnavailable``."""
    node_require(row.node)
    return docker_of(row.node).images.history(row.engine_id)


def _named(image: str, tag: str, field_name: str) -> Reference:
    """Name and tag given in one or in two fields."""
    found = reference_parse(image, field=field_name)
    if tag and (found.tag or found.digest):
        raise InvalidInput.field("tag", f"is in “{image[:80]}” already.")
    separator = "@" if tag.startswith("sha256:") else ":"
    named = reference_parse(f"{image}{separator}{tag}", field="tag") if tag else found
    return named


def _on_registry(actor: Actor, at: Where, image: str, tag: str, registry: str) -> tuple[str, str]:
    """The image's whole name, and the id of the registry that was asked for (empty: by its host)."""
    found = _named(image, tag, "image")
    if not registry:
        return found.name, ""
    row, name = registry_for(actor, at.project.pk, registry, found)
    return name, str(row.pk) if row else ""


def _at(at: Where, row: Resource) -> Where:
    node_require(row.node)
    return Where(row.node, at.project)


def _saved_as(row: Resource, name: str) -> str:
    if name in (str(row.pk), row.engine_id) or row.engine_id.startswith(
        f"sha256:{name.removeprefix('sha256:')}"
    ):
        return row.engine_id
    return reference_parse(name).name


def _remote(remote: str) -> str:
    known = ("http://", "https://", "git://", "git@", "github.com/")
    if remote and (not remote.startswith(known) or len(remote) > 2000 or not remote.isprintable()):
        raise InvalidInput.field("remote", "must be the address of a Git repository or of a tar.")
    return remote


def _limits(at: Where) -> dict[str, float | int | None]:
    """A build gets half of the node at most, and no more than its project may use."""
    memory = [int(at.node.memory_bytes * _MEMORY_SHARE)] if at.node.memory_bytes else []
    cores = [max(1.0, at.node.cpu_cores * _CPU_SHARE)] if at.node.cpu_cores else []
    if at.project.max_memory_bytes:
        memory.append(at.project.max_memory_bytes)
    if at.project.max_cpu_cores:
        cores.append(at.project.max_cpu_cores)
    return {"memory_bytes": min(memory, default=None), "cpu_cores": min(cores, default=None)}
