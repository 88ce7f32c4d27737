"""Every read of templates."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from compute.actor import Actor
from compute.backends.registry import backend_known
from compute.errors import NotFound
from compute.models import Template, TemplateVersion
from compute.sealing import unseal
from compute.selectors.access import action_allowed, visible
from compute.selectors.identity import by_id_or_name, words_in
from compute.selectors.masking import config_masked
from compute.selectors.page import Page, order_by, page_bounds, time_text
from compute.tell import tell

_SORT = {"name": "name", "created_at": "created_at", "updated_at": "updated_at", "backend": "backend"}


@dataclass(frozen=True)
class TemplateFilter:
    """Empty means "any"."""

    q: str = ""
    backend: str = ""
    project: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def templates_visible(actor: Actor) -> QuerySet[Template]:
    """Those of one's projects, and the site's."""
    rows = Template.objects.select_related("project", "created_by")
    return rows.filter(project=None) | visible(actor, rows)


def templates_page(actor: Actor, wanted: TemplateFilter) -> Page:
    """By name unless asked otherwise; without bodies."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = templates_visible(actor)
    if wanted.q:
        rows = rows.filter(words_in(wanted.q, "name", "description"))
    if wanted.backend:
        rows = rows.filter(backend=backend_known(wanted.backend))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    ordering = order_by(wanted.sort or ["name"], _SORT, "id")
    found = [template_dict(row) for row in rows.order_by(*ordering)[start:end]]
    return Page(found, rows.count(), wanted.page, wanted.page_size)


def template_get(actor: Actor, id_or_name: str | uuid.UUID) -> Template:
    """By id, or by a name of which the actor sees but one. Raises ``NotFound``."""
    found = list(templates_visible(actor).filter(by_id_or_name(id_or_name))[:2])
    if len(found) != 1:
        why = tell("several templates are called so; give the id") if found else tell("there is none")
        raise NotFound(f"“{str(id_or_name)[:100]}”: {why}.", template=str(id_or_name)[:100])
    return found[0]


def version_get(template: Template, number: int | None = None) -> TemplateVersion:
    """The newest, or the named one. Raises ``NotFound``."""
    wanted = template.version if number is None else number
    rows = TemplateVersion.objects.filter(template=template).select_related("created_by")
    found = rows.filter(number=wanted).first() if wanted < 2**31 else None
    if found is None:
        raise NotFound(f"{template.name} has no version {wanted}.", version=wanted)
    return found


def version_body(version: TemplateVersion) -> dict[str, Any]:
    """With its placeholders."""
    return dict(unseal(version.body_sealed))


def template_dict(row: Template) -> dict[str, Any]:
    """The public shape, without what a version says."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "description": row.description,
        "project": None if row.project is None else {"id": str(row.project.pk), "name": row.project.name},
        "backend": row.backend,
        "version": row.version,
        "created_by": row.created_by.get_username() if row.created_by else None,
        "created_at": time_text(row.created_at),
        "updated_at": time_text(row.updated_at),
    }


def template_full(actor: Actor, row: Template, number: int | None = None) -> dict[str, Any]:
    """With one version and the list of all. Cloud-init is shown to those who may change it."""
    shown, version = template_dict(row), version_get(row, number)
    body = version_body(version)
    if not action_allowed(actor, "template.update", row.project_id):
        body["config"] = config_masked(body.get("config") or {})
    versions = TemplateVersion.objects.filter(template=row).select_related("created_by")
    return {
        **shown,
        "shown_version": version.number,
        "body": body,
        "parameters": version.parameters,
        "versions": [_version_dict(item) for item in versions.defer("body_sealed", "parameters")[:500]],
    }


def _version_dict(item: TemplateVersion) -> dict[str, Any]:
    return {
        "version": item.number,
        "comment": item.comment,
        "created_by": item.created_by.get_username() if item.created_by else None,
        "created_at": time_text(item.created_at),
    }
