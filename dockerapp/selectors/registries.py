"""Registries, and the credentials that a worker looks up at the moment it needs them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import F, Q, QuerySet

from compute.actor import Actor
from compute.errors import InvalidInput, NotFound
from compute.models import Node
from compute.sealing import unseal
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import Page, order_by, page_bounds, time_text
from compute.selectors.prepared import Prepared
from dockerapp.credentials import Credentials
from dockerapp.models import Registry
from dockerapp.references import Reference, reference_parse

SORT_COLUMNS = {"name": "name", "host": "host", "project": "project__name", "created_at": "created_at"}
# The key of ``InstanceSpec.secrets`` under which a create finds its credentials.
SECRET = "registry"  # nosec B105 # the name of a kind


def registries_page(actor: Actor, *, q: str = "", sort: list[str], page: int, page_size: int) -> Page:
    """Those of the site and of the actor's projects."""
    start, end = page_bounds(page, page_size)
    rows = registries_visible(actor)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(host__icontains=q) | Q(username__icontains=q))
    found = [registry_dict(row) for row in rows.order_by(*order_by(sort, SORT_COLUMNS, "id"))[start:end]]
    return Page(found, rows.count(), page, page_size)


def registries_visible(actor: Actor) -> QuerySet[Registry]:
    rows = Registry.objects.select_related("project", "created_by")
    if actor.is_admin:
        return rows
    return rows.filter(Q(project=None) | Q(pk__in=visible(actor, Registry.objects.all()).values("pk")))


def registry_get(actor: Actor, id_or_name: str | uuid.UUID) -> Registry:
    """Raises ``NotFound``."""
    found = registries_visible(actor).filter(by_id_or_name(id_or_name)).first()
    if found is None:
        raise NotFound(f"There is no registry “{str(id_or_name)[:100]}”.")
    return found


def registry_dict(row: Registry) -> dict[str, Any]:
    """The public shape; the password is never read back."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "url": row.host,
        "username": row.username,
        "has_password": bool(row.password_seal),
        "project": {"id": str(row.project_id), "name": row.project.name} if row.project else None,
        "created_by": row.created_by.get_username() if row.created_by else None,
        "created_at": time_text(row.created_at),
        "updated_at": time_text(row.updated_at),
    }


def registry_for(
    actor: Actor, project_id: uuid.UUID, wanted: str, reference: Reference, *, field: str = "registry"
) -> tuple[Registry | None, str]:
    """The registry that was asked for by id, name or host, and the image's name on it: one that names
    no registry itself is taken from there. A host that nobody registered has no credentials.

    Raises ``NotFound``; ``InvalidInput`` when the image's name says another registry.
    """
    rows = registries_visible(actor).filter(Q(project=None) | Q(project=project_id))
    row = (
        rows.filter(by_id_or_name(wanted) | Q(host=wanted))
        .order_by(F("project").desc(nulls_last=True))
        .first()
    )
    if row is None and not ("." in wanted or ":" in wanted or wanted == "localhost"):
        raise NotFound(f"There is no registry “{wanted[:100]}” in this project.", registry=wanted[:100])
    host = row.host if row else reference_parse(f"{wanted}/x", field=field).host
    if reference.names_host and reference.host != host:
        raise InvalidInput.field(field, f"is {host}, but the image's name says {reference.host}.")
    if reference.names_host or host == reference.host:
        return row, reference.name
    return row, f"{host}/{reference.name}"


def credentials_at(
    project_id: uuid.UUID | None, reference: Reference, registry_id: str = ""
) -> Credentials | None:
    """At run time: of the registry that was asked for, else of the one for the image's host, the
    project's own before the site's. Never for another host. Raises ``NotFound``,
    ``BackendUnavailable`` when the seal does not open."""
    if registry_id:
        row = _of_project(project_id).filter(pk=registry_id).first()
        if row is None:
            raise NotFound("The registry was removed.", registry=registry_id)
    else:
        row = _at_host(project_id, reference.host)
    return None if row is None or row.host != reference.host else credentials_of(row)


def _at_host(project_id: uuid.UUID | None, host: str) -> Registry | None:
    if project_id is None:
        return _of_host(None, host).first()
    return _AT_HOST.first(project_id, host)


def _of_host(project_id: uuid.UUID | None, host: str) -> QuerySet[Registry]:
    return _of_project(project_id).filter(host=host).exclude(username="")[:1]


# Asked for by each create of a container.
_AT_HOST = Prepared(_of_host, texts=1)


def credentials_all(project_id: uuid.UUID | None) -> list[Credentials]:
    """For a build, whose base images may be anywhere: one a host."""
    found: dict[str, Credentials] = {}
    for row in _of_project(project_id).exclude(username=""):
        known = credentials_of(row)
        if known is not None:
            found.setdefault(row.host, known)
    return list(found.values())


def credentials_of(row: Registry) -> Credentials | None:
    """None for a registry without a user name. Raises ``BackendUnavailable``."""
    if not row.username:
        return None
    return Credentials(row.host, row.username, str(unseal(row.password_seal) or ""))


def create_secrets(node: Node, project_id: uuid.UUID | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the create of a container needs beside its stored configuration."""
    if not config.get("image") or config.get("pull") == "never":
        return {}
    found = credentials_at(project_id, reference_parse(config["image"]), str(config.get("registry") or ""))
    return {SECRET: found} if found else {}


def _of_project(project_id: uuid.UUID | None) -> QuerySet[Registry]:
    """Those that work of the project may use, its own first."""
    rows = Registry.objects.filter(Q(project=None) | Q(project=project_id))
    return rows.order_by(F("project").desc(nulls_last=True), "name")
